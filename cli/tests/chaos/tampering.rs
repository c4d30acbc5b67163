//! The checker objects to whatever is wrong, one wrong thing at a time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::Brokers;

use crate::alone;
use crate::check::{check, check_dump};
use crate::sender::Senders;
use crate::stack::Stack;

const ORDERS: u64 = 150;

/// A record of a dump, by its place.
type Change = fn(&mut Vec<Value>, usize);

/// The place of the last record of a topic of which this holds.
fn find(records: &[Value], topic: &str, fits: impl Fn(&Value) -> bool) -> usize {
    let found = records.iter().rposition(|it| it["topic"] == topic && fits(&it["value"]));
    found.unwrap_or_else(|| panic!("{topic} has such a record"))
}

fn any(_: &Value) -> bool {
    true
}

fn lines_of(file: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(file).expect("a file of lines");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The events that were answered for as new: another may be in the log or not, since nobody was told of it.
fn answered(facts: &Path) -> BTreeSet<String> {
    let answers = lines_of(facts).into_iter().map(|mut fact| fact["answer"].take());
    let new = answers.filter(|answer| answer["duplicate"] == false);
    new.map(|answer| answer["eventId"].as_str().expect("an id").to_owned()).collect()
}

fn drop_it(records: &mut Vec<Value>, at: usize) {
    records.remove(at);
}

fn double_it(records: &mut Vec<Value>, at: usize) {
    records.insert(at, records[at].clone());
}

#[test]
fn the_checker_objects_to_what_is_wrong() {
    let _alone = alone();
    let stack = Stack::start(Brokers::One, &[]);
    let senders = Senders::start(&stack.targets(), &stack.facts, 1, 4, ORDERS);
    senders.finish();
    stack.apply_late_clicks();
    let records = lines_of(&check(&stack, "without a fault"));
    let facts = stack.facts.file();
    let tampered = stack.folder().join("tampered.jsonl");
    let check_at = |at: usize, change: Change, expected: &str| {
        let mut records = records.clone();
        let topic = records[at]["topic"].clone();
        change(&mut records, at);
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        fs::write(&tampered, lines).expect("written");
        let (content, said) = check_dump(facts, &tampered);
        assert!(!content && said.contains(expected), "{topic}: {expected:?} expected: {said}");
    };
    let check = |topic: &str, fits: fn(&Value) -> bool, change: Change, expected: &str| {
        check_at(find(&records, topic, fits), change, expected);
    };
    let answered = answered(facts);
    let is_answered = |it: &Value| it["eventId"].as_str().is_some_and(|id| answered.contains(id));
    for field in ["orderStatus", "status"] {
        let at = find(&records, "conversions", |it| it[field].is_string() && is_answered(it));
        check_at(at, drop_it, "not in the log");
    }
    let swap = |records: &mut Vec<Value>, at: usize| records[at]["value"]["state"] = json!("paid");
    check(
        "conversions",
        any,
        |records, at| {
            let mut other = records[at].clone();
            other["value"]["receivedAt"] = json!(1);
            records.insert(at, other);
        },
        "there is another event",
    );
    check(
        "conversions",
        any,
        |records, at| records[at]["value"]["receivedAt"] = json!(1),
        "first received at 1, not in",
    );
    check(
        "conversions",
        |it| it["orderStatus"].is_string(),
        |records, at| {
            let mut stranger = records[at].clone();
            stranger["value"]["eventId"] = json!("cnvevt_0");
            stranger["value"]["externalOrderId"] = json!("nobody's");
            stranger["key"] = json!("mer_one/live/nobody's");
            stranger["value"]["merchantId"] = json!("mer_one");
            records.insert(at, stranger);
        },
        "a report is in the log that nobody sent",
    );
    check(
        "conversions",
        |it| it["refundedThousandths"].is_i64(),
        |records, at| records[at]["value"]["refundedThousandths"] = json!(7),
        "a status is in the log that nobody sent",
    );
    check("clicks", |it| it["clickId"] == "clk_late_1", drop_it, "of the registry is not in the log");
    check(
        "clicks",
        |it| it["clickId"] == "clk_late_1",
        |records, at| records[at]["value"]["affiliateId"] = json!("aff_x"),
        "is not {",
    );
    check("transitions", |it| it["revision"] == 2, drop_it, "FAULT mer_");
    check("transitions", |it| it["revision"] == 1, double_it, "the revisions are [1, 1");
    check("transitions", |it| it["state"] == "reversed", swap, "it ended as {'state': 'paid'");
    check(
        "transitions",
        |it| it["state"] == "reversed" && it["commission"].is_object(),
        |records, at| records[at]["value"]["commission"]["amountMinor"] = json!(1),
        "it ended as",
    );
    check(
        "transitions",
        |it| it["refundedThousandths"].is_i64(),
        |records, at| records[at]["value"]["refundedThousandths"] = json!(7),
        "it ended as",
    );
    check(
        "transitions",
        // No click that comes later changes these.
        |it| {
            it["suggestedAffiliateId"].is_string()
                && (it["clickId"].is_null() || it["confidenceReason"] == "click_too_recent")
        },
        |records, at| records[at]["value"]["suggestedAffiliateId"] = json!("aff_x"),
        "it ended as",
    );
    check("transitions", any, |records, at| records[at]["value"]["amountMinor"] = json!(1), "and the first report {");
    check(
        "transitions",
        |it| it["state"] == "hold",
        |records, at| records[at]["value"]["at"] = json!(i64::MAX),
        "held at",
    );
    check("commissions", any, drop_it, "and by its conversion");
    check("commissions", any, double_it, "and by its conversion");
    check(
        "commissions",
        any,
        |records, at| records[at]["value"]["commission"]["amountMinor"] = json!(1),
        "and by its conversion",
    );
    check("ledger-entries", any, drop_it, "booked, and must leave");
    check("ledger-entries", any, double_it, "is there twice");
    check(
        "ledger-entries",
        any,
        |records, at| records[at]["value"]["amountMinor"] = json!(7),
        "booked, and must leave",
    );
    check("ledger-entries", any, |records, at| records[at]["value"]["affiliateId"] = json!("aff_x"), "booked to aff_x");
    check("balances", any, drop_it, "and by the entries");
    check("balances", any, double_it, "and by the entries");
    check("balances", any, |records, at| records[at]["value"]["balanceMinor"] = json!("5"), "and by the entries");
    check("click-lookups", any, drop_it, "and asked for None");
    check("click-lookups", any, double_it, "asked twice for its click");
    check("click-verdicts", any, drop_it, "and was answered None");
    check("click-verdicts", any, double_it, "a verdict too many");
    check(
        "click-verdicts",
        any,
        |records, at| records[at]["partition"] = json!(records[at]["partition"].as_i64().unwrap_or(0) + 1),
        "is in partition",
    );
    check("commissions", any, |records, at| records[at]["topic"] = json!("dead-letters"), "dead letter ");
    stack.processors.iter().chain(&stack.edges).for_each(|member| member.end(rustix::process::Signal::TERM));
}
