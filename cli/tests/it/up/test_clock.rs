//! The time of a test order, moved past its hold by an integrator who does not wait.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::text;
use crate::up::client::{CONVERSIONS, Client, Merchant, ONE, unix_seconds};
use crate::up::cluster::Cluster;
use crate::up::orders::ORDERED_AT;
use crate::up::poll;

const PATH: &str = "/api/v1/test/clock";
const DEMO: &str = include_str!("../../../../schemas/src/registry/demo.toml");

static TEST: Merchant =
    Merchant { id: ONE.id, key: "test_pk_clock", secret: "sk_test_5ca1ab1e5ca1ab1e00000007", click: ONE.click };

/// The demo with a test key, holds of 30 days, and payouts.
pub(crate) fn registry() -> String {
    let windows = "settlement_window = \"5s\"";
    assert!(DEMO.contains(windows), "the demo's windows are as they were");
    let Merchant { id, key, secret, .. } = TEST;
    let key = format!("\n[[keys]]\nid = \"{key}\"\nmerchant = \"{id}\"\nsecret = \"{secret}\"\n");
    DEMO.replace(windows, "settlement_window = \"30d\"\npayout_cut_off = \"friday 18:00 Asia/Kathmandu\"") + &key
}

fn in_state(client: &mut Client, id: &str, state: &str) -> Value {
    poll(Duration::from_secs(20), || {
        let conversion = client.conversion(id).json();
        if conversion["state"] == state { Ok(conversion) } else { Err(format!("{state} expected: {conversion}")) }
    })
}

/// Reports a test order under [`registry`], moves its time past its hold and past the cut-off after it, and sees its commission
/// payable and paid; and has `conversions verify` judge it.
pub(crate) fn moves_past_a_hold<C: Cluster>(cluster: &mut C) {
    cluster.apply(&registry());
    let target = cluster.target();
    let (mut test, mut live) = (Client::new(&target, &TEST), Client::new(&target, &ONE));
    let order = json!({"externalOrderId": "CLOCK-1", "orderAmount": "1000.00", "currency": "NPR", "clickId": ONE.click,
        "orderStatus": "confirmed", "orderedAt": ORDERED_AT});
    let instant = |days: i64| {
        let seconds = i64::try_from(unix_seconds()).expect("seconds") + days * 86_400;
        schemas::Timestamp(seconds * 1_000).to_string()
    };
    let body = |to: &str| json!({"externalOrderId": "CLOCK-1", "advanceTo": to}).to_string();
    // Before its order, to where nothing is due.
    let early = body(&instant(1));
    let answer = test.settle(PATH, &early, None);
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("ACCEPTED")), "{answer:?}");
    assert_eq!(test.settle(CONVERSIONS, &order.to_string(), None).status, 202);
    let held = in_state(&mut test, "CLOCK-1", "hold");
    // The cut-off is after the hold, be it by a millisecond or by a week.
    let (over, paid) = (body(held["holdUntil"].as_str().expect("an instant")), body(&instant(38)));
    let refused = live.settle(PATH, &over, None);
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("TEST_KEY_REQUIRED")), "{refused:?}");

    let answer = test.settle(PATH, &over, None).json();
    let conversion = in_state(&mut test, "CLOCK-1", "payable");
    assert_eq!(conversion["commission"]["amount"], "100.00", "{conversion}");
    let timeline = conversion["timeline"].as_array().expect("a timeline");
    let last = &timeline.last().expect("an entry")["cause"];
    assert_eq!((&last["type"], &last["applied"]), (&json!("test_clock"), &json!(true)), "{conversion}");
    assert_eq!(last["eventId"], answer["eventId"], "{conversion}");
    let told = timeline.iter().filter(|entry| entry["cause"]["type"] == "test_clock").count();
    assert_eq!(told, 2, "once each: {conversion}");
    let again = test.settle(PATH, &over, None).json();
    assert_eq!((&again["status"], &again["duplicate"]), (&json!("DUPLICATE"), &json!(true)), "{again}");
    assert_eq!(live.conversion("CLOCK-1").status, 404, "a live key sees no test order");
    is_paid(&mut test, &paid);

    cluster.quiet("after the clock was moved");
    let file = cluster.folder().join("clock.toml");
    std::fs::write(&file, registry()).expect("a file");
    let output = cluster.verify(&["--registry", file.to_str().expect("UTF-8"), "--strict"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    cluster.stop();
    let clocks = cluster.topics().clocks;
    assert!(clocks.len() >= 2 && clocks.iter().all(|clock| !clock.livemode), "{clocks:?}");
}

/// Moves the order's time past the cut-off, and sees that its payout is simulated.
fn is_paid(test: &mut Client, paid: &str) {
    assert_eq!(test.settle(PATH, paid, None).status, 202);
    let conversion = in_state(test, "CLOCK-1", "paid");
    assert_eq!(conversion["commission"]["amount"], "100.00", "{conversion}");
    let timeline = conversion["timeline"].as_array().expect("a timeline");
    let last: Vec<_> = timeline.iter().rev().take(2).map(|entry| (&entry["state"], &entry["cause"]["type"])).collect();
    let expected =
        [("paid", "payout_simulated"), ("payable", "test_clock")].map(|(state, cause)| (json!(state), json!(cause)));
    assert_eq!(last, expected.each_ref().map(|(state, cause)| (state, cause)), "{conversion}");
    let why = test.conversion("CLOCK-1/explain").json();
    assert_eq!(why["explanation"]["stateReason"], "payout_simulated", "{why}");
}
