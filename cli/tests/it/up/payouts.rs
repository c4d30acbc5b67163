//! A payout from its cut-off to the refund after it was paid, with the clock of the machine.

use std::thread;
use std::time::Duration;

use schemas::Timestamp;
use schemas::records::{Account, PayoutChanged, PayoutState};
use serde_json::json;

use crate::support::text;
use crate::up::client::{ASHA, Answer, BINA, Client, ONE, ORDER_STATUS};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::orders::Order;
use crate::up::poll;
use crate::up::reviews::ask;

const DEMO: &str = include_str!("../../../../schemas/src/registry/demo.toml");
/// What an order takes at the most until it is payable, under the demo's windows, and a slow start before it.
const PAYABLE_WITHIN: Duration = Duration::from_secs(25);
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
const PAYOUTS: &str = "/admin/v1/payouts";
/// Asia/Kathmandu.
const OFFSET_SECONDS: i64 = 5 * 3_600 + 45 * 60;

on_each_cluster!(what_is_payable_is_paid_and_taken_back);

fn now_seconds() -> i64 {
    Timestamp(i64::try_from(crate::up::http::unix_seconds()).expect("a time of this age") * 1_000).seconds()
}

/// The first whole minute that an order can be payable before, and the demo with that as its cut-off.
fn registry() -> (i64, String) {
    const WEEKDAYS: [&str; 7] = ["thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday"];
    let earliest = now_seconds() + i64::try_from(PAYABLE_WITHIN.as_secs()).expect("seconds");
    let cut_off = (earliest + 59) / 60 * 60;
    let minutes = (cut_off + OFFSET_SECONDS) / 60;
    let weekday = WEEKDAYS[usize::try_from(minutes / 1_440 % 7).expect("a day of the week")];
    let policy = format!("payout_cut_off = \"{weekday} {:02}:{:02} Asia/Kathmandu\"", minutes / 60 % 24, minutes % 60);
    (cut_off, DEMO.replacen("[policies]\n", &format!("[policies]\n{policy}\n"), 1))
}

fn in_state(target: &Target, order: &Order, state: &str) {
    let mut client = Client::new(target, &ONE);
    poll(SETTLED_WITHIN, || {
        let shown = client.conversion(&order.id).json();
        if shown["state"] == state { Ok(()) } else { Err(format!("not {state}: {shown}")) }
    });
}

/// `conversions verify` under the registry that was applied finds nothing.
fn verified<C: Cluster>(cluster: &C, run: &str) {
    let file = cluster.folder().join("registry.toml");
    let output = cluster.verify(&["--strict", "--registry", file.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{run}: {}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains(", 1 payouts;"), "{run}: {}", text(&output.stdout));
}

fn what_is_payable_is_paid_and_taken_back<C: Cluster>() {
    let mut cluster = C::start();
    let (cut_off, registry) = registry();
    cluster.apply(&registry);
    let target = cluster.target();
    let mut order = Order::new(&ONE, "PAID-OUT", 100_000);
    order.deliver(&mut Client::new(&target, &ONE));
    in_state(&target, &order, "payable");
    let early = cut_off - now_seconds();
    assert!(early > 0, "the order is payable {early} s before the cut-off");
    thread::sleep(Duration::from_secs(early.unsigned_abs() + 1));
    cluster.quiet("after the cut-off");
    cluster.stop();
    let topics = cluster.topics();
    let [payout] = &topics.payouts[..] else { panic!("one payout: {:?}", topics.payouts) };
    let amount = order.commission_minor().expect("a commission");
    assert_eq!((payout.state, payout.amount_minor), (PayoutState::InTransit, amount));
    assert_eq!((payout.cut_off.seconds(), balance(&topics.balances)), (cut_off, 0));
    verified(&cluster, "in transit");

    cluster.restart();
    paid_by_administrators(&target, payout);
    in_state(&target, &order, "paid");
    let refund = json!({"externalOrderId": order.id, "status": "refunded"}).to_string();
    assert_eq!(Client::new(&target, &ONE).settle(ORDER_STATUS, &refund, None).status, 202);
    in_state(&target, &order, "reversed");
    cluster.quiet("after the refund");
    cluster.stop();
    let topics = cluster.topics();
    let states: Vec<PayoutState> = topics.payouts.iter().map(|payout| payout.state).collect();
    assert_eq!(states, [PayoutState::InTransit, PayoutState::Paid]);
    assert_eq!(balance(&topics.balances), -i128::from(amount), "what was paid is taken back");
    verified(&cluster, "taken back");
}

/// What is payable in the end.
fn balance(balances: &[schemas::records::BalanceChanged]) -> i128 {
    let mut of_account = balances.iter().filter(|it| it.account == Account::AffiliatePayable);
    of_account.next_back().expect("a balance").balance_minor.0
}

/// The payout is in the list, and many who report it paid at once, however often, have reported it once.
fn paid_by_administrators(target: &Target, payout: &PayoutChanged) {
    let one = format!("{PAYOUTS}/{}", payout.payout_id);
    poll(SETTLED_WITHIN, || {
        let page = ask(target, BINA, &format!("GET {PAYOUTS}?state=in_transit"), "").json();
        let ids: Vec<_> = page["data"].as_array().into_iter().flatten().map(|it| it["payoutId"].clone()).collect();
        if ids == [json!(payout.payout_id)] { Ok(()) } else { Err(format!("not in transit: {page}")) }
    });
    assert_eq!(ask(target, BINA, &format!("POST {one}/paid"), "{}").status, 403, "a reviewer pays nobody");
    let answers: Vec<Answer> = thread::scope(|scope| {
        let press = |number: i32| {
            let one = &one;
            let body = json!({"reference": format!("BANK-{number}")}).to_string();
            scope.spawn(move || ask(target, ASHA, &format!("POST {one}/paid"), &body))
        };
        let pressed: Vec<_> = (0..8).map(press).collect();
        pressed.into_iter().map(|pressed| pressed.join().expect("an answer")).collect()
    });
    // 202 is of an outcome that a starved machine did not tell in time.
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 202)), "{answers:?}");
    let shown = poll(SETTLED_WITHIN, || {
        let shown = ask(target, BINA, &format!("GET {one}"), "").json();
        if shown["state"] == "paid" { Ok(shown) } else { Err(format!("not paid: {shown}")) }
    });
    let credits: Vec<_> =
        shown["entries"].as_array().expect("entries").iter().map(|entry| entry["credit"].clone()).collect();
    assert_eq!(credits, ["payout_in_transit", "affiliate_paid"], "{shown}");
    let again = ask(target, ASHA, &format!("POST {one}/paid"), r#"{"reference":"BANK-9"}"#);
    assert_eq!((again.status, again.json()), (200, shown), "{again:?}");
    let failed = ask(target, ASHA, &format!("POST {one}/failed"), "{}");
    assert_eq!((failed.status, &failed.json()["code"]), (409, &json!("PAYOUT_CONFLICT")), "{failed:?}");
    assert_eq!(ask(target, ASHA, &format!("GET {PAYOUTS}/pay_1_NPR_aff_one"), "").status, 404);
}
