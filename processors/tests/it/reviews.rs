//! Reviewers' decisions, through the whole pipeline.

use schemas::Timestamp;
use schemas::records::{
    CauseType, Confidence, ConfidenceReason, ConversionReported, ConversionState, ConversionTransitioned,
    OrderStatusReported, ReportedStatus, Review, ReviewDecided, ReviewDecision, RuleLevel,
};
use schemas::topics::CONVERSIONS;
use streams::Message;

use crate::world::{DAY, SECOND, T0, World, click, clicked, key, message, report, reported, status, updated};
use ConversionState::{Hold, Payable, Received, Rejected, Reversed};
use ReviewDecision::{Approve, Reinstate, Reject};

/// A confirmed order of 2999.00 that names no click, and so waits for a reviewer.
fn without_click() -> ConversionReported {
    ConversionReported { click_id: None, ..report() }
}

/// A decision on a revision; its event says so, so that no two are the same.
fn decided(decision: ReviewDecision, revision: i64, reviewer: &str) -> ReviewDecided {
    ReviewDecided {
        event_id: format!("revevt_{decision:?}_{revision}_{reviewer}"),
        merchant_id: "m1".to_owned(),
        livemode: true,
        external_order_id: "O-1".to_owned(),
        review: Review {
            decision,
            revision,
            affiliate_id: (decision == Approve).then(|| "a2".to_owned()),
            reviewer: reviewer.to_owned(),
            role: "administrator".to_owned(),
            reason: "seen the order".to_owned(),
            request_id: "req_1".to_owned(),
        },
        decided_at: Timestamp(T0),
    }
}

fn sent(decided: &ReviewDecided) -> Message {
    message(&CONVERSIONS, key("O-1"), decided)
}

/// The state, and what is pending and payable.
#[track_caller]
fn check(world: &World, state: ConversionState, pending: i64, payable: i64) {
    let found = world.conversion();
    assert_eq!((found.state, world.balances()), (state, [pending, payable, -pending - payable]), "{found:?}");
}

/// Whether the last entry of the last transition is of a decision that counted.
#[track_caller]
fn applied(world: &World) -> bool {
    let entry = world.conversion().timeline.pop().expect("an entry");
    assert_eq!((entry.cause.kind, entry.cause.review.is_some()), (CauseType::Review, true));
    entry.cause.applied
}

/// The commission of the order without a campaign, once it is approved.
fn commission() -> i64 {
    let mut world = World::new();
    world.send(reported(&without_click())).send(sent(&decided(Approve, 1, "asha")));
    world.conversion().commission.expect("a commission").amount_minor
}

#[test]
fn an_approval_gets_its_commission_by_the_rules() {
    let mut world = World::new();
    world.send(reported(&without_click()));
    check(&world, Received, 0, 0);
    world.send(sent(&decided(Approve, 1, "asha")));
    let conversion = world.conversion();
    let of_conversion = (conversion.confidence, conversion.confidence_reason, conversion.suggested_affiliate_id);
    assert_eq!(of_conversion, (Some(Confidence::Low), Some(ConfidenceReason::NoClick), None));
    assert_eq!((conversion.affiliate_id.as_deref(), conversion.campaign_id), (Some("a2"), None));
    let commission = conversion.commission.expect("a commission");
    // The rule of the product, as an order of the same product gets that was attributed by its click.
    let mut clicks = World::new();
    clicks.send(clicked(&click())).send(reported(&report()));
    let by_click = clicks.conversion().commission.expect("a commission");
    assert_eq!((by_click.level, &by_click), (RuleLevel::Product, &commission));
    check(&world, Hold, commission.amount_minor, 0);
    let told = world.commissions().pop().expect("a commission");
    assert_eq!((told.affiliate_id.as_str(), told.campaign_id), ("a2", None));
    let states: Vec<ConversionState> = conversion.timeline.iter().map(|entry| entry.state).collect();
    assert_eq!(states, [ConversionState::Attributed, ConversionState::CommissionCreated, Hold]);
    world.at(T0 + 31 * DAY);
    check(&world, Payable, 0, commission.amount_minor);
    assert!(world.dead_letters().is_empty());
}

#[test]
fn of_several_at_once_the_first_in_the_log_counts() {
    for (first, second) in [(Approve, Reject), (Reject, Approve), (Approve, Approve), (Reject, Reject)] {
        let mut world = World::new();
        world.send(reported(&without_click()));
        world.write(sent(&decided(first, 1, "asha")));
        world.write(sent(&decided(second, 1, "bina")));
        // Another copy of the first changes nothing, and is not told.
        world.write(sent(&decided(first, 1, "asha")));
        world.settle();
        let transitions = world.transitions();
        let told: Vec<(bool, String)> = transitions[1..]
            .iter()
            .map(|it| it.timeline.last().expect("an entry"))
            .map(|it| (it.cause.applied, it.cause.review.as_ref().expect("a review").reviewer.clone()))
            .collect();
        assert_eq!(told, [(true, "asha".to_owned()), (false, "bina".to_owned())], "{first:?} {second:?}");
        let (state, pending) = if first == Approve { (Hold, commission()) } else { (Rejected, 0) };
        check(&world, state, pending, 0);
    }
}

#[test]
fn a_decision_counts_on_what_was_seen_and_on_nothing_else() {
    for (revision, counts) in [(0, false), (1, true), (2, false), (i64::MAX, false)] {
        let mut world = World::new();
        world.send(reported(&without_click())).send(sent(&decided(Reject, revision, "asha")));
        assert_eq!(applied(&world), counts, "{revision}");
        check(&world, if counts { Rejected } else { Received }, 0, 0);
    }
    // A re-send that differs is told in the timeline, and leaves what was seen as it is.
    for revision in [1, 2] {
        let mut world = World::new();
        let resent = ConversionReported { event_id: "cnvevt_2".to_owned(), amount_minor: 1, ..without_click() };
        world.send(reported(&without_click())).send(reported(&resent)).send(sent(&decided(Reject, revision, "asha")));
        assert!(applied(&world), "{revision}");
    }
    // A partial refund changes what was seen.
    let mut world = World::new();
    let refund =
        OrderStatusReported { refunded_thousandths: Some(1_000), ..status(ReportedStatus::Refunded, Some(T0), T0) };
    world.send(reported(&without_click())).send(updated(&refund)).send(sent(&decided(Approve, 1, "asha")));
    assert!(!applied(&world));
    world.send(sent(&decided(Approve, 3, "asha")));
    assert!(applied(&world) && world.conversion().refunded_thousandths == Some(1_000));
}

#[test]
fn what_is_attributed_or_awaited_is_not_for_a_reviewer() {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    let before = world.conversion();
    for decision in [Approve, Reject, Reinstate] {
        world.send(sent(&decided(decision, before.revision, "asha")));
        assert!(!applied(&world), "{decision:?}");
    }
    let after = world.conversion();
    assert_eq!((after.state, after.commission), (before.state, before.commission));
    let mut world = World::new();
    world.send(reported(&report())).send(sent(&decided(Approve, 1, "asha")));
    assert!(!applied(&world), "its click is awaited");
}

#[test]
fn a_refund_that_came_first_wins_and_one_that_comes_later_reverses() {
    let refund = status(ReportedStatus::Refunded, Some(T0 + SECOND), T0 + SECOND);
    let mut world = World::new();
    world.send(reported(&without_click())).send(updated(&refund)).send(sent(&decided(Approve, 1, "asha")));
    assert!(!applied(&world));
    check(&world, Reversed, 0, 0);
    let mut world = World::new();
    world.send(reported(&without_click())).send(sent(&decided(Approve, 1, "asha"))).send(updated(&refund));
    check(&world, Reversed, 0, 0);
    assert_eq!(world.conversion().commission.map(|it| it.amount_minor), Some(commission()));
}

#[test]
fn a_click_upgrades_unless_a_reviewer_has_decided() {
    let given_up = || {
        let mut world = World::new();
        world.send(reported(&report())).at(T0 + 61 * SECOND);
        assert_eq!(world.conversion().confidence_reason, Some(ConfidenceReason::ClickUnknown));
        world
    };
    let mut world = given_up();
    let seen = world.conversion().revision;
    world.send(clicked(&click())).send(sent(&decided(Approve, seen, "asha")));
    assert!(!applied(&world), "the click came first");
    assert_eq!(world.conversion().affiliate_id.as_deref(), Some("a1"));
    for (decision, state, affiliate) in [(Approve, Hold, Some("a2")), (Reject, Rejected, None)] {
        let mut world = given_up();
        world.send(sent(&decided(decision, seen, "asha"))).send(clicked(&click()));
        let conversion = world.conversion();
        assert_eq!((conversion.state, conversion.affiliate_id.as_deref()), (state, affiliate), "{decision:?}");
        assert_eq!(conversion.confidence_reason, Some(ConfidenceReason::ClickUnknown));
    }
}

#[test]
fn a_rejection_is_taken_back_and_then_the_facts_decide() {
    let mut world = World::new();
    world.send(reported(&without_click())).send(sent(&decided(Reject, 1, "asha")));
    check(&world, Rejected, 0, 0);
    world.send(sent(&decided(Reinstate, 2, "asha")));
    assert!(applied(&world));
    check(&world, Received, 0, 0);
    world.send(sent(&decided(Approve, 3, "bina")));
    check(&world, Hold, commission(), 0);
    // A click that came while it was rejected counts once it no longer is.
    let mut world = World::new();
    world.send(reported(&report())).at(T0 + 61 * SECOND);
    world.send(sent(&decided(Reject, 2, "asha"))).send(clicked(&click()));
    let seen = world.conversion().revision;
    world.send(sent(&decided(Reinstate, seen, "asha")));
    let conversion = world.conversion();
    assert_eq!((conversion.state, conversion.confidence), (Hold, Some(Confidence::High)));
}

/// The last transition after an order with these updates, and then a decision to reinstate it.
fn reinstated(updates: &[OrderStatusReported]) -> (World, ConversionTransitioned) {
    let mut world = World::new();
    world.send(clicked(&click())).send(reported(&report()));
    for update in updates {
        world.send(updated(update));
    }
    assert_eq!(world.conversion().state, Reversed);
    let seen = world.conversion().revision;
    world.send(sent(&decided(Reinstate, seen, "asha")));
    let conversion = world.conversion();
    (world, conversion)
}

#[test]
fn a_reversal_is_final_unless_an_administrator_reinstates() {
    let at = |status_, at: i64| status(status_, Some(T0 + at * SECOND), T0 + at * SECOND);
    let cancelled = at(ReportedStatus::Cancelled, 1);
    let (mut world, conversion) = reinstated(std::slice::from_ref(&cancelled));
    assert!(applied(&world));
    let amount = conversion.commission.expect("a commission").amount_minor;
    check(&world, Hold, amount, 0);
    // The same update again is known; the same at an earlier receipt stays set aside.
    let again = OrderStatusReported { event_id: "osevt_again".to_owned(), received_at: Timestamp(T0), ..cancelled };
    world.send(updated(&again));
    check(&world, Hold, amount, 0);
    // Another one reverses again, though it is older.
    world.send(updated(&at(ReportedStatus::Returned, 0)));
    check(&world, Reversed, 0, 0);
}

#[test]
fn what_is_refunded_in_parts_to_the_whole_stays_reversed() {
    let part = |number: i64| OrderStatusReported {
        event_id: format!("osevt_part_{number}"),
        refunded_thousandths: Some(1_500_000),
        ..status(ReportedStatus::Refunded, Some(T0 + number * SECOND), T0)
    };
    let (world, _) = reinstated(&[part(1), part(2)]);
    assert!(!applied(&world));
    check(&world, Reversed, 0, 0);
}

#[test]
fn what_no_edge_writes_is_refused() {
    let mut world = World::new();
    world.send(sent(&decided(Reject, 1, "asha")));
    let mut unnamed = decided(Approve, 1, "asha");
    unnamed.review.affiliate_id = None;
    let mut named = decided(Reject, 1, "asha");
    named.review.affiliate_id = Some("a1".to_owned());
    let mut misnamed = decided(Approve, 1, "asha");
    misnamed.review.affiliate_id = Some("a/1".to_owned());
    world.send(reported(&without_click()));
    for decided in [unnamed, named, misnamed] {
        world.send(sent(&decided));
    }
    let reasons: Vec<String> = world.dead_letters().into_iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, ["no_conversion", "out_of_range", "out_of_range", "out_of_range"]);
    assert_eq!(world.conversion().revision, 1);
}
