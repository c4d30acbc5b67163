//! What is left of records that are written again, in another order, by two writers at once.

use schemas::records::{Account, ConversionState, ConversionTransitioned};
use schemas::topics::{BALANCES, CONVERSIONS, TRANSITIONS};
use scylla::value::CqlTimestamp;
use store::cql::{Cql, CqlReadModel, Options, Writer};
use store::embedded::Reports;
use store::{ListOf, ListQuery, ReadModel};
use streams::{LogError, Record};
use testkit::Cql as Server;

use super::common::{NOW, id, transition};
use super::dump::{Columns, Dump, dump, session};
use super::logs::{balance_changed, ids, log, record, revision};
use super::seed::seed;
use super::server::{keyspaces, open, wait};

/// No log: whoever asks it has not found what was written.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Reports for Nothing {
    fn blocks(&self) -> bool {
        false
    }

    fn read(&self, _: &store::ConversionClaim) -> Result<Option<Record>, LogError> {
        Ok(None)
    }
}

/// The read model as an edge has it.
pub(crate) fn model(cql: &Cql) -> CqlReadModel {
    CqlReadModel::new(cql, std::sync::Arc::new(Nothing))
}

/// What is in two keyspaces, row by row.
#[track_caller]
pub(crate) fn assert_same(found: &Dump, expected: &Dump) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (table, rows) in expected {
        let found = &found[table];
        for (row, expected) in found.iter().zip(rows) {
            assert_eq!(row, expected, "{table}");
        }
        assert_eq!(found.len(), rows.len(), "{table}");
    }
}

fn filled(options: &Options, records: &[Record]) -> Dump {
    let writer = Writer::new(&open(options));
    wait(writer.write(records)).expect("written");
    dump(options)
}

#[test]
fn the_same_is_left_whatever_the_order_and_whoever_writes() {
    const ORDERS: usize = 12;
    const REVISIONS: i64 = 6;
    let records = log(ORDERS, REVISIONS);
    let server = Server::shared();
    let expected = filled(&keyspaces(server), &records);
    let options = keyspaces(server);
    let cql = open(&options);
    let seed = seed();
    wait(async {
        let write = |seed: u64| {
            let (writer, mut records) = (Writer::new(&cql), records.clone());
            tokio::spawn(async move {
                let mut dice = fastrand::Rng::with_seed(seed);
                for _ in 0..2 {
                    dice.shuffle(&mut records);
                    let mut rest = records.as_slice();
                    while !rest.is_empty() {
                        let (batch, more) = rest.split_at(dice.usize(1..=rest.len().min(40)));
                        writer.write(batch).await.expect("written");
                        rest = more;
                    }
                }
                writer.stats()
            })
        };
        let (one, other) = (write(seed), write(seed.wrapping_add(1)));
        for stats in [one.await.expect("done"), other.await.expect("done")] {
            assert_eq!((stats.records, stats.skipped, stats.warnings), (2 * records.len() as u64, 0, 0));
        }
    });
    let found = dump(&options);
    assert_same(&found, &expected);
    // Nor does it change when all is written once more.
    assert_same(&filled(&options, &records), &expected);
    let count = |table: &str| found[table].len();
    let (all, orders) = (ORDERS * REVISIONS as usize, ORDERS);
    // Each was LOW once, and so is in the reviewers' list too.
    assert_eq!((count("conversions"), count("conversions_by_time")), (orders + 2 * all, 2 * orders));
    assert_eq!((count("commissions"), count("ledger_entries"), count("ledger_entries_by_conversion")), (all, all, all));
    assert_eq!((count("balances"), count("positions")), (2, 0));
    let model = model(&cql);
    for (order, id) in ids(ORDERS) {
        let found = wait(model.conversion(id)).expect("read").expect("there");
        let last = ConversionTransitioned { timeline: Vec::new(), ..revision(&order, REVISIONS) };
        assert_eq!(found.conversion, last);
        let timeline: Vec<_> = (1..=REVISIONS).flat_map(|number| revision(&order, number).timeline).collect();
        assert_eq!(found.timeline, timeline);
    }
}

#[test]
fn nothing_that_is_written_is_a_tombstone() {
    let options = keyspaces(Server::shared());
    let found = filled(&options, &log(2, 5));
    // Rows of these never change, and what they do not have is left unset; and rows of conversions are of two kinds.
    let unset = |table: &str| matches!(table, "commissions" | "conversions");
    let whole = |row: &Columns| row.values().all(|(value, _)| value.is_some());
    for (table, rows) in &found {
        assert!(unset(table) || rows.iter().all(whole), "{table}");
    }
    // A tombstone would hide whatever is written with an earlier timestamp, and so show itself.
    wait(async {
        let session = session(&options).await;
        let probe = async |table: &str, column: &str, value: &str, key: &str| {
            let keyspace = &options.keyspace;
            let id = id("A-0").0.map(|byte| format!("{byte:02x}")).concat();
            let row = format!("WHERE conversion_id = 0x{id} AND {key}");
            let write = format!("UPDATE {keyspace}.{table} USING TIMESTAMP 1 SET {column} = {value} {row}");
            session.query_unpaged(write, ()).await.expect("written");
            let read = format!("SELECT writetime({column}) FROM {keyspace}.{table} {row}");
            let answer = session.query_unpaged(read, ()).await.expect("read").into_rows_result().expect("rows");
            assert_eq!(answer.single_row::<(Option<i64>,)>().expect("a row").0, Some(1), "{table} {column}");
        };
        probe("commissions", "rate", "'12'", "revision = 1").await;
        probe("commissions", "hold_until", "0", "revision = 2").await;
        // Of revision 2, which has neither.
        probe("conversions", "event_id", "'x'", "seq = 3").await;
        probe("conversions", "order_status", "'x'", "seq = 3").await;
        // Of the other kind of row.
        probe("conversions", "state", "'x'", "seq = 0").await;
        probe("conversions", "conversion", "{revision: 1}", "seq = 3").await;
    });
}

#[test]
fn what_makes_no_sense_is_passed_over_and_counted() {
    let options = keyspaces(Server::shared());
    let writer = Writer::new(&open(&options));
    let good = record(TRANSITIONS, &transition("A", 1));
    let records = [
        Record { value: vec![1, 2, 3].into(), ..good.clone() },
        good.clone(),
        record(TRANSITIONS, &transition("B", 0)),
        Record { topic: CONVERSIONS.number, ..good },
        record(BALANCES, &balance_changed(Account::AffiliatePayable, 1)),
    ];
    wait(writer.write(&records)).expect("written");
    let stats = writer.stats();
    assert_eq!((stats.records, stats.skipped), (3, 2), "{stats:?}");
    let found = dump(&options);
    assert_eq!((found["conversions_by_time"].len(), found["balances"].len()), (1, 1));
}

#[test]
fn a_long_timeline_with_much_metadata_is_written_without_a_warning_and_read_whole() {
    let options = keyspaces(Server::shared());
    let cql = open(&options);
    let writer = Writer::new(&cql);
    let mut long = ConversionTransitioned { metadata: Some("é".repeat(4 << 10)), ..transition("A", 1) };
    let entry = long.timeline[0].clone();
    long.seq = 300;
    long.timeline = (1..=300).map(|seq| schemas::records::TimelineEntry { seq, ..entry.clone() }).collect();
    wait(writer.write(&[record(TRANSITIONS, &long)])).expect("written");
    let stats = writer.stats();
    assert_eq!(stats.warnings, 0, "{stats:?}");
    let found = wait(model(&cql).conversion(id("A"))).expect("read").expect("there");
    assert_eq!(found.timeline, long.timeline);
    assert_eq!(found.conversion.metadata, long.metadata);
}

#[test]
fn entries_that_no_revision_counts_yet_are_not_shown() {
    let options = keyspaces(Server::shared());
    let cql = open(&options);
    let (writer, model) = (Writer::new(&cql), model(&cql));
    let put = |order: &str, seq: i32| {
        let statement = format!(
            "INSERT INTO {}.conversions (conversion_id, seq, state, at, cause, applied) VALUES (?, ?, 'hold', 0, 'click', true)",
            options.keyspace
        );
        let values = (id(order).0, seq);
        wait(async { session(&options).await.query_unpaged(statement, values).await.expect("written") });
    };
    put("A", 1);
    assert_eq!(wait(model.conversion(id("A"))).expect("read"), None);
    wait(writer.write(&[record(TRANSITIONS, &transition("B", 1))])).expect("written");
    put("B", 3);
    let found = wait(model.conversion(id("B"))).expect("read").expect("there");
    assert_eq!(found.timeline, transition("B", 1).timeline);
}

#[test]
fn a_row_of_a_list_says_only_where_a_conversion_is() {
    let options = keyspaces(Server::shared());
    let cql = open(&options);
    wait(Writer::new(&cql).write(&[record(TRANSITIONS, &transition("A", 1))])).expect("written");
    // Rows that lag behind, and rows that are nobody's, as no writer of ours leaves them for good.
    wait(async {
        let (session, keyspace) = (session(&options).await, &options.keyspace);
        let id = id("A").0;
        let copy = async |merchant_id: &str, received_at: i64, state: &str| {
            let statement = format!(
                "INSERT INTO {keyspace}.conversions_by_time (merchant_id, livemode, slot, shard, received_at, \
                 conversion_id, state, confidence) VALUES (?, true, ?, ?, ?, ?, ?, 'NONE')"
            );
            let slot = CqlTimestamp(NOW.0 - NOW.0 % 600_000);
            let shard = i8::try_from(id[0] % 16).expect("small");
            let values = (merchant_id, slot, shard, CqlTimestamp(received_at), id, state);
            session.query_unpaged(statement, values).await.expect("written");
            let list = format!("conversions/{merchant_id}/live");
            let statement =
                format!("INSERT INTO {keyspace}.list_slots (list, year, slot, shard) VALUES (?, 2026, ?, ?)");
            session.query_unpaged(statement, (&list, slot, shard)).await.expect("written");
            let statement = format!("INSERT INTO {keyspace}.list_years (list, year) VALUES (?, 2026)");
            session.query_unpaged(statement, (&list,)).await.expect("written");
        };
        copy("mer_one", NOW.0, "payable").await;
        copy("mer_one", NOW.0 + 1, "hold").await;
        copy("mer_two", NOW.0, "hold").await;
    });
    let model = model(&cql);
    let listed = |merchant_id: &str, state: Option<ConversionState>| {
        let query = ListQuery {
            of: ListOf::Merchant(merchant_id.to_owned()),
            livemode: true,
            state,
            confidence: None,
            from: None,
            until: None,
            after: None,
            limit: 10,
        };
        wait(model.list(&query)).expect("listed").rows.len()
    };
    assert_eq!(listed("mer_one", None), 1, "once, and in its own place");
    assert_eq!(listed("mer_one", Some(ConversionState::Payable)), 0, "what the conversion says counts");
    assert_eq!(listed("mer_two", None), 0, "no list has another's");
}
