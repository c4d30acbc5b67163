//! Random runs of the production state machines have no difference, whole, cut off anywhere, and without their beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::Timestamp;
use schemas::registry::Registry;
use schemas::topics::{
    CATALOGUE, CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, CONVERSIONS, LEDGER_ENTRIES, PAYOUT_REPORTS, SETTLEMENTS,
};
use verify::{Options, Report, Verifier};

use crate::merchants::{Run, Shown};
use crate::registry::{FIRST, SECOND};

/// The inputs of processors.
const INPUTS: [u16; 7] = [
    CONVERSIONS.number,
    CLICKS.number,
    CLICK_LOOKUPS.number,
    CLICK_VERDICTS.number,
    LEDGER_ENTRIES.number,
    PAYOUT_REPORTS.number,
    SETTLEMENTS.number,
];

/// The records of a run, and when it ended.
pub(crate) fn records(seed: u64) -> (Vec<Shown>, i64) {
    let run = Run::of(seed);
    (run.shown(), run.now())
}

/// What the verifier says of these records, of which all before `committed` are processed.
pub(crate) fn verified(shown: &[Shown], now_ms: i64, committed: u64, lost: bool) -> Report {
    let partitions = CATALOGUE.iter().map(|spec| (spec.number, 0));
    let mut verifier = Verifier::new(Options {
        tolerance_ms: 0,
        listed_max: 100,
        concurrent: false,
        compacted: false,
        lost: if lost { partitions.collect() } else { BTreeSet::new() },
    });
    for text in [FIRST, SECOND] {
        verifier.registry(Arc::new(Registry::parse(text).unwrap()));
    }
    for Shown { topic, partition, offset, key, value } in shown {
        verifier.take(*topic, *partition, *offset, key, value);
    }
    let committed: BTreeMap<(u16, u32), u64> = INPUTS.iter().map(|topic| ((*topic, 0), committed)).collect();
    verifier.finish(Timestamp(now_ms), &committed)
}

fn clean(report: &Report, what: &str) {
    let lines: Vec<String> = report.differences.iter().map(|it| format!("{it:?}")).collect();
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
    assert_eq!(report.differences_total, 0, "{what}");
}

#[test]
fn right_runs_have_no_difference() {
    let (mut judged, mut letters, mut payouts) = (0, 0, 0);
    for seed in 1..=300 {
        let (shown, now_ms) = records(seed);
        let report = verified(&shown, now_ms, u64::MAX, false);
        clean(&report, &format!("seed {seed}"));
        let counts = &report.counts;
        assert_eq!((counts.judged, counts.pending, counts.begun_before), (counts.orders, 0, 0), "seed {seed}");
        judged += counts.judged;
        letters += counts.dead_letters;
        payouts += counts.payouts;
    }
    assert!(judged > 1_000 && letters > 10, "{judged} orders were judged, and there were {letters} dead letters");
    assert!(payouts > 20, "there were {payouts} payouts");
}

#[test]
fn what_is_not_processed_is_pending() {
    let mut pending = 0;
    for seed in 1..=100 {
        let (mut shown, now_ms) = records(seed);
        // As if nobody had gone on from here: the inputs that came later are there, and nothing that was made of them.
        let is_fact = |it: &Shown| [CONVERSIONS.number, CLICKS.number, PAYOUT_REPORTS.number].contains(&it.topic);
        let half = shown.len() / 2;
        // Before a fact no step is under way.
        let cut = half + shown[half..].iter().position(is_fact).unwrap_or(0);
        let mut index = 0;
        shown.retain(|it| {
            index += 1;
            index <= cut || is_fact(it)
        });
        let report = verified(&shown, now_ms, 0, false);
        clean(&report, &format!("seed {seed}"));
        assert_eq!(report.counts.judged, 0, "seed {seed}");
        pending += report.counts.pending;
    }
    assert!(pending > 100, "{pending} orders were pending");
}

#[test]
fn a_beginning_that_is_gone_is_no_difference() {
    let (mut judged, mut begun_before) = (0, 0);
    for seed in 1..=200 {
        let (shown, now_ms) = records(seed);
        for part in 1..8 {
            let report = verified(&shown[shown.len() * part / 8..], now_ms, u64::MAX, true);
            clean(&report, &format!("seed {seed} without {part} eighths"));
            judged += report.counts.judged;
            begun_before += report.counts.begun_before;
        }
    }
    assert!(judged > 100 && begun_before > 100, "{judged} orders were judged, {begun_before} were not");
}
