//! Random runs of the production state machines leave nothing to object to.

use std::collections::BTreeSet;

use oracle::end;
use schemas::records::ConversionState;

use crate::merchants::Run;

#[test]
fn the_processors_do_what_the_oracle_expects() {
    let mut states = BTreeSet::new();
    let mut late_clicks = 0;
    for seed in 1..=600 {
        let run = Run::of(seed);
        let faults: Vec<_> =
            run.world.faults.iter().cloned().chain(end(&run.facts, &run.world.committed, run.now())).collect();
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "seed {seed}:\n{}", shown.join("\n"));
        for (_, revisions) in run.world.committed.conversions() {
            states.extend(revisions.iter().map(|it| it.state));
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
    assert!(late_clicks > 10, "{late_clicks} late clicks upgraded an order");
}
