//! Many claimants and two keepers over tables that lose answers at random: one seed is one history.

use std::sync::Arc;
use std::time::Duration;

use schemas::ids::OrderKey;
use schemas::records::{ConversionReported, OrderStatus};
use schemas::topics::CONVERSIONS;
use schemas::{Currency, Timestamp};
use streams::{Clock, Record};
use tokio::time::sleep;

use super::super::{ClaimKeeper, ConversionRow, CqlClaims};
use super::table::{Read, Scripted, Write};
use crate::claims::{Claim, Claims, ConversionClaim, Fingerprint};

const SEEDS: u64 = 1_500;
const CLAIMANTS: u64 = 5;
pub(super) const NOW: Timestamp = Timestamp(1_781_429_400_000);

/// A clock that stands still.
#[derive(Debug)]
pub(super) struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        NOW.0
    }
}

pub(super) fn report(order: &str, event: &str) -> ConversionReported {
    ConversionReported {
        event_id: event.to_owned(),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id: order.to_owned(),
        click_id: None,
        external_product_id: None,
        amount_minor: 299_900,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Confirmed,
        ordered_at: None,
        received_at: NOW,
        coupon_code: None,
        metadata: None,
        idempotency: None,
    }
}

pub(super) fn record(report: &ConversionReported, offset: u64) -> Record {
    let value = schemas::encode(report).into();
    Record { topic: CONVERSIONS.number, partition: 0, offset, key: Default::default(), value }
}

pub(super) fn claim_of(report: &ConversionReported, offset: u64) -> ConversionClaim {
    let fingerprint = Fingerprint::of(report);
    ConversionClaim { event_id: report.event_id.clone(), fingerprint, partition: 0, offset }
}

/// Half of all writes and a third of all looks go wrong somehow.
fn faults(table: &Scripted, dice: &mut fastrand::Rng) {
    let mut rows = table.rows();
    for _ in 0..200 {
        let write = match dice.u8(..10) {
            0 | 1 => Write::Unanswered,
            2 => Write::Lost,
            3 => Write::Late(Duration::from_millis(dice.u64(..60))),
            4 => Write::Refused,
            _ => Write::Works,
        };
        rows.writes.push_back(write);
        rows.reads.push_back(if dice.u8(..3) == 0 { Read::Fails } else { Read::Works });
    }
}

async fn history(seed: u64) -> (usize, usize) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let table = Scripted::default();
    faults(&table, &mut dice);
    let reports: Vec<ConversionReported> =
        (0..CLAIMANTS).map(|number| report("A", &format!("cnvevt_{number}"))).collect();
    let records: Vec<Record> = (0_u64..).zip(&reports).map(|(offset, report)| record(report, offset)).collect();
    let order = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: "A" };
    let id = order.conversion_id();
    let mut callers = Vec::new();
    for (offset, report) in (0_u64..).zip(reports.clone()) {
        let claims = CqlClaims::over(table.clone(), Duration::from_millis(900));
        let wait = Duration::from_millis(dice.u64(..40));
        callers.push(tokio::spawn(async move {
            sleep(wait).await;
            (report.event_id.clone(), claims.claim_conversion(id, &claim_of(&report, offset)).await)
        }));
    }
    let mut keepers = Vec::new();
    for _ in 0..2 {
        let keeper = ClaimKeeper::over(table.clone(), Arc::new(Still));
        let (records, wait) = (records.clone(), Duration::from_millis(dice.u64(..40)));
        keepers.push(tokio::spawn(async move {
            sleep(wait).await;
            // It is given the batch again until all of it is good.
            while keeper.keep(&records).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        }));
    }
    let mut told = Vec::new();
    for caller in callers {
        told.push(caller.await.expect("no panic"));
    }
    for keeper in keepers {
        keeper.await.expect("no panic");
    }
    sleep(Duration::from_secs(1)).await;
    let ConversionRow { claimed_by, claim } = table.rows().conversions[&id].clone();
    assert_eq!(claim, claim_of(&reports[0], 0), "seed {seed}: the first in the log stands");
    for (event_id, told) in &told {
        match told {
            Ok(Claim::Claimed) => assert_eq!(*event_id, claimed_by, "seed {seed}: claimed"),
            Ok(Claim::Taken(_)) => assert_ne!(*event_id, claimed_by, "seed {seed}: taken"),
            Err(_) => {}
        }
    }
    let first = told.iter().filter(|(_, told)| matches!(told, Ok(Claim::Claimed))).count();
    (first, told.iter().filter(|(_, told)| told.is_err()).count())
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_wrong() {
    let (mut firsts, mut unknown) = (0, 0);
    for seed in 0..SEEDS {
        let (first, failed) = history(seed).await;
        assert!(first <= 1, "seed {seed}: {first} were told that they are first");
        firsts += first;
        unknown += failed;
    }
    // It got to the places that matter.
    assert!(firsts > 700 && unknown > 300, "{firsts} first, {unknown} unknown");
}
