//! Random runs of the production state machines leave nothing to object to.

use std::collections::BTreeSet;

use oracle::end;
use schemas::records::{ConversionState, ConversionTransitioned};

use crate::merchants::Run;

#[test]
fn the_processors_do_what_the_oracle_expects() {
    let (mut states, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    let (mut late_clicks, mut shrunk, mut refunded_whole) = (0, 0, 0);
    for seed in 1..=600 {
        let run = Run::of(seed);
        let faults: Vec<_> =
            run.world.faults.iter().cloned().chain(end(&run.facts, &run.world.committed, run.now())).collect();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "seed {seed}:\n{}", shown.join("\n"));
        for (_, revisions) in run.world.committed.conversions() {
            states.extend(revisions.iter().map(|it| it.state));
            reasons.extend(revisions.iter().filter_map(|it| it.confidence_reason));
            shrunk += usize::from(revisions.windows(2).any(|pair| amount(&pair[1]) < amount(&pair[0])));
            refunded_whole += usize::from(revisions.last().is_some_and(is_refunded_whole));
            late_clicks += usize::from(
                revisions
                    .windows(2)
                    .any(|pair| pair[0].confidence_reason.is_some() && pair[1].confidence_reason.is_none()),
            );
        }
    }
    // The runs are worth something: they come everywhere.
    use ConversionState::{Attributed, CommissionCreated, Hold, Payable, Received, Reversed};
    let expected = BTreeSet::from([Attributed, CommissionCreated, Hold, Payable, Received, Reversed]);
    assert_eq!(states, expected);
    assert_eq!(reasons.len(), 9, "an order is LOW for every reason there is: {reasons:?}");
    assert!(late_clicks > 10, "{late_clicks} late clicks upgraded an order");
    assert!(shrunk > 10, "{shrunk} commissions shrank by a refund");
    assert!(refunded_whole > 10, "{refunded_whole} orders were refunded in parts until nothing was left");
}

fn amount(revision: &ConversionTransitioned) -> Option<i64> {
    revision.commission.as_ref().map(|commission| commission.amount_minor)
}

fn is_refunded_whole(last: &ConversionTransitioned) -> bool {
    let whole = last.currency.thousandths(last.amount_minor);
    last.refunded_thousandths == Some(whole) && last.timeline.iter().any(|entry| entry.cause.applied)
}
