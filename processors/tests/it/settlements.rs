//! Whom a paid payout pays: the orders of which it has something left.

use schemas::Timestamp;
use schemas::records::{
    Account, ConversionSettled, ConversionState, OrderStatusReported, PayoutOutcome, PayoutState, ReportedStatus,
    Review, ReviewDecided, ReviewDecision,
};
use schemas::topics;
use streams::log::Limits;

use crate::payouts::{
    COMMISSION, CUT_OFF, WEEK, accounts, of, ordered, outcome, payable, payouts, refund, registry, states, whole, world,
};
use crate::world::{DAY, T0, World, key, message, updated};

/// An order whose commission is held from `now` on: for a day, and once it is delivered for another ten.
fn held(world: &mut World, id: &str) {
    let now = Timestamp(world.now());
    ordered(world, id, now);
}

fn deliver(world: &mut World, id: &str) {
    let received_at = world.now();
    let delivered = OrderStatusReported { received_at: Timestamp(received_at), ..of(id, ReportedStatus::Delivered) };
    world.send(updated(&delivered));
}

fn short_holds() -> World {
    let short = registry(None, false)
        .replace("[policies]\n", "[policies]\nsettlement_window = \"1d\"\nreturn_window = \"10d\"\n");
    World::with(&short, Limits::default())
}

fn reinstate(world: &mut World, id: &str) {
    let revision = world.conversion().revision;
    let decided = ReviewDecided {
        event_id: format!("revevt_{id}_{revision}"),
        merchant_id: "m1".to_owned(),
        livemode: true,
        external_order_id: id.to_owned(),
        review: Review {
            decision: ReviewDecision::Reinstate,
            revision,
            affiliate_id: None,
            reviewer: "anna".to_owned(),
            role: "administrator".to_owned(),
            reason: "reversed by mistake".to_owned(),
            request_id: "req_1".to_owned(),
        },
        decided_at: Timestamp(world.now()),
    };
    world.send(message(&topics::CONVERSIONS, key(id), &decided));
}

/// What orders were told: order, number of the payout, and amount.
fn told(world: &World) -> Vec<(String, i64, i64)> {
    let made = payouts(world);
    let number = |id: &str| made.iter().find(|it| it.payout_id == id).map_or(0, |it| it.number);
    let settled: Vec<ConversionSettled> = world.all(&topics::SETTLEMENTS);
    settled.into_iter().map(|it| (it.external_order_id, number(&it.payout_id), it.amount_minor)).collect()
}

/// Reports of the last payout that is on its way.
fn end(world: &mut World, result: PayoutOutcome) {
    let last = payouts(world).pop().expect("a payout");
    assert_eq!(last.state, PayoutState::InTransit);
    world.send(outcome(&last.payout_id, result));
}

/// A was payable before the cut-off and is held again by then: the payout is of B alone.
#[test]
fn an_order_that_passed_through_what_is_payable_is_not_paid_with_the_others() {
    let mut world = short_holds();
    held(&mut world, "A");
    held(&mut world, "B");
    world.at(T0 + 2 * DAY);
    assert_eq!(accounts(&world), [whole(2), 0, 0]);
    deliver(&mut world, "A");
    world.at(CUT_OFF);
    assert_eq!(accounts(&world), [0, whole(1), 0]);
    end(&mut world, PayoutOutcome::Paid);
    let (paid, hold) = (ConversionState::Paid, ConversionState::Hold);
    assert_eq!(states(&world), [("A".into(), hold), ("B".into(), paid)]);
    assert_eq!(told(&world), [("B".into(), 1, COMMISSION)]);
    assert_eq!(world.last_balance(Account::AffiliatePending), whole(1));
    assert_eq!(accounts(&world), [0, 0, whole(1)], "nothing of A is payable before its hold ends");
    world.at(CUT_OFF + WEEK).at(CUT_OFF + 2 * WEEK);
    end(&mut world, PayoutOutcome::Paid);
    assert_eq!(states(&world), [("A".into(), paid), ("B".into(), paid)]);
    assert_eq!(told(&world)[1..], [("A".into(), 2, COMMISSION)]);
    assert_eq!(accounts(&world), [0, 0, whole(2)]);
    assert!(world.dead_letters().is_empty(), "{:?}", world.dead_letters());
}

/// A was in a payout that failed, and is held again when the next one retries it.
#[test]
fn an_order_that_left_before_the_retry_is_not_paid_with_it() {
    let mut world = short_holds();
    held(&mut world, "A");
    world.at(T0 + 2 * DAY).at(CUT_OFF);
    end(&mut world, PayoutOutcome::Failed);
    world.at(CUT_OFF + DAY);
    deliver(&mut world, "A");
    held(&mut world, "B");
    world.at(CUT_OFF + 3 * DAY).at(CUT_OFF + WEEK);
    let second = payouts(&world).pop().expect("a payout");
    assert_eq!((second.number, second.amount_minor, second.retries.len()), (2, COMMISSION, 1));
    end(&mut world, PayoutOutcome::Paid);
    let (paid, hold) = (ConversionState::Paid, ConversionState::Hold);
    assert_eq!(states(&world), [("A".into(), hold), ("B".into(), paid)]);
    assert_eq!(told(&world), [("B".into(), 2, COMMISSION)]);
    world.at(CUT_OFF + 12 * DAY).at(CUT_OFF + 2 * WEEK);
    end(&mut world, PayoutOutcome::Paid);
    assert_eq!(states(&world), [("A".into(), paid), ("B".into(), paid)]);
    assert_eq!(told(&world)[1..], [("A".into(), 3, COMMISSION)]);
}

/// Two payouts fail that both have A, the one what the other takes back, and the third has nothing of it.
#[test]
fn two_payouts_that_are_retried_at_once_are_told_as_one() {
    let mut world = short_holds();
    held(&mut world, "A");
    world.at(T0 + 2 * DAY).at(CUT_OFF);
    let first = payouts(&world).pop().expect("a payout").payout_id;
    deliver(&mut world, "A");
    held(&mut world, "B");
    held(&mut world, "C");
    world.at(CUT_OFF + 3 * DAY).at(CUT_OFF + WEEK);
    end(&mut world, PayoutOutcome::Failed);
    world.send(outcome(&first, PayoutOutcome::Failed));
    assert_eq!(accounts(&world), [whole(2), 0, 0]);
    // A's hold ends with the cut-off, and so in the week after it.
    world.at(CUT_OFF + 2 * WEEK);
    end(&mut world, PayoutOutcome::Paid);
    let mut all = told(&world);
    all.sort();
    assert_eq!(all, ["B", "C"].map(|id| (id.to_owned(), 3, COMMISSION)));
    let of_a: Vec<_> = world.transitions().into_iter().filter(|it| it.external_order_id == "A").collect();
    assert_eq!(of_a.last().map(|it| it.state), Some(ConversionState::Payable));
    assert!(of_a.iter().all(|it| it.state != ConversionState::Paid), "not even for a moment");
}

#[test]
fn what_is_reversed_and_reinstated_within_the_week_is_as_if_it_had_not_been() {
    let mut world = world();
    payable(&mut world, "A");
    refund(&mut world, "A");
    reinstate(&mut world, "A");
    world.at(CUT_OFF);
    end(&mut world, PayoutOutcome::Paid);
    assert_eq!(told(&world), [("A".into(), 1, COMMISSION)]);
    let again =
        OrderStatusReported { status_updated_at: Some(Timestamp(CUT_OFF)), ..of("A", ReportedStatus::Refunded) };
    world.send(updated(&again));
    assert_eq!(accounts(&world), [-whole(1), 0, whole(1)]);
    reinstate(&mut world, "A");
    assert_eq!(states(&world), [("A".into(), ConversionState::Paid)]);
    payable(&mut world, "B");
    world.at(CUT_OFF + WEEK);
    end(&mut world, PayoutOutcome::Paid);
    assert_eq!(told(&world)[1..], [("B".into(), 2, COMMISSION)]);
    assert!(states(&world).iter().all(|(_, state)| *state == ConversionState::Paid));
    assert_eq!(accounts(&world), [0, 0, whole(2)]);
}

/// A is taken back by the payout of one week and reinstated in the next: what was paid is given back, so it is owed again.
#[test]
fn what_is_reinstated_after_its_clawback_was_paid_is_in_a_later_payout() {
    let mut world = world();
    payable(&mut world, "A");
    world.at(CUT_OFF);
    end(&mut world, PayoutOutcome::Paid);
    // A copy of what it was told counts once.
    let copy: ConversionSettled = world.all(&topics::SETTLEMENTS).pop().expect("a settlement");
    world.send(message(&topics::SETTLEMENTS, key("A"), &copy));
    payable(&mut world, "B");
    payable(&mut world, "C");
    refund(&mut world, "A");
    world.at(CUT_OFF + WEEK);
    assert_eq!(accounts(&world), [0, whole(1), whole(1)]);
    let revision_of_a = world.transitions().into_iter().rfind(|it| it.external_order_id == "A").expect("a transition");
    assert_eq!(revision_of_a.state, ConversionState::Reversed);
    reinstate(&mut world, "A");
    let state_of_a = |world: &World| states(world)[0].1;
    assert_eq!(state_of_a(&world), ConversionState::Paid, "the payout that takes it back is not paid yet");
    end(&mut world, PayoutOutcome::Paid);
    assert_eq!(state_of_a(&world), ConversionState::Payable);
    assert_eq!(accounts(&world), [whole(1), 0, whole(2)]);
    world.at(CUT_OFF + 2 * WEEK);
    end(&mut world, PayoutOutcome::Paid);
    assert_eq!(state_of_a(&world), ConversionState::Paid);
    let of_a: Vec<_> = told(&world).into_iter().filter(|(id, ..)| id == "A").map(|(_, of, sum)| (of, sum)).collect();
    assert_eq!(of_a, [(1, COMMISSION), (1, COMMISSION), (2, -COMMISSION), (3, COMMISSION)], "with the copy");
    assert_eq!(accounts(&world), [0, 0, whole(3)]);
}
