//! Payouts: from what is payable at a cut-off to what was paid, and what is reversed on the way.

use processors::ledger::SETTLED_PER_STEP_MAX;
use schemas::ids::{OrderKey, account_key};
use schemas::records::{
    Account, CauseType, ClickRecorded, CommissionState, ConversionReported, ConversionSettled, ConversionState,
    LedgerEntry, OrderStatusReported, PayoutChanged, PayoutOutcome, PayoutReported, PayoutState, ReportedStatus,
};
use schemas::topics;
use schemas::{Currency, Timestamp};
use streams::Message;
use streams::log::Limits;

use crate::world::{
    CHANGED, DAY, REGISTRY, SECOND, T0, World, click, clicked, message, report, reported, status, updated,
};

/// The first cut-off after T0: 2026-06-19T18:00:00+05:45, a Friday.
pub(crate) const CUT_OFF: i64 = T0 + 5 * DAY + 9_900 * SECOND;
pub(crate) const WEEK: i64 = 7 * DAY;
/// The commission of one order.
pub(crate) const COMMISSION: i64 = 35_988;

/// [`REGISTRY`] with a policy, and perhaps the affiliate on hold.
pub(crate) fn registry(minimum: Option<&str>, on_hold: bool) -> String {
    let minimum = minimum.map_or(String::new(), |minimum| format!("payout_minimum = \"{minimum}\"\n"));
    let policy = format!("[policies]\npayout_cut_off = \"friday 18:00 Asia/Kathmandu\"\n{minimum}");
    let registry = REGISTRY.replace("[policies]\n", &policy);
    let name = "name = \"A\"\n";
    assert!(registry.contains(name) && registry.contains(&policy));
    if on_hold { registry.replace(name, "name = \"A\"\non_hold = true\n") } else { registry }
}

pub(crate) fn world() -> World {
    World::with(&registry(None, false), Limits::default())
}

/// A confirmed order with a click of its own.
pub(crate) fn ordered(world: &mut World, id: &str, received_at: Timestamp) {
    let click_id = format!("clk_{id}");
    world.send(clicked(&ClickRecorded { click_id: click_id.clone(), ..click() }));
    let order = ConversionReported {
        event_id: format!("cnvevt_{id}"),
        external_order_id: id.to_owned(),
        click_id: Some(click_id),
        received_at,
        ..report()
    };
    world.send(reported(&order));
}

/// An order that is payable at once.
pub(crate) fn payable(world: &mut World, id: &str) {
    ordered(world, id, report().received_at);
    world.send(updated(&of(id, ReportedStatus::CommissionApproved)));
}

pub(crate) fn of(id: &str, kind: ReportedStatus) -> OrderStatusReported {
    OrderStatusReported {
        event_id: format!("osevt_{id}_{kind:?}"),
        external_order_id: id.to_owned(),
        ..status(kind, None, T0 + SECOND)
    }
}

pub(crate) fn refund(world: &mut World, id: &str) {
    world.send(updated(&of(id, ReportedStatus::Refunded)));
}

pub(crate) fn payouts(world: &World) -> Vec<PayoutChanged> {
    world.all(&topics::PAYOUTS)
}

pub(crate) fn outcome(payout_id: &str, outcome: PayoutOutcome) -> Message {
    let record = PayoutReported {
        event_id: format!("payevt_{payout_id}_{outcome:?}"),
        payout_id: payout_id.to_owned(),
        outcome,
        reference: Some("BANK-1".to_owned()),
        reported_by: None,
        received_at: Timestamp(T0),
    };
    message(&topics::PAYOUT_REPORTS, account_key("a1", "NPR", true), &record)
}

/// Payable, in transit and paid; what the merchant owes is the rest.
pub(crate) fn accounts(world: &World) -> [i128; 3] {
    let all = [Account::AffiliatePayable, Account::PayoutInTransit, Account::AffiliatePaid];
    let balances = all.map(|account| world.last_balance(account));
    let rest = world.last_balance(Account::MerchantReceivable) + world.last_balance(Account::AffiliatePending);
    assert_eq!(balances.iter().sum::<i128>() + rest, 0, "a ledger sums to zero");
    balances
}

/// The states of all orders, by their ids.
pub(crate) fn states(world: &World) -> Vec<(String, ConversionState)> {
    let transitions = world.transitions();
    let states: std::collections::BTreeMap<_, _> =
        transitions.into_iter().map(|it| (it.external_order_id, it.state)).collect();
    states.into_iter().collect()
}

pub(crate) fn whole(orders: i64) -> i128 {
    i128::from(orders * COMMISSION)
}

#[test]
fn what_is_payable_at_the_cut_off_is_a_payout_and_its_orders_are_paid_with_it() {
    let mut world = world();
    payable(&mut world, "A");
    payable(&mut world, "B");
    world.at(CUT_OFF - 1);
    assert!(payouts(&world).is_empty());
    assert_eq!(accounts(&world), [whole(2), 0, 0]);
    world.at(CUT_OFF);
    let made = payouts(&world);
    assert_eq!(made.len(), 1);
    let payout = &made[0];
    assert_eq!(payout.payout_id, "pay_1781871300_NPR_a1");
    assert_eq!((payout.number, payout.state, payout.amount_minor), (1, PayoutState::InTransit, 2 * COMMISSION));
    assert_eq!((payout.cut_off, payout.entries_to, payout.at), (Timestamp(CUT_OFF), 2, Timestamp(CUT_OFF)));
    assert_eq!((payout.debit, payout.debit_entries), (Account::AffiliatePayable, 3));
    assert_eq!((payout.credit, payout.credit_entries), (Account::PayoutInTransit, 1));
    assert_eq!(accounts(&world), [0, whole(2), 0]);
    // What becomes payable from now on is the next payout's.
    payable(&mut world, "C");
    world.at(CUT_OFF + DAY).send(outcome(&payout.payout_id, PayoutOutcome::Paid));
    assert_eq!(accounts(&world), [whole(1), 0, whole(2)]);
    let paid = payouts(&world).pop().expect("a change");
    assert_eq!((paid.state, paid.reference.as_deref()), (PayoutState::Paid, Some("BANK-1")));
    let (paid_out, open) = (ConversionState::Paid, ConversionState::Payable);
    assert_eq!(states(&world), [("A".into(), paid_out), ("B".into(), paid_out), ("C".into(), open)]);
    let last = world.transitions().pop().expect("a transition");
    assert_eq!(last.timeline.last().map(|entry| entry.cause.kind), Some(CauseType::PaidOut));
    let commission = world.commissions().pop().expect("a commission");
    assert_eq!((commission.state, commission.commission.amount_minor), (CommissionState::Paid, COMMISSION));
    world.at(CUT_OFF + WEEK);
    assert_eq!(accounts(&world), [0, whole(1), whole(2)]);
    world.at(CUT_OFF + 10 * WEEK);
    assert_eq!(payouts(&world).len(), 3, "no week without anything payable has a payout");
    assert!(world.dead_letters().is_empty(), "{:?}", world.dead_letters());
}

#[test]
fn less_than_the_minimum_waits_for_the_next_week() {
    for (minimum, expected) in [("NPR 359.88", 1), ("NPR 359.89", 0), ("USD 999999.00", 1)] {
        let mut world = World::with(&registry(Some(minimum), false), Limits::default());
        payable(&mut world, "A");
        world.at(CUT_OFF);
        assert_eq!(payouts(&world).len(), expected, "{minimum}");
        if expected == 0 {
            payable(&mut world, "B");
            world.at(CUT_OFF + WEEK);
            let amounts: Vec<i64> = payouts(&world).iter().map(|it| it.amount_minor).collect();
            assert_eq!(amounts, [2 * COMMISSION]);
        }
    }
}

#[test]
fn an_affiliate_on_hold_earns_and_is_paid_at_the_first_cut_off_after_the_hold() {
    let mut world = World::with(&registry(None, true), Limits::default());
    payable(&mut world, "A");
    world.at(CUT_OFF).at(CUT_OFF + WEEK);
    assert!(payouts(&world).is_empty());
    world.set_registry(&registry(None, false)).at(CUT_OFF + WEEK + DAY);
    assert!(payouts(&world).is_empty(), "a hold that ends is no cut-off");
    world.at(CUT_OFF + 2 * WEEK);
    assert_eq!(accounts(&world), [0, whole(1), 0]);
}

#[test]
fn without_a_policy_nobody_is_paid_until_there_is_one() {
    let mut world = World::new();
    payable(&mut world, "A");
    // Not a whole number of weeks: the ledger's looks are to be no cut-offs of the policy that comes.
    world.at(CUT_OFF + 3 * WEEK + SECOND);
    assert!(payouts(&world).is_empty());
    // The ledger looks once a week, and what it finds counts from the next cut-off on.
    world.set_registry(&registry(None, false)).at(CUT_OFF + 4 * WEEK + DAY).at(CUT_OFF + 5 * WEEK);
    let cut_offs: Vec<i64> = payouts(&world).iter().map(|it| it.cut_off.0).collect();
    assert_eq!(cut_offs, [CUT_OFF + 5 * WEEK]);
    world.set_registry(CHANGED).at(CUT_OFF + 9 * WEEK);
    assert_eq!(payouts(&world).len(), 1);
}

#[test]
fn a_clock_that_is_set_back_over_a_cut_off_makes_no_second_payout_of_it() {
    let mut world = world();
    payable(&mut world, "A");
    world.at(CUT_OFF).at(CUT_OFF - DAY);
    payable(&mut world, "B");
    world.at(CUT_OFF);
    assert_eq!(payouts(&world).len(), 1);
    assert_eq!(accounts(&world), [whole(1), whole(1), 0]);
    world.at(CUT_OFF + WEEK);
    let made: Vec<_> = payouts(&world).iter().map(|it| (it.number, it.cut_off.0, it.amount_minor)).collect();
    assert_eq!(made, [(1, CUT_OFF, COMMISSION), (2, CUT_OFF + WEEK, COMMISSION)]);
}

#[test]
fn test_orders_are_never_paid_out() {
    let mut world = world();
    let order = ConversionReported { livemode: false, ..report() };
    let approved = OrderStatusReported { livemode: false, ..of("O-1", ReportedStatus::CommissionApproved) };
    let test_key = OrderKey { merchant_id: "m1", livemode: false, external_order_id: "O-1" }.to_bytes();
    world.send(clicked(&click()));
    world.send(message(&topics::CONVERSIONS, test_key.clone(), &order));
    world.send(message(&topics::CONVERSIONS, test_key, &approved));
    assert_eq!(accounts(&world), [whole(1), 0, 0]);
    world.at(CUT_OFF).at(CUT_OFF + 9 * WEEK);
    assert!(payouts(&world).is_empty());
    // That it is told to be paid moves nothing.
    assert_eq!(world.conversion().state, ConversionState::Paid);
    assert_eq!(accounts(&world), [whole(1), 0, 0]);
}

#[test]
fn what_is_reversed_after_it_was_paid_is_taken_from_the_next_payouts() {
    let mut world = world();
    payable(&mut world, "A");
    payable(&mut world, "B");
    world.at(CUT_OFF).send(outcome("pay_1781871300_NPR_a1", PayoutOutcome::Paid));
    refund(&mut world, "A");
    refund(&mut world, "B");
    assert_eq!(accounts(&world), [-whole(2), 0, whole(2)]);
    assert_eq!(world.conversion().state, ConversionState::Reversed);
    // More is taken back than is earned: nothing is paid, and what is owed is carried.
    payable(&mut world, "C");
    world.at(CUT_OFF + WEEK);
    assert_eq!(accounts(&world), [-whole(1), 0, whole(2)]);
    payable(&mut world, "D");
    world.at(CUT_OFF + 2 * WEEK);
    assert_eq!(accounts(&world), [0, 0, whole(2)]);
    payable(&mut world, "E");
    world.at(CUT_OFF + 3 * WEEK);
    let last = payouts(&world).pop().expect("a payout");
    assert_eq!((last.number, last.amount_minor), (2, COMMISSION));
    // C and D were paid by what A and B gave back.
    world.send(outcome(&last.payout_id, PayoutOutcome::Paid));
    let expected = [
        ("A", ConversionState::Reversed),
        ("B", ConversionState::Reversed),
        ("C", ConversionState::Paid),
        ("D", ConversionState::Paid),
        ("E", ConversionState::Paid),
    ];
    assert_eq!(states(&world), expected.map(|(id, state)| (id.to_owned(), state)));
}

#[test]
fn a_partial_refund_after_payment_takes_back_its_part_and_the_order_stays_paid() {
    let mut world = world();
    payable(&mut world, "A");
    world.at(CUT_OFF).send(outcome("pay_1781871300_NPR_a1", PayoutOutcome::Paid));
    let part = OrderStatusReported { refunded_thousandths: Some(1_499_500), ..of("A", ReportedStatus::Refunded) };
    world.send(updated(&part));
    assert_eq!(world.conversion().state, ConversionState::Paid);
    assert_eq!(accounts(&world), [-17_994, 0, whole(1)]);
    // A delivery that is heard of late begins no hold again.
    world.send(updated(&of("A", ReportedStatus::Delivered)));
    assert_eq!(world.conversion().state, ConversionState::Paid);
    assert_eq!(accounts(&world), [-17_994, 0, whole(1)]);
}

/// Whether the refund, the outcome or neither is first, it ends the same.
#[test]
fn a_refund_that_meets_a_payout_in_flight() {
    for (result, expected) in
        [(PayoutOutcome::Paid, [-whole(1), 0, whole(2)]), (PayoutOutcome::Failed, [whole(1), 0, 0])]
    {
        for refund_first in [true, false] {
            let mut world = world();
            payable(&mut world, "A");
            payable(&mut world, "B");
            world.at(CUT_OFF);
            if refund_first {
                refund(&mut world, "A");
                assert_eq!(accounts(&world), [-whole(1), whole(2), 0]);
            }
            world.send(outcome("pay_1781871300_NPR_a1", result));
            if !refund_first {
                refund(&mut world, "A");
            }
            assert_eq!(accounts(&world), expected, "{result:?}, {refund_first}");
            let other = match result {
                PayoutOutcome::Paid => ConversionState::Paid,
                PayoutOutcome::Failed => ConversionState::Payable,
            };
            let states = states(&world);
            assert_eq!(states, [("A".to_owned(), ConversionState::Reversed), ("B".to_owned(), other)]);
            assert!(world.dead_letters().is_empty());
        }
    }
}

#[test]
fn what_failed_is_payable_again_and_its_orders_are_in_the_next_payout() {
    let mut world = world();
    payable(&mut world, "A");
    world.at(CUT_OFF).send(outcome("pay_1781871300_NPR_a1", PayoutOutcome::Failed));
    assert_eq!(accounts(&world), [whole(1), 0, 0]);
    assert_eq!(states(&world), [("A".to_owned(), ConversionState::Payable)]);
    payable(&mut world, "B");
    world.at(CUT_OFF + WEEK);
    let second = payouts(&world).pop().expect("a payout");
    assert_eq!((second.amount_minor, &*second.retries), (2 * COMMISSION, &["pay_1781871300_NPR_a1".to_owned()][..]));
    world.send(outcome(&second.payout_id, PayoutOutcome::Failed)).at(CUT_OFF + 2 * WEEK);
    let third = payouts(&world).pop().expect("a payout");
    assert_eq!((third.amount_minor, &third.retries), (2 * COMMISSION, &vec![second.payout_id]));
    world.send(outcome(&third.payout_id, PayoutOutcome::Paid));
    assert_eq!(accounts(&world), [0, 0, whole(2)]);
    let paid = ["A", "B"].map(|id| (id.to_owned(), ConversionState::Paid));
    assert_eq!(states(&world), paid);
    let settled: Vec<ConversionSettled> = world.all(&topics::SETTLEMENTS);
    assert!(settled.len() == 2 && settled.iter().all(|it| it.payout_id == third.payout_id), "{settled:?}");
}

#[test]
fn the_first_report_counts_and_the_other_outcome_is_refused() {
    for (first, other) in [(PayoutOutcome::Paid, PayoutOutcome::Failed), (PayoutOutcome::Failed, PayoutOutcome::Paid)] {
        let mut world = world();
        payable(&mut world, "A");
        world.at(CUT_OFF);
        const ID: &str = "pay_1781871300_NPR_a1";
        world.send(outcome(ID, first)).send(outcome(ID, first));
        let (changes, after) = (payouts(&world).len(), accounts(&world));
        assert_eq!((changes, world.dead_letters().len()), (2, 0));
        world.send(outcome(ID, other));
        assert_eq!((payouts(&world).len(), accounts(&world)), (changes, after));
        let letters = world.dead_letters();
        assert_eq!((letters.len(), &*letters[0].reason), (1, "payout_settled"));
    }
}

#[test]
fn reports_of_no_payout_are_refused() {
    let mut world = world();
    payable(&mut world, "A");
    world.at(CUT_OFF);
    let report = PayoutReported {
        event_id: "payevt_1".to_owned(),
        payout_id: "pay_1781871300_NPR_a1".to_owned(),
        outcome: PayoutOutcome::Paid,
        reference: Some("x".repeat(201)),
        reported_by: None,
        received_at: Timestamp(T0),
    };
    let ledger = |affiliate| account_key(affiliate, "NPR", true);
    for (bad, reason) in [
        (outcome("pay_1781871301_NPR_a1", PayoutOutcome::Paid), "unknown_payout"),
        (outcome("A", PayoutOutcome::Paid), "unknown_payout"),
        (outcome("pay_1781871300_NPR_a2", PayoutOutcome::Paid), "wrong_key"),
        (message(&topics::PAYOUT_REPORTS, b"a1".to_vec(), &report), "wrong_key"),
        (message(&topics::PAYOUT_REPORTS, ledger("a1"), &report), "out_of_range"),
    ] {
        let before = world.dead_letters().len();
        world.send(bad);
        let letters = world.dead_letters();
        assert_eq!((letters.len(), &*letters[before].reason), (before + 1, reason));
    }
    assert_eq!(accounts(&world), [0, whole(1), 0]);
    let fits = PayoutReported { reference: Some("é".repeat(200)), ..report };
    world.send(message(&topics::PAYOUT_REPORTS, ledger("a1"), &fits));
    assert_eq!(accounts(&world), [0, 0, whole(1)]);
}

#[test]
fn more_orders_than_one_step_tells_are_told_in_several() {
    let mut world = world();
    let orders = SETTLED_PER_STEP_MAX + 1;
    for number in 0..orders {
        let external_order_id = format!("O-{number}");
        let order = OrderKey { merchant_id: "m1", livemode: true, external_order_id: &external_order_id };
        let entry = LedgerEntry {
            entry_id: order.conversion_id().ledger_entry_id(1, 0),
            conversion_id: order.conversion_id(),
            revision: 1,
            merchant_id: "m1".to_owned(),
            external_order_id: external_order_id.clone(),
            affiliate_id: "a1".to_owned(),
            livemode: true,
            debit: Account::MerchantReceivable,
            credit: Account::AffiliatePayable,
            amount_minor: 1,
            currency: Currency::parse("NPR").expect("a currency"),
            at: Timestamp(T0),
        };
        world.write(message(&topics::LEDGER_ENTRIES, account_key("a1", "NPR", true), &entry));
    }
    world.settle();
    world.at(CUT_OFF).send(outcome("pay_1781871300_NPR_a1", PayoutOutcome::Paid));
    let settled: Vec<ConversionSettled> = world.all(&topics::SETTLEMENTS);
    let mut told: Vec<_> = settled.iter().map(|it| &it.external_order_id).collect();
    told.sort();
    told.dedup();
    assert_eq!((settled.len(), told.len()), (orders, orders));
    // Of these entries no order knows: none takes a settlement that is not its own.
    assert!(world.dead_letters().iter().all(|letter| letter.reason == "unbooked_settlement"));
}

#[test]
fn no_order_moves_what_is_paid_out() {
    let mut world = world();
    payable(&mut world, "A");
    let entries: Vec<LedgerEntry> = world.all(&topics::LEDGER_ENTRIES);
    let entry = entries.last().expect("an entry").clone();
    for (debit, credit) in
        [(Account::AffiliatePayable, Account::AffiliatePaid), (Account::PayoutInTransit, Account::AffiliatePayable)]
    {
        let forged = LedgerEntry { debit, credit, ..entry.clone() };
        world.send(message(&topics::LEDGER_ENTRIES, account_key("a1", "NPR", true), &forged));
        assert_eq!(world.dead_letters().pop().map(|letter| letter.reason).as_deref(), Some("out_of_range"));
    }
    assert_eq!(accounts(&world), [whole(1), 0, 0]);
}
