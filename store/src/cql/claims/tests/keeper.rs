//! Claims made good from the log.

use std::sync::Arc;
use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{ConversionReported, IdempotencyUse, OrderStatusReported, ReportedStatus};
use schemas::topics::CONVERSIONS;
use streams::Record;
use tokio::time::Instant;

use super::super::{ClaimKeeper, ConversionRow, GRACE};
use super::campaign::{NOW, Still, claim_of, record, report};
use super::table::{Scripted, Write};
use crate::claims::{IdempotencyScope, KeyUse, status_digest};
use crate::cql::KeptStats;

fn id(order: &str) -> ConversionId {
    OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: order }.conversion_id()
}

fn keeper(table: &Scripted) -> ClaimKeeper<Scripted> {
    ClaimKeeper::over(table.clone(), Arc::new(Still))
}

fn row_of(claimed_by: &str, report: &ConversionReported, offset: u64) -> ConversionRow {
    ConversionRow { claimed_by: claimed_by.to_owned(), claim: claim_of(report, offset) }
}

fn delivered(order: &str, event: &str) -> OrderStatusReported {
    OrderStatusReported {
        event_id: event.to_owned(),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id: order.to_owned(),
        status: ReportedStatus::Delivered,
        click_id: None,
        status_updated_at: None,
        refunded_thousandths: None,
        received_at: NOW,
        reason: None,
        metadata: None,
        idempotency: None,
    }
}

fn update(order: &str, event: &str) -> Record {
    encoded(&delivered(order, event))
}

fn encoded(update: &OrderStatusReported) -> Record {
    let value = schemas::encode(update).into();
    Record { topic: CONVERSIONS.number, partition: 0, offset: 9, key: Default::default(), value }
}

#[tokio::test(start_paused = true)]
async fn a_missing_claim_is_the_first_reports() {
    let table = Scripted::default();
    let reports = [report("A", "cnvevt_1"), report("A", "cnvevt_2"), report("B", "cnvevt_3")];
    let records = [record(&reports[0], 5), record(&reports[1], 6), record(&reports[2], 7), update("A", "osevt_1")];
    let keeper = keeper(&table);
    for _ in 0..2 {
        keeper.keep(&records).await.expect("kept");
        let rows = table.rows();
        assert_eq!(rows.conversions[&id("A")], row_of("cnvevt_1", &reports[0], 5));
        assert_eq!(rows.conversions[&id("B")], row_of("cnvevt_3", &reports[2], 7));
        assert_eq!(rows.statuses[&status_digest(id("A"), &delivered("A", "osevt_1"))], "osevt_1");
        assert_eq!(rows.written, 3, "again is nothing");
    }
    assert_eq!(keeper.stats(), KeptStats { records: 8, made: 3, ..KeptStats::default() });
}

#[tokio::test(start_paused = true)]
async fn a_claim_moves_to_an_earlier_report_and_no_later_one() {
    let (first, second) = (report("A", "cnvevt_1"), report("A", "cnvevt_2"));
    for (present, expected, moved) in [
        (row_of("cnvevt_2", &second, 6), row_of("cnvevt_2", &first, 5), 1),
        (row_of("cnvevt_1", &first, 4), row_of("cnvevt_1", &first, 4), 0),
    ] {
        let table = Scripted::default();
        table.rows().conversions.insert(id("A"), present);
        let keeper = keeper(&table);
        keeper.keep(&[record(&first, 5), record(&second, 6)]).await.expect("kept");
        assert_eq!(table.rows().conversions[&id("A")], expected);
        assert_eq!(keeper.stats().moved, moved);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up_and_a_refusal_gives_the_batch_back() {
    for (writes, asked, kept) in [
        (vec![Write::Unanswered], (1, 1), true),
        (vec![Write::Lost, Write::Lost], (3, 2), true),
        (vec![Write::Lost; 9], (5, 4), false),
        (vec![Write::Refused], (1, 0), false),
    ] {
        let table = Scripted::default();
        table.rows().writes.extend(&writes);
        let result = keeper(&table).keep(&[record(&report("A", "cnvevt_1"), 5)]).await;
        assert_eq!(result.is_ok(), kept, "{writes:?}");
        assert!(result.is_ok() || result.is_err_and(|error| error.is_transient()));
        let rows = table.rows();
        assert_eq!((rows.written, rows.looked), asked, "{writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_are_their_edges_to_make_for_a_grace() {
    for (age_ms, wait) in [(0, GRACE), (1_500, Duration::from_millis(500)), (60_000, Duration::ZERO), (-5_000, GRACE)] {
        let began = Instant::now();
        let young = ConversionReported { received_at: Timestamp(NOW.0 - age_ms), ..report("A", "cnvevt_1") };
        let old = ConversionReported { received_at: Timestamp(NOW.0 - 90_000), ..report("B", "cnvevt_2") };
        keeper(&Scripted::default()).keep(&[record(&young, 5), record(&old, 6)]).await.expect("kept");
        assert_eq!(began.elapsed(), wait, "{age_ms} ms old");
    }
    let began = Instant::now();
    keeper(&Scripted::default()).keep(&[]).await.expect("kept");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_for_what_is_left_of_their_day() {
    let day_ms = 86_400_000;
    let table = Scripted::default();
    let used = |key: &str, body: &str, ago_ms: i64| ConversionReported {
        received_at: Timestamp(NOW.0 - ago_ms),
        idempotency: Some(IdempotencyUse { key: key.to_owned(), body_digest: body.repeat(32) }),
        ..report(key, "cnvevt_1")
    };
    let reports =
        [used("old", "1", day_ms), used("young", "3", 10), used("young", "2", day_ms - 1), used("bad", "xy", 0)];
    let mut records: Vec<Record> = (0_u64..).zip(&reports).map(|(offset, report)| record(report, offset)).collect();
    let idempotency = Some(IdempotencyUse { key: "order-status\0young".to_owned(), body_digest: "4".repeat(32) });
    records.push(encoded(&OrderStatusReported { idempotency, ..delivered("A", "osevt_1") }));
    let keeper = keeper(&table);
    keeper.keep(&records).await.expect("kept");
    let scope = IdempotencyScope { merchant_id: "mer_one".to_owned(), livemode: true };
    let rows = table.rows();
    let left = Duration::from_millis(day_ms.cast_unsigned() - 10);
    let young = KeyUse { at: Timestamp(NOW.0 - 10), body_digest: [0x33; 16] };
    let of_status = KeyUse { at: NOW, body_digest: [0x44; 16] };
    let expected = [
        (
            &(scope.clone(), "order-status\0young".to_owned()),
            &(of_status, Duration::from_millis(day_ms.cast_unsigned())),
        ),
        (&(scope, "young".to_owned()), &(young, left)),
    ];
    assert_eq!(rows.keys.iter().collect::<Vec<_>>(), expected);
    assert_eq!((keeper.stats().skipped, keeper.stats().records), (1, 5), "one has no digest");
}
