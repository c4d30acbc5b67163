//! Records as rows, and what is left of rows when they are written in any order, any number of times.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::Timestamp;
use schemas::records::{
    BalanceChanged, CommissionChanged, Confidence, ConversionState, ConversionTransitioned, LedgerEntry, PayoutChanged,
    TimelineEntry,
};
use schemas::topics::{BALANCES, CLICKS, COMMISSIONS, CONVERSIONS, LEDGER_ENTRIES, PAYOUTS, TRANSITIONS};
use streams::Record;

use super::super::batch::Batch;
use super::super::columns::EPOCH;
use super::super::mapping::rows;
use super::super::rows::{Place, Row};
use super::draw::{balance_changed, commission_changed, ledger_entry, log, payout_changes, record, transition};

/// What a server has: of two writes of a row the one with the higher timestamp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Server {
    rows: BTreeMap<Place, Row>,
}

impl Server {
    fn write(&mut self, row: Row) {
        let place = row.place();
        let newer = match self.rows.get(&place) {
            Some(present) if present.written_at() == row.written_at() => {
                assert_eq!(present, &row, "one timestamp, two contents");
                false
            }
            Some(present) => present.written_at() < row.written_at(),
            None => true,
        };
        if newer {
            self.rows.insert(place, row);
        }
    }

    /// As the writer does it.
    fn write_batch(&mut self, records: &[&Record]) {
        let mut batch = Batch::default();
        records.iter().flat_map(|record| rows(record).expect("sound")).for_each(|row| batch.add(row));
        let requests = batch.into_partitions().into_iter().flatten();
        requests.flatten().for_each(|row| self.write(row));
    }
}

fn one_by_one<'a>(records: impl IntoIterator<Item = &'a Record>) -> Server {
    let mut server = Server::default();
    records.into_iter().flat_map(|record| rows(record).expect("sound")).for_each(|row| server.write(row));
    server
}

proptest! {
    #[test]
    fn records_end_the_same_in_any_order_and_any_number(
        (conversions, records) in log(),
        picks in proptest::collection::vec((any::<prop::sample::Index>(), 1..5_usize), 0..20),
        order in any::<prop::sample::Index>(),
    ) {
        let expected = one_by_one(&records);
        let mut server = Server::default();
        // Some records again and again, in batches; then all of them, from anywhere on and round.
        for (pick, length) in picks {
            let start = pick.index(records.len());
            let batch: Vec<_> = records[start..].iter().take(length).rev().collect();
            server.write_batch(&batch);
        }
        let start = order.index(records.len());
        for batch in [&records[start..], &records[..start]] {
            server.write_batch(&batch.iter().collect::<Vec<_>>());
        }
        prop_assert_eq!(&server, &expected);
        for revisions in conversions {
            let last = revisions.last().expect("at least one").clone();
            let entries: Vec<_> = revisions.iter().flat_map(|revision| revision.timeline.iter().map(|it| it.seq)).collect();
            let last = ConversionTransitioned { timeline: Vec::new(), ..last };
            let found = server.rows.values().find_map(|row| match row {
                Row::Conversion(row) if row.conversion_id == last.conversion_id.0 => Some(row.conversion.clone()),
                _ => None,
            });
            prop_assert_eq!(found.expect("there").into_record(last.conversion_id), last.clone());
            let timeline: Vec<_> = server.rows.values().filter_map(|row| match row {
                Row::Entry(row) if row.conversion_id == last.conversion_id.0 => Some(row.seq),
                _ => None,
            }).collect();
            prop_assert_eq!(timeline, entries);
        }
    }

    #[test]
    fn requests_are_bounded_and_of_one_partition((_, records) in log(), times in 1..40_i32) {
        let mut batch = Batch::default();
        for record in &records {
            for row in rows(record).expect("sound") {
                // A timeline as long as they get.
                if let Row::Entry(entry) = &row {
                    for time in 1..times {
                        let mut more = entry.clone();
                        more.seq += 100 * time;
                        batch.add(Row::Entry(more));
                    }
                }
                batch.add(row);
            }
        }
        let expected: BTreeMap<Place, Row> = batch.iter().map(|(place, row)| (place.clone(), row.clone())).collect();
        let mut found = BTreeMap::new();
        for partition in batch.into_partitions() {
            let last = partition.len() - 1;
            for (number, request) in partition.into_iter().enumerate() {
                prop_assert!((1..=64).contains(&request.len()));
                prop_assert!(request.len() == 1 || request.iter().map(Row::weight).sum::<usize>() <= 64 << 10);
                prop_assert!(request.iter().all(|row| row.place().partition == request[0].place().partition));
                // The row that counts a timeline is written with its end or after it.
                let heads = request.iter().filter(|row| matches!(row, Row::Conversion(_))).count();
                prop_assert!(heads == 0 || number == last);
                found.extend(request.into_iter().map(|row| (row.place(), row)));
            }
        }
        prop_assert_eq!(found, expected);
    }
}

/// A row in a few words: its table, its key but for what is the same in all of them, and its version.
fn told(row: &Row) -> String {
    let version = row.written_at() - EPOCH;
    let table = row.table();
    match row {
        Row::Conversion(row) => format!("{table} seq 0: {} @{version}", row.conversion.state),
        Row::Entry(row) => format!("{table} seq {}: {} {} @{version}", row.seq, row.state, row.cause),
        Row::Listed(row) => {
            let (slot, shard) = (Timestamp(row.slot.0), row.shard);
            format!("{table} {} {slot} {shard}: {} {} @{version}", row.merchant_id, row.state, row.confidence)
        }
        Row::Year(row) => format!("{table} {} {} @{version}", row.list, row.year),
        Row::Slot(row) => {
            format!("{table} {} {} {} {} @{version}", row.list, row.year, Timestamp(row.slot.0), row.shard)
        }
        Row::Commission(row) => format!("{table} {}: {} {} @{version}", row.revision, row.state, row.amount_minor),
        Row::Booking(row) => {
            let (slot, shard, booking) = (Timestamp(row.slot.0), row.shard, &row.booking);
            format!("{table} {} {slot} {shard}: {} @{version}", booking.affiliate_id, booking.amount_minor)
        }
        Row::BookingOfConversion(row) => format!("{table} {}: {} @{version}", row.revision, row.amount_minor),
        Row::Balance(row) => {
            format!("{table} {} {}: {} @{version}", row.affiliate_id, row.account, row.balance_minor.0)
        }
        Row::Payout(row) => format!("{table} {} @{version}", row.change),
        Row::ListedPayout(row) => {
            format!("{table} {} {} {} @{version}", Timestamp(row.slot.0), row.shard, Timestamp(row.cut_off.0))
        }
        Row::Position(row) => format!("{table} {} {} @{version}", row.topic, row.partition),
        Row::Identity(row) => format!("{table} {} @{version}", row.identity),
    }
}

#[track_caller]
fn check(record: &Record, expected: &[&str]) {
    let rows = rows(record).expect("sound");
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn each_record_has_its_rows() {
    check(
        &record(&TRANSITIONS, &transition()),
        &[
            "conversions seq 3: attributed click @0",
            "conversions seq 4: hold order_status @0",
            "conversions seq 0: hold @2",
            "list_years conversions/mer_one/live 2026 @0",
            "list_slots conversions/mer_one/live 2026 2026-06-14T09:30:00Z 0 @0",
            "conversions_by_time mer_one 2026-06-14T09:30:00Z 0: hold NONE @2",
        ],
    );
    let low = ConversionTransitioned {
        state: ConversionState::Rejected,
        confidence: Some(Confidence::Low),
        timeline: Vec::new(),
        ..transition()
    };
    check(
        &record(&TRANSITIONS, &low),
        &[
            "conversions seq 0: rejected @2",
            "list_years conversions/mer_one/live 2026 @0",
            "list_slots conversions/mer_one/live 2026 2026-06-14T09:30:00Z 0 @0",
            "conversions_by_time mer_one 2026-06-14T09:30:00Z 0: rejected LOW @2",
            "list_years reviews/live 2026 @0",
            "list_slots reviews/live 2026 2026-06-14T09:30:00Z 0 @0",
            "conversions_by_time * 2026-06-14T09:30:00Z 0: rejected LOW @2",
        ],
    );
    check(&record(&COMMISSIONS, &commission_changed()), &["commissions 2: held 500 @0"]);
    check(
        &record(&LEDGER_ENTRIES, &ledger_entry()),
        &[
            "list_years ledger/aff_one/NPR/test 2026 @0",
            "list_slots ledger/aff_one/NPR/test 2026 2026-06-14T09:30:00Z 8 @0",
            "ledger_entries aff_one 2026-06-14T09:30:00Z 8: 500 @0",
            "ledger_entries_by_conversion 2: 500 @0",
        ],
    );
    check(
        &record(&BALANCES, &balance_changed()),
        &["balances aff_one affiliate_pending: -170141183460469231731687303715884105728 @9"],
    );
    let [made, failed] = payout_changes();
    for (change, number) in [(&made, 1), (&failed, 2)] {
        check(
            &record(&PAYOUTS, change),
            &[
                "list_years payouts 2026 @0",
                "list_slots payouts 2026 2026-06-14T09:30:00Z 3 @0",
                &format!("payouts {number} @0"),
                &format!("payouts_by_time 2026-06-14T09:30:00Z 3 2026-06-14T09:30:00Z @{number}"),
            ],
        );
    }
    check(&Record { topic: CONVERSIONS.number, ..record(&TRANSITIONS, &transition()) }, &[]);
    check(&Record { topic: CLICKS.number, ..record(&TRANSITIONS, &transition()) }, &[]);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let long = "x".repeat(129);
    let made = || payout_changes()[0].clone();
    let entry = || TimelineEntry { seq: 5, ..transition().timeline[0].clone() };
    for (record, part) in [
        (record(&TRANSITIONS, &ConversionTransitioned { revision: 0, ..transition() }), "revision is 0"),
        (record(&TRANSITIONS, &ConversionTransitioned { revision: i64::MAX, ..transition() }), "revision is 9223"),
        (record(&TRANSITIONS, &ConversionTransitioned { merchant_id: "a/b".to_owned(), ..transition() }), "merchantId"),
        (record(&TRANSITIONS, &ConversionTransitioned { timeline: vec![entry()], ..transition() }), "seq 5"),
        (record(&TRANSITIONS, &balance_changed()), "fingerprint"),
        (record(&COMMISSIONS, &CommissionChanged { revision: -1, ..commission_changed() }), "revision is -1"),
        (record(&LEDGER_ENTRIES, &LedgerEntry { revision: 0, ..ledger_entry() }), "revision is 0"),
        (record(&LEDGER_ENTRIES, &LedgerEntry { affiliate_id: String::new(), ..ledger_entry() }), "affiliateId"),
        (record(&LEDGER_ENTRIES, &LedgerEntry { entry_id: long, ..ledger_entry() }), "entryId has 129 bytes"),
        (record(&BALANCES, &BalanceChanged { entries: 0, ..balance_changed() }), "entries is 0"),
        (record(&BALANCES, &BalanceChanged { affiliate_id: "é".to_owned(), ..balance_changed() }), "affiliateId"),
        (record(&PAYOUTS, &PayoutChanged { affiliate_id: "a/b".to_owned(), ..made() }), "affiliateId"),
        (record(&PAYOUTS, &PayoutChanged { payout_id: "pay_1_NPR_aff_one".to_owned(), ..made() }), "payoutId"),
        (record(&PAYOUTS, &PayoutChanged { livemode: false, ..made() }), "livemode"),
        (Record { value: Default::default(), ..record(&BALANCES, &balance_changed()) }, "no Avro"),
    ] {
        let error = rows(&record).expect_err(part);
        assert!(error.contains(part), "{error}");
    }
}
