//! What past orders would have paid under other rules.

use std::sync::Arc;

use processors::what_if::{AccountOf, Answer, Comparison, Range, Sums, WhatIf};
use proptest::prelude::*;
use schemas::records::{ConversionReported, ConversionState, OrderStatus, ReportedStatus};
use schemas::registry::Registry;
use schemas::{Balance, Currency, Timestamp};
use streams::log::Limits;

use crate::convergence::{Facts, facts, run_under};
use crate::world::{
    CHANGED, DAY, REGISTRY, SECOND, T0, World, click, clicked, key, message, report, reported, status, updated,
};

const ALWAYS: Range = Range { from: Timestamp::MIN, to: Timestamp(i64::MAX), livemode: true };

fn ask(world: &World, registry: &str, range: Range) -> Answer {
    let registry = Registry::parse(registry).unwrap_or_else(|faults| panic!("{faults}"));
    let mut what_if = WhatIf::new(range, Arc::new(registry));
    for (row, value) in world.order_rows() {
        what_if.take(&row, Some(&value)).expect("a row of this version");
    }
    what_if.answer()
}

fn sums(orders: u64, commission: i128, counting: i128) -> Sums {
    Sums { orders, commission: Balance(commission), counting: Balance(counting) }
}

fn account(merchant_id: &str, affiliate_id: &str, currency: &'static str) -> AccountOf {
    AccountOf { merchant_id: merchant_id.to_owned(), affiliate_id: affiliate_id.to_owned(), currency }
}

/// An order of m1 by its click, of the campaign and of no product.
fn order(id: &str, amount_minor: i64, currency: &str) -> ConversionReported {
    ConversionReported {
        external_order_id: id.to_owned(),
        event_id: format!("cnvevt_{id}"),
        external_product_id: None,
        amount_minor,
        currency: Currency::parse(currency).expect("a currency"),
        ..report()
    }
}

/// What the only order has in an answer, and what a transition said of it.
fn of_one(answer: &Answer) -> (Sums, Sums) {
    let all = answer.accounts.values().fold(Comparison::default(), |all, it| {
        assert_eq!(all, Comparison::default(), "one order is of one account: {answer:?}");
        *it
    });
    (all.published, all.proposed)
}

fn told(world: &World) -> Sums {
    let conversion = world.conversion();
    let Some(commission) = conversion.commission else { return Sums::default() };
    let minor = i128::from(commission.amount_minor);
    sums(1, minor, if conversion.state == ConversionState::Reversed { 0 } else { minor })
}

fn check(facts: &Facts, seed: u64) -> Result<(), TestCaseError> {
    let world = run_under(REGISTRY, None, facts, seed).0;
    let same = ask(&world, REGISTRY, ALWAYS);
    prop_assert_eq!((same.orders, same.changed, same.gained, same.lost), (1, 0, 0, 0));
    prop_assert_eq!(of_one(&same), (told(&world), told(&world)));
    // What another registry would have made of them is what it makes of them when it is there from the beginning.
    let other = run_under(CHANGED, None, facts, seed).0;
    let proposed = ask(&world, CHANGED, ALWAYS);
    prop_assert_eq!(of_one(&proposed), (told(&world), told(&other)));
    prop_assert_eq!(proposed.changed == 1, told(&world) != told(&other));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_same_rules_change_nothing_and_others_what_they_would_have(facts in facts(), seed in any::<u64>()) {
        check(&facts, seed)?;
    }
}

/// Two orders in rupees, one reversed, and one in yen; one without a click, and one of another merchant's test mode.
fn several() -> World {
    let mut world = World::new();
    world.send(clicked(&click()));
    for report in [order("O-1", 10_005, "NPR"), order("O-2", 20_000, "NPR"), order("O-3", 30_015, "JPY")] {
        world.send(reported(&report));
    }
    world.send(reported(&ConversionReported { click_id: None, ..order("O-4", 40_000, "NPR") }));
    let mut cancelled = status(ReportedStatus::Cancelled, None, T0 + SECOND);
    "O-2".clone_into(&mut cancelled.external_order_id);
    world.send(message(&schemas::topics::CONVERSIONS, key("O-2"), &cancelled));
    // One that only has an update is none yet.
    let mut update = status(ReportedStatus::Delivered, None, T0);
    "O-5".clone_into(&mut update.external_order_id);
    world.send(message(&schemas::topics::CONVERSIONS, key("O-5"), &update));
    world
}

#[test]
fn sums_are_of_accounts_and_rounded_order_by_order() {
    let world = several();
    // 10 % was 1000.5 and so 1000, and 2000; 3001.5 and so 3002 yen. 1 % is 100.05, 200 and 300.15.
    let answer = ask(&world, CHANGED, ALWAYS);
    let expected = [
        (account("m1", "a1", "JPY"), (sums(1, 3_002, 3_002), sums(1, 300, 300), 1)),
        (account("m1", "a1", "NPR"), (sums(2, 3_000, 1_000), sums(2, 300, 100), 2)),
    ];
    let found: Vec<_> =
        answer.accounts.iter().map(|(of, it)| (of.clone(), (it.published, it.proposed, it.changed))).collect();
    assert_eq!(found, expected);
    assert_eq!((answer.orders, answer.changed, answer.without, answer.gained, answer.lost), (4, 3, 1, 0, 0));
    let totals = answer.totals();
    assert_eq!(totals.keys().copied().collect::<Vec<_>>(), ["JPY", "NPR"]);
    assert_eq!(totals["NPR"].proposed, sums(2, 300, 100));

    let same = ask(&world, REGISTRY, ALWAYS);
    assert_eq!((same.orders, same.changed), (4, 0));
    assert!(same.accounts.values().all(|it| it.published == it.proposed && it.changed == 0), "{same:?}");
}

#[test]
fn a_range_has_its_first_instant_and_not_its_last() {
    let world = several();
    let at = T0 - 3_600 * SECOND;
    let count = |from: i64, to: i64| {
        ask(&world, REGISTRY, Range { from: Timestamp(from), to: Timestamp(to), livemode: true }).orders
    };
    assert_eq!([count(at, at + 1), count(at - 1, at), count(at + 1, i64::MAX), count(at - DAY, T0)], [4, 0, 0, 4]);
}

#[test]
fn modes_are_apart() {
    let mut world = several();
    let test = ConversionReported { livemode: false, ..order("O-1", 777, "NPR") };
    world.send(message(&schemas::topics::CONVERSIONS, b"m1/test/O-1".to_vec(), &test));
    assert_eq!(ask(&world, REGISTRY, ALWAYS).orders, 4);
    let of_test = ask(&world, REGISTRY, Range { livemode: false, ..ALWAYS });
    assert_eq!(of_test.orders, 1, "{of_test:?}");
    assert_eq!(of_one(&of_test).0, sums(1, 78, 78));
}

#[test]
fn windows_decide_who_is_credited_at_all() {
    let mut world = several();
    world.send(updated(&status(ReportedStatus::Confirmed, None, T0)));
    // The click is 23 hours before the order.
    let narrow = REGISTRY.replace("click_wait = \"60s\"", "click_wait = \"60s\"\nlookback = \"22h\"");
    let answer = ask(&world, &narrow, ALWAYS);
    assert_eq!((answer.lost, answer.gained, answer.changed, answer.without), (3, 0, 3, 1), "{answer:?}");
    assert_eq!(answer.accounts[&account("m1", "a1", "NPR")].proposed, Sums::default());

    // And the other way round, of an order that is LOW by the rules that were in force.
    let mut low = World::with(&narrow, Limits::default());
    low.send(clicked(&click())).send(reported(&order("O-1", 10_000, "NPR")));
    let answer = ask(&low, REGISTRY, ALWAYS);
    assert_eq!((answer.lost, answer.gained, answer.changed, answer.without), (0, 1, 1, 0), "{answer:?}");
    assert_eq!(of_one(&answer), (Sums::default(), sums(1, 1_000, 1_000)));
    assert_eq!(answer.accounts.keys().next(), Some(&account("m1", "a1", "NPR")));
}

#[test]
fn an_order_without_a_rule_that_matches_has_none() {
    let mut world = World::new();
    world.send(clicked(&click()));
    world.send(reported(&ConversionReported { order_status: OrderStatus::Pending, ..order("O-1", 10_000, "NPR") }));
    let nothing = REGISTRY.split("[[rules]]").next().expect("the rules come last");
    let answer = ask(&world, nothing, ALWAYS);
    assert_eq!((answer.lost, answer.gained, answer.changed, answer.without), (1, 0, 1, 0), "{answer:?}");
    assert_eq!(of_one(&answer), (sums(1, 1_000, 1_000), Sums::default()));
}

#[test]
fn the_last_version_of_a_row_counts() {
    let world = several();
    let mut what_if = WhatIf::new(ALWAYS, Arc::new(Registry::parse(REGISTRY).expect("a registry")));
    for _ in 0..2 {
        for (row, value) in world.order_rows() {
            what_if.take(&row, Some(&value)).expect("a row of this version");
        }
    }
    assert_eq!(what_if.answer().orders, 4);
    let row = [b"s", &*key("O-3")].concat();
    what_if.take(&row, None).expect("a row that was deleted");
    what_if.take(&row, None).expect("a row that is not there");
    let left = what_if.answer();
    assert_eq!((left.orders, left.totals().keys().copied().collect()), (3, vec!["NPR"]));
    assert!(what_if.take(&row, Some(b"rubbish")).is_err(), "a row that is none is no order that is left out");
    assert_eq!(what_if.take(b"tsomething", Some(b"")).map_err(|error| error.to_string()), Ok(()), "a timer");
}
