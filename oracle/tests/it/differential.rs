//! Random runs of the production state machines leave nothing to object to.

use std::collections::BTreeSet;

use oracle::end;
use schemas::records::{CauseType, ConversionState, ConversionTransitioned, DeadLetter, PayoutState};
use schemas::topics::{DEAD_LETTERS, PAYOUT_REPORTS};

use crate::merchants::Run;

#[test]
fn the_processors_do_what_the_oracle_expects() {
    let (mut states, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    let (mut late_clicks, mut shrunk, mut refunded_whole) = (0, 0, 0);
    let (mut failed, mut retried, mut contradicted) = (0, 0, 0);
    let (mut moved, mut waited) = (0, 0);
    for seed in 1..=600 {
        let run = Run::of(seed);
        let faults: Vec<_> =
            run.world.faults.iter().cloned().chain(end(&run.facts, &run.world.committed, run.now())).collect();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "seed {seed}:\n{}", shown.join("\n"));
        let payouts: Vec<_> = run.world.committed.payouts().flat_map(|(_, payouts)| payouts).collect();
        failed += payouts.iter().filter(|it| it.state() == PayoutState::Failed).count();
        retried += payouts.iter().filter(|it| !it.made.retries.is_empty()).count();
        let letters = run.world.records().into_iter().filter(|it| it.topic.id == DEAD_LETTERS.number);
        let of_reports = |it: &DeadLetter| it.topic == PAYOUT_REPORTS.name;
        contradicted += letters.filter(|it| schemas::decode(&it.value).is_ok_and(|it| of_reports(&it))).count();
        for (_, revisions) in run.world.committed.conversions() {
            states.extend(revisions.iter().map(|it| it.state));
            reasons.extend(revisions.iter().filter_map(|it| it.confidence_reason));
            shrunk += usize::from(revisions.windows(2).any(|pair| amount(&pair[1]) < amount(&pair[0])));
            refunded_whole += usize::from(revisions.last().is_some_and(is_refunded_whole));
            for simulated in revisions.iter().map(causes).filter(|causes| causes.contains(&CauseType::PayoutSimulated))
            {
                let by_clock = simulated.contains(&CauseType::TestClock);
                (moved, waited) = (moved + usize::from(by_clock), waited + usize::from(!by_clock));
            }
            late_clicks += usize::from(
                revisions
                    .windows(2)
                    .any(|pair| pair[0].confidence_reason.is_some() && pair[1].confidence_reason.is_none()),
            );
        }
    }
    // The runs are worth something: they come everywhere.
    use ConversionState::{Attributed, CommissionCreated, Hold, Paid, Payable, Received, Rejected, Reversed};
    let expected = BTreeSet::from([Attributed, CommissionCreated, Hold, Payable, Paid, Received, Rejected, Reversed]);
    assert_eq!(states, expected);
    assert_eq!(reasons.len(), 10, "an order is LOW for every reason there is: {reasons:?}");
    let payouts = [failed, retried, contradicted];
    assert!(payouts.iter().all(|count| *count > 10), "payouts failed, were retried and were contradicted: {payouts:?}");
    assert!(moved > 3 && waited > 10, "payouts were simulated, {moved} by a moved clock and {waited} without");
    assert!(late_clicks > 10, "{late_clicks} late clicks upgraded an order");
    assert!(shrunk > 10, "{shrunk} commissions shrank by a refund");
    assert!(refunded_whole > 10, "{refunded_whole} orders were refunded in parts until nothing was left");
}

fn causes(revision: &ConversionTransitioned) -> Vec<CauseType> {
    revision.timeline.iter().map(|entry| entry.cause.kind).collect()
}

fn amount(revision: &ConversionTransitioned) -> Option<i64> {
    revision.commission.as_ref().map(|commission| commission.amount_minor)
}

fn is_refunded_whole(last: &ConversionTransitioned) -> bool {
    let whole = last.currency.thousandths(last.amount_minor);
    last.refunded_thousandths == Some(whole) && last.timeline.iter().any(|entry| entry.cause.applied)
}
