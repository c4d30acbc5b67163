//! What merchants' endpoints are told: to whom, in which order, how often, and when no longer.

use std::collections::{BTreeMap, BTreeSet};

use processors::webhooks::{
    ATTEMPTS_MAX, DELIVERIES_PER_ORDER_MAX, ENDPOINT_ROWS, LEASE_MS, LOSSES_MAX, endpoint_of_row, is_disabled,
};
use proptest::prelude::*;
use schemas::Timestamp;
use schemas::records::{
    Cause, CauseType, ConversionState, ConversionTransitioned, TimelineEntry, WebhookAttempt, WebhookOutcome,
    WebhookResult,
};
use schemas::registry::Registry;
use schemas::state::{DisabledFor, WebhookEndpoint};
use schemas::topics::{self, WEBHOOK_ATTEMPTS, WEBHOOK_OUTCOMES};
use serde_json::Value;
use streams::log::Limits;

use crate::world::{DAY, REGISTRY, SECOND, T0, World, click, clicked, key, message, report, reported};

const MINUTE: i64 = 60 * SECOND;

/// [`REGISTRY`] with endpoints of these tables' further lines, `a`, `b` and so on, of the merchant `m1`.
fn registry(endpoints: &[&str]) -> String {
    let table = |(index, lines): (usize, &&str)| {
        let id = char::from(b'a' + u8::try_from(index).expect("a few"));
        format!(
            "[[endpoints]]\nid = \"{id}\"\nmerchant = \"m1\"\nurl = \"https://shop.example/{id}\"\n\
             secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n{lines}\n"
        )
    };
    let tables: String = endpoints.iter().enumerate().map(table).collect();
    format!("{REGISTRY}\n{tables}")
}

fn world(endpoints: &[&str]) -> World {
    World::with(&registry(endpoints), Limits::default())
}

impl World {
    fn attempts(&self) -> Vec<WebhookAttempt> {
        self.all(&WEBHOOK_ATTEMPTS)
    }

    /// Of every attempt so far its endpoint, its sequence number and which it is.
    fn told(&self) -> Vec<(String, i32, i32)> {
        self.attempts().into_iter().map(|it| (it.endpoint_id, it.sequence, it.attempt)).collect()
    }

    fn answer(&mut self, attempt: &WebhookAttempt, result: WebhookResult) {
        self.send(message(&WEBHOOK_OUTCOMES, key(&attempt.external_order_id), &outcome(attempt, result)));
    }

    /// Answers the last attempt.
    fn answered(&mut self, result: WebhookResult) -> &mut World {
        let attempt = self.attempts().pop().expect("an attempt");
        self.answer(&attempt, result);
        self
    }

    fn changed(&mut self, revision: i64) -> &mut World {
        self.send(message(&topics::TRANSITIONS, key("O-1"), &change(revision)))
    }

    fn endpoint(&self, id: &str) -> WebhookEndpoint {
        let rows = self.webhook_rows(ENDPOINT_ROWS);
        let found = rows.iter().filter_map(|(key, value)| endpoint_of_row(key, value)).find(|(found, _)| *found == id);
        found.map(|(_, state)| state).unwrap_or_default()
    }
}

fn outcome(attempt: &WebhookAttempt, result: WebhookResult) -> WebhookOutcome {
    WebhookOutcome {
        endpoint_id: attempt.endpoint_id.clone(),
        merchant_id: attempt.merchant_id.clone(),
        livemode: attempt.livemode,
        external_order_id: attempt.external_order_id.clone(),
        sequence: attempt.sequence,
        attempt: attempt.attempt,
        result,
        http_status: None,
        reason: None,
        retry_after_ms: None,
        duration_ms: 1,
        at: Timestamp(0),
    }
}

/// The change of the order O-1 with this revision, which made the timeline entry of the same number.
fn change(revision: i64) -> ConversionTransitioned {
    let seq = i32::try_from(revision).expect("a few");
    let mut world = World::new();
    world.send(reported(&report()));
    let cause = Cause {
        kind: CauseType::OrderStatus,
        event_id: None,
        order_status: None,
        refunded_thousandths: None,
        applied: true,
        fields: Vec::new(),
        review: None,
    };
    let state = if revision % 2 == 1 { ConversionState::Received } else { ConversionState::Hold };
    let timeline = vec![TimelineEntry { seq, state, at: Timestamp(T0), cause }];
    ConversionTransitioned { revision, seq, state, timeline, ..world.conversion() }
}

fn body(attempt: &WebhookAttempt) -> Value {
    serde_json::from_str(&attempt.body).expect("JSON")
}

#[test]
fn every_endpoint_is_told_of_every_change_from_state_to_state() {
    let mut world = world(&["", "", "livemode = false", "disabled = true"]);
    world.send(clicked(&click())).send(reported(&report()));
    assert_eq!(world.told(), [("a".to_owned(), 1, 1), ("b".to_owned(), 1, 1)]);
    let received = world.attempts();
    assert_eq!(
        (&body(&received[0])["data"]["oldState"], &body(&received[0])["data"]["newState"]),
        (&Value::Null, &"received".into())
    );
    received.iter().for_each(|attempt| world.answer(attempt, WebhookResult::Delivered));
    assert_eq!(world.told()[2..], [("a".to_owned(), 4, 1), ("b".to_owned(), 4, 1)]);
    let hold = world.attempts();
    let [first, second] = &hold[2..] else { panic!("two attempts") };
    assert_eq!(first.body, second.body);
    let id = world.conversion().conversion_id;
    assert_eq!(first.webhook_id, format!("whk_{}_4_a", &id.to_string()["cnv_".len()..]));
    let found = body(first);
    assert_eq!(found["type"], "conversion.transitioned");
    assert_eq!(found["timestamp"], Timestamp(T0).to_string());
    let data = &found["data"];
    for (field, expected) in [
        ("conversionId", Value::from(id.to_string())),
        ("externalOrderId", "O-1".into()),
        ("livemode", true.into()),
        ("sequence", 4.into()),
        ("oldState", "received".into()),
        ("newState", "hold".into()),
        ("confidence", "HIGH".into()),
        ("orderAmount", "2999.00".into()),
        ("couponCode", Value::Null),
    ] {
        assert_eq!(data.get(field), Some(&expected), "{field}");
    }
    assert_eq!(data["commission"]["amount"], "359.88");
    assert_eq!(data["timeline"].as_array().map(Vec::len), Some(3), "what this change added");

    [first, second].into_iter().for_each(|attempt| world.answer(attempt, WebhookResult::Delivered));
    world.at(T0 + 30 * DAY);
    let last = world.attempts().pop().expect("an attempt");
    let data = &body(&last)["data"];
    assert_eq!(
        (&data["sequence"], &data["oldState"], &data["newState"]),
        (&5.into(), &"hold".into(), &"payable".into())
    );
    assert!(world.dead_letters().is_empty());
}

#[test]
fn nothing_is_kept_where_nobody_is_told() {
    for endpoints in [&[][..], &["disabled = true"], &["livemode = false"]] {
        let mut world = world(endpoints);
        world.changed(1).changed(2).at(T0 + DAY);
        assert!(world.told().is_empty() && world.webhook_rows(b"").is_empty(), "{endpoints:?}");
    }
    let mut world = world(&[""]);
    world.changed(1).answered(WebhookResult::Delivered).set_registry(REGISTRY).changed(2);
    assert_eq!(world.webhook_rows(b"o"), [], "what was known is forgotten");
    world.set_registry(&registry(&[""])).changed(3);
    let last = world.attempts().pop().expect("an attempt");
    assert_eq!((last.sequence, &body(&last)["data"]["oldState"]), (3, &Value::Null));
}

#[test]
fn a_change_that_is_not_the_merchant_s_to_know_is_not_told() {
    let mut world = world(&[""]);
    let hidden = ConversionTransitioned { timeline: Vec::new(), seq: 1, ..change(2) };
    world.changed(1).answered(WebhookResult::Delivered).send(message(&topics::TRANSITIONS, key("O-1"), &hidden));
    assert_eq!(world.told().len(), 1);
    world.changed(3);
    assert_eq!(world.told().len(), 2);
}

#[test]
fn a_change_that_comes_again_is_told_once() {
    let mut world = world(&[""]);
    world.changed(1).changed(1).answered(WebhookResult::Delivered).changed(1);
    assert_eq!(world.told(), [("a".to_owned(), 1, 1)]);
    assert_eq!(world.webhook_rows(b"b"), [], "the body is gone with its last delivery");
    assert_eq!(world.endpoint("a"), WebhookEndpoint::default());
}

#[test]
fn the_next_change_waits_for_the_first_attempt_of_the_one_before_and_for_no_more() {
    let mut world = world(&["", ""]);
    world.changed(1).changed(2);
    assert_eq!(world.told(), [("a".to_owned(), 1, 1), ("b".to_owned(), 1, 1)]);
    let [a, b] = &world.attempts()[..] else { panic!("two") };
    world.answer(b, WebhookResult::Delivered);
    assert_eq!(world.told()[2..], [("b".to_owned(), 2, 1)], "another endpoint does not wait");
    world.answer(a, WebhookResult::Failed);
    assert_eq!(world.told()[3..], [("a".to_owned(), 2, 1)]);
    world.at(T0 + 6 * SECOND);
    assert_eq!(world.told()[4..], [("a".to_owned(), 1, 2)], "the second attempt comes after it");
    assert_eq!(world.attempts()[4].body, a.body);
    assert_eq!(world.attempts()[4].webhook_id, a.webhook_id);
}

#[test]
fn what_fails_is_attempted_less_and_less_often_and_then_given_up() {
    let mut world = world(&[""]);
    world.changed(1);
    let mut times = vec![world.now()];
    while world.endpoint("a").pending > 0 {
        let before = world.told().len();
        world.answered(WebhookResult::Failed);
        if world.endpoint("a").pending == 0 {
            break;
        }
        while world.told().len() == before {
            world.at(world.now() + SECOND);
        }
        times.push(world.now());
    }
    assert_eq!(times.len(), usize::try_from(ATTEMPTS_MAX).expect("a few"));
    let gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let least = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE, 300 * MINUTE, 600 * MINUTE, 600 * MINUTE];
    for (gap, least) in gaps.iter().zip(least) {
        assert!((least..=least + least / 5 + SECOND).contains(gap), "{gaps:?}");
    }
    let count = world.told().len();
    world.at(world.now() + 30 * DAY).changed(2);
    assert_eq!(world.told()[count..], [("a".to_owned(), 2, 1)], "the endpoint is still told of others");
}

#[test]
fn an_endpoint_that_asks_for_it_is_left_alone() {
    let mut world = world(&[""]);
    world.changed(1);
    let attempt = world.attempts().pop().expect("an attempt");
    let busy = WebhookOutcome { retry_after_ms: Some(10 * MINUTE), ..outcome(&attempt, WebhookResult::Failed) };
    world.send(message(&WEBHOOK_OUTCOMES, key("O-1"), &busy)).at(T0 + 10 * MINUTE - 1);
    assert_eq!(world.told().len(), 1);
    world.at(T0 + 10 * MINUTE);
    assert_eq!(world.told().len(), 2);
}

#[test]
fn an_attempt_whose_outcome_is_lost_comes_again_as_the_same() {
    let mut world = world(&[""]);
    world.changed(1).changed(2).at(T0 + LEASE_MS - 1);
    assert_eq!(world.told().len(), 1);
    world.at(T0 + LEASE_MS);
    assert_eq!(world.told(), [("a".to_owned(), 1, 1), ("a".to_owned(), 1, 1)]);
    let [first, second] = &world.attempts()[..] else { panic!("two") };
    assert_eq!((&first.webhook_id, &first.body), (&second.webhook_id, &second.body));
    assert!(second.send_before > first.send_before && second.send_before.0 < T0 + 2 * LEASE_MS);
    world.at(T0 + 3 * LEASE_MS - 1);
    assert_eq!(world.told().len(), 2, "each time it is awaited for twice as long");
    world.at(T0 + 3 * LEASE_MS);
    assert_eq!(world.told().len(), 3);
    for minute in 2..24 * 60 {
        world.at(T0 + minute * MINUTE);
    }
    assert!((150..200).contains(&world.told().len()), "{}", world.told().len());
    assert_eq!(world.endpoint("a").failing_since, None, "that is not the endpoint's fault");
    world.answered(WebhookResult::Delivered);
    assert_eq!(world.told().last(), Some(&("a".to_owned(), 2, 1)));
}

#[test]
fn a_delivery_whose_outcomes_are_lost_for_a_week_is_given_up() {
    let mut world = world(&[""]);
    world.changed(1).changed(2);
    let most = usize::try_from(LOSSES_MAX).expect("a few");
    for step in 1..i64::from(LOSSES_MAX) {
        world.at(T0 + step * 8 * MINUTE);
    }
    assert_eq!(world.told(), vec![("a".to_owned(), 1, 1); most]);
    assert_eq!(world.endpoint("a").pending, 2);
    world.at(T0 + i64::from(LOSSES_MAX) * 8 * MINUTE);
    assert_eq!(world.told()[most..], [("a".to_owned(), 2, 1)], "the next takes its turn");
    assert_eq!((world.endpoint("a").pending, world.webhook_rows(b"b").len()), (1, 1));
    assert_eq!(world.endpoint("a").failing_since, None, "that is not the endpoint's fault");
}

#[test]
fn outcomes_that_nobody_waits_for_change_nothing() {
    let mut world = world(&[""]);
    world.changed(1);
    let first = world.attempts().pop().expect("an attempt");
    world.answer(&first, WebhookResult::Failed);
    let before = world.webhook_rows(b"");
    world.answer(&first, WebhookResult::Failed);
    world.answer(&WebhookAttempt { sequence: 9, ..first.clone() }, WebhookResult::Gone);
    world.answer(&WebhookAttempt { endpoint_id: "z".to_owned(), ..first.clone() }, WebhookResult::Gone);
    let other = WebhookAttempt { external_order_id: "O-2".to_owned(), ..first.clone() };
    world.answer(&other, WebhookResult::Delivered);
    assert_eq!(world.webhook_rows(b""), before);
    world.answer(&first, WebhookResult::Delivered);
    assert_eq!(world.endpoint("a"), WebhookEndpoint::default(), "one that is delivered after all is delivered");
    world.at(T0 + DAY);
    assert_eq!(world.told().len(), 1);
}

#[test]
fn an_endpoint_that_is_gone_is_told_nothing_until_it_is_enabled_again() {
    let mut world = world(&[""]);
    world.changed(1).changed(2).at(T0 + SECOND).answered(WebhookResult::Gone);
    let gone = world.endpoint("a");
    assert_eq!((gone.disabled_for, gone.disabled_at), (Some(DisabledFor::Gone), Some(Timestamp(T0 + SECOND))));
    assert_eq!((world.told().len(), gone.pending), (1, 0), "what waited is given up");
    world.changed(3).at(T0 + DAY);
    assert_eq!(world.told().len(), 1);
    for too_early in ["2026-06-14T09:30:01Z", "2026-06-16T09:30:00Z"] {
        world.set_registry(&registry(&[&format!("enabled_at = \"{too_early}\"")])).changed(4);
        assert_eq!(world.told().len(), 1, "{too_early}");
    }
    world.set_registry(&registry(&["enabled_at = \"2026-06-14T09:30:02Z\""])).changed(5);
    assert_eq!(world.told()[1..], [("a".to_owned(), 5, 1)]);
    assert_eq!(body(&world.attempts()[1])["data"]["oldState"], "hold", "what was not told is known all the same");
    assert_eq!(world.endpoint("a").disabled_at, None);
    world.answered(WebhookResult::Gone).changed(6);
    assert_eq!(world.told().len(), 2, "an endpoint that is gone again is disabled again");
}

#[test]
fn an_endpoint_counts_as_disabled_until_it_is_enabled_or_removed() {
    let mut world = world(&[""]);
    world.changed(1).at(T0 + SECOND).answered(WebhookResult::Gone);
    let gone = world.endpoint("a");
    let check = |file: &str, state: &WebhookEndpoint, expected: bool| {
        let registry = Registry::parse(file).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(is_disabled(&registry, "a", state, Timestamp(T0 + MINUTE)), expected, "{file}");
    };
    check(&registry(&[""]), &gone, true);
    check(&registry(&[""]), &WebhookEndpoint::default(), false);
    check(REGISTRY, &gone, false);
    for (seconds, expected) in [(1, true), (2, false), (60, false), (61, true)] {
        let enabled_at = Timestamp(T0 + seconds * SECOND);
        check(&registry(&[&format!("enabled_at = \"{enabled_at}\"")]), &gone, expected);
    }
}

#[test]
fn an_endpoint_that_fails_for_days_is_disabled() {
    let mut world = world(&[""]);
    let mut revision = 0;
    while world.endpoint("a").disabled_at.is_none() {
        revision += 1;
        assert!(revision < 100, "it is still told");
        world.changed(revision).answered(WebhookResult::Failed);
        world.at(world.now() + DAY / 2);
        while world.endpoint("a").pending > 0 && world.endpoint("a").disabled_at.is_none() {
            let (before, now) = (world.endpoint("a").failures, world.now());
            world.answered(WebhookResult::Failed);
            if world.endpoint("a").failures == before {
                world.at(now + 60 * MINUTE);
            }
        }
    }
    let disabled = world.endpoint("a");
    let since = disabled.failing_since.expect("it failed");
    assert_eq!(disabled.disabled_for, Some(DisabledFor::Failing));
    assert!(disabled.disabled_at.expect("it is").0 - since.0 >= 5 * DAY);
    let count = world.told().len();
    let later = world.now() + 30 * DAY;
    world.changed(revision + 1).at(later);
    assert_eq!(world.told().len(), count);
    assert_eq!(world.endpoint("a").pending, 0);
}

#[test]
fn what_is_under_way_to_an_endpoint_that_is_no_more_is_given_up() {
    let of_another = registry(&[""]).replace("id = \"a\"\nmerchant = \"m1\"", "id = \"a\"\nmerchant = \"m2\"");
    for registry in [REGISTRY.to_owned(), registry(&["disabled = true"]), registry(&["livemode = false"]), of_another] {
        let mut world = world(&[""]);
        world.changed(1).changed(2).answered(WebhookResult::Failed).set_registry(&registry).at(T0 + DAY);
        assert_eq!(world.told().len(), 2, "two first attempts");
        assert_eq!(world.endpoint("a").pending, 0);
        assert_eq!(world.webhook_rows(b"b"), []);
    }
}

#[test]
fn of_too_many_deliveries_the_oldest_are_given_up() {
    let mut world = world(&[""]);
    let most = i64::try_from(DELIVERIES_PER_ORDER_MAX).expect("a few");
    for revision in 1..=most {
        world.changed(revision);
    }
    assert_eq!((world.told().len(), world.endpoint("a").pending), (1, most));
    world.changed(most + 1);
    assert_eq!(world.endpoint("a").pending, most);
    assert_eq!(world.told()[1..], [("a".to_owned(), 2, 1)], "the next of them takes its turn");
    assert_eq!(world.webhook_rows(b"b").len(), DELIVERIES_PER_ORDER_MAX);
}

#[test]
fn records_of_other_orders_and_damaged_ones_are_dead_letters() {
    let mut world = world(&[""]);
    world.changed(1);
    let attempt = world.attempts().pop().expect("an attempt");
    let outcome = outcome(&attempt, WebhookResult::Delivered);
    world.send(message(&WEBHOOK_OUTCOMES, key("O-2"), &outcome));
    world.send(message(&topics::TRANSITIONS, key("O-2"), &change(2)));
    world.send(message(&WEBHOOK_OUTCOMES, key("O-1"), &click()));
    let metadata = ConversionTransitioned { metadata: Some("{".to_owned()), ..change(2) };
    world.send(message(&topics::TRANSITIONS, key("O-1"), &metadata));
    let reasons: Vec<String> = world.dead_letters().into_iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, ["wrong_key", "wrong_key", "undecodable", "damaged_metadata"]);
    assert_eq!(world.endpoint("a").pending, 1, "none of them did anything");
}

/// What happens next in a random history.
#[derive(Clone, Debug)]
enum Event {
    Change,
    /// Of the attempts so far, this one is answered, perhaps again.
    Answer(usize, WebhookResult),
    Wait(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let result = prop_oneof![Just(WebhookResult::Delivered), Just(WebhookResult::Failed)];
    prop_oneof![
        2 => Just(Event::Change),
        4 => (0..1_000_usize, result).prop_map(|(index, result)| Event::Answer(index, result)),
        2 => prop_oneof![1..=40 * SECOND, 1..=60 * MINUTE].prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is answered, lost and repeated: first attempts keep their order, no delivery is forgotten, and none is told
    /// of after it was delivered.
    #[test]
    fn no_delivery_is_forgotten(events in prop::collection::vec(event(), 1..40)) {
        let mut world = world(&["", ""]);
        let (mut revision, mut delivered) = (0, BTreeSet::new());
        let mut before = 0;
        let deliver = |world: &mut World, attempt: &WebhookAttempt, delivered: &mut BTreeSet<(String, i32)>, result| {
            world.answer(attempt, result);
            if result == WebhookResult::Delivered {
                delivered.insert((attempt.endpoint_id.clone(), attempt.sequence));
            }
        };
        for event in events {
            let known = delivered.clone();
            match event {
                Event::Change => {
                    revision += 1;
                    world.changed(revision);
                }
                Event::Answer(index, result) => {
                    let attempts = world.attempts();
                    if let Some(attempt) = attempts.get(index % attempts.len().max(1)) {
                        deliver(&mut world, attempt, &mut delivered, result);
                    }
                }
                Event::Wait(time) => {
                    world.at(world.now() + time);
                }
            }
            let told = world.told();
            for (endpoint, sequence, _) in &told[before..] {
                prop_assert!(!known.contains(&(endpoint.clone(), *sequence)), "{endpoint} {sequence} was delivered");
            }
            before = told.len();
        }
        for _ in 0..200 {
            let left = world.endpoint("a").pending + world.endpoint("b").pending;
            if left == 0 {
                break;
            }
            for attempt in world.attempts() {
                if !delivered.contains(&(attempt.endpoint_id.clone(), attempt.sequence)) {
                    deliver(&mut world, &attempt, &mut delivered, WebhookResult::Delivered);
                }
            }
            world.at(world.now() + 60 * MINUTE);
        }
        let mut first: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (endpoint, sequence, _) in world.told() {
            let sequences = first.entry(endpoint).or_default();
            if !sequences.contains(&sequence) {
                sequences.push(sequence);
            }
        }
        let all: Vec<i32> = (1..=i32::try_from(revision).expect("a few")).collect();
        prop_assert!(first.values().all(|sequences| *sequences == all), "{first:?}");
        prop_assert_eq!(first.len(), if revision > 0 { 2 } else { 0 });
        prop_assert_eq!((world.endpoint("a").pending, world.endpoint("b").pending), (0, 0));
        prop_assert_eq!(world.webhook_rows(b"b"), vec![]);
        prop_assert!(world.dead_letters().is_empty());
    }
}
