//! `conversions what-if` on a real log: nothing under the rules that were in force, and what others make of it.

use std::fs;

use serde_json::{Value, json};

use crate::support::text;
use crate::up::cluster::Cluster;

const DEMO: &str = include_str!("../../../../schemas/src/registry/demo.toml");
const RANGE: [&str; 4] = ["--from", "2026-06-14T09:30:00Z", "--to", "2026-06-14T09:30:00.001Z"];

/// The amounts of four orders of the first merchant, of which the second has no click, in paisa.
pub(crate) const AMOUNTS: [i64; 4] = [10_005, 10_006, 10_007, 10_008];

fn asked<C: Cluster>(cluster: &C, rules: &str, more: &[&str], code: i32) -> String {
    let file = cluster.folder().join("proposed.toml");
    fs::write(&file, rules).expect("a file");
    let output = cluster.what_if(&[&["--rules", file.to_str().expect("UTF-8")], more].concat());
    let (said, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "what-if {more:?}: {said}{log}");
    if code == 0 { said } else { log }
}

fn json<C: Cluster>(cluster: &C, rules: &str, more: &[&str]) -> Value {
    serde_json::from_str(&asked(cluster, rules, &[&RANGE[..], &["--json"], more].concat(), 0)).expect("JSON")
}

/// Checks the answers about the orders of [`AMOUNTS`], all of them delivered and none reversed.
pub(crate) fn checked<C: Cluster>(cluster: &C) {
    let same = json(cluster, DEMO, &[]);
    let none = ["orders", "changed", "gained", "lost", "without"].map(|field| same[field].clone());
    assert_eq!(none, [4, 0, 0, 0, 1], "{same}");
    // Ten per cent, by hand: 1000.5 to the even 1000, 1000.7, 1000.8.
    let unchanged = json!({"published": "30.02", "proposed": "30.02", "difference": "0.00"});
    assert_eq!(same["totals"][0]["commission"], unchanged, "{same}");

    let campaign = "campaign = \"cmp_one\"\npercent = \"10\"";
    assert!(DEMO.contains(campaign), "the demo's rule is as it was");
    let less = DEMO.replace(campaign, &campaign.replace("10", "7.5"));
    let proposed = json(cluster, &less, &[]);
    // 750.375, 750.525 and 750.6.
    let sums = json!({"published": "30.02", "proposed": "22.52", "difference": "-7.50"});
    let account = json!({
        "merchantId": "mer_one", "affiliateId": "aff_one", "currency": "NPR",
        "orders": {"published": 3, "proposed": 3, "changed": 3}, "commission": sums, "counting": sums,
    });
    assert_eq!(proposed["accounts"], json!([account]), "{proposed}");
    assert_eq!(proposed["changed"], 3, "{proposed}");
    let said = asked(cluster, &less, &RANGE, 0);
    for expected in ["4 orders, 3 of them change", "mer_one", "aff_one", "NPR", "30.02", "22.52", "-7.50"] {
        assert!(said.contains(expected), "{expected:?} expected: {said}");
    }

    let of_test = json(cluster, &less, &["--test"]);
    assert_eq!((&of_test["orders"], &of_test["accounts"]), (&json!(0), &json!([])), "{of_test}");
    let later = ["--from", "2026-06-14T09:30:00.001Z", "--to", "2027-01-01T00:00:00Z", "--json"];
    assert!(asked(cluster, &less, &later, 0).contains("\"orders\":0"), "the range begins after them");
    let backwards = ["--from", "2026-06-14T09:30:00Z", "--to", "2026-06-14T09:30:00Z"];
    assert!(asked(cluster, &less, &backwards, 2).contains("must be before"), "an empty range");
    let faulty = less.replace("percent = \"7.5\"", "percent = \"7.5%\"");
    assert!(asked(cluster, &faulty, &RANGE, 2).contains("has faults"), "rules with a fault");
}
