//! Those who write the read model are killed while they work, and one is started beside another: the rows are the fold of the
//! topics all the same.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::{check, check_read_model, check_rows};
use crate::random::Random;
use crate::sender::{Senders, UNLIMITED};
use crate::stack::{KEYSPACES, Stack};
use crate::{alone, number, say, seed};

const SENDERS: u64 = 3;
const KILLS: u64 = 30;
/// So many before the second one comes.
const KILLS_ALONE: u64 = 10;
/// How long the brokers wait for one that was killed: until then nobody has its partitions.
const SESSION_TIMEOUT: &str = "1s";
const LIVES_MS: u64 = 2_600;
/// Of the kills, those of one that had written something.
const AT_WORK_MIN: u64 = KILLS / 3;
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(300);
const REBUILT: &str = "chaos_rebuilt";

#[test]
fn killed_and_two_at_once_they_write_what_the_topics_say() {
    let _alone = alone();
    let (seed, kills) = (seed(), number("CONVERSIONS_ROUNDS").unwrap_or(KILLS));
    let run = format!("CONVERSIONS_SEED={seed} CONVERSIONS_ROUNDS={kills}");
    say(&run);
    let stack = Stack::start_with_cql(&[("MATERIALIZER_SESSION_TIMEOUT", SESSION_TIMEOUT)]);
    let senders = Senders::start(&stack.targets(), &stack.facts, seed, SENDERS, UNLIMITED);
    let (begun, mut random, mut at_work) = (Instant::now(), Random::new(seed, 20), 0);
    for kill in 0..kills {
        if kill == KILLS_ALONE {
            stack.materializers[1].start();
        }
        let victim = if kill < KILLS_ALONE { 0 } else { random.index(2) };
        let victim = &stack.materializers[victim];
        thread::sleep(Duration::from_millis(random.below(LIVES_MS)));
        assert!(!senders.is_done(), "{run}: a sender got a wrong answer");
        at_work += u64::from(victim.metric("read_model_records_total") > 0);
        victim.kill(false);
        victim.start();
    }
    senders.stop();
    let (answered, _) = senders.finish();
    say(&format!("{run}: {kills} kills in {:?}, {at_work} of them at work; {answered} answered", begun.elapsed()));
    assert!(
        kills < KILLS || at_work > AT_WORK_MIN,
        "{run}: {at_work} of {kills} were at work: too few to show something"
    );
    let dump = check(&stack, &run);
    check_read_model(&stack, &run, CATCH_UP_DEADLINE);

    let begun = Instant::now();
    let keyspace = [("CQL_KEYSPACE", REBUILT)];
    stack.run(&["migrate"], &keyspace);
    let said = stack.run(&["rebuild"], &keyspace);
    say(&format!("{run}: rebuilt in {:?}: {}", begun.elapsed(), said.trim_end()));
    let (content, said) = check_rows(&stack, &dump, [REBUILT, KEYSPACES[1]]);
    assert!(content, "{run}: rebuilt: {said}");
    the_checker_sees_each(&stack, &dump);
    stack.end();
}

/// What is wrong with one record of a topic makes the checker object to the tables of that topic, so it looked at them.
fn the_checker_sees_each(stack: &Stack, dump: &Path) {
    let whole = fs::read_to_string(dump).expect("a dump");
    // All others as they were written: the text of an explanation is compared, so the order of its fields must stay.
    let mut records: Vec<String> = whole.lines().map(str::to_owned).collect();
    let read = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
    let mut change = |topic: &str, field: &str, value: Value| {
        let at = records.iter().rposition(|line| read(line)["topic"] == topic).expect("the topic has a record");
        let mut record = read(&records[at]);
        record["value"][field] = value;
        records[at] = record.to_string();
    };
    change("transitions", "couponCode", json!("OTHER"));
    change("commissions", "orderAmountMinor", json!(7));
    change("ledger-entries", "entryId", json!("another"));
    change("balances", "balanceMinor", json!("7"));
    let tampered = stack.folder().join("tampered.jsonl");
    fs::write(&tampered, records.iter().map(|record| format!("{record}\n")).collect::<String>()).expect("written");
    let (content, said) = check_rows(stack, &tampered, [REBUILT, KEYSPACES[1]]);
    assert!(!content, "{said}");
    for expected in [
        "FAULT conversions: row",
        "FAULT commissions: row",
        "FAULT ledger_entries: no row",
        "of nothing",
        "FAULT ledger_entries_by_conversion: no row",
        "FAULT balances: row",
    ] {
        assert!(said.contains(expected), "{expected:?} expected: {said}");
    }
}
