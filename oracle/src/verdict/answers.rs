//! What was sent and answered, against the log.

use schemas::records::{ClickRecorded, ConversionReported, OrderStatusReported};

use crate::committed::Committed;
use crate::facts::{Answer, Body, Click, Facts, Report, Request, Status, conversion_id};
use crate::fault::{Faults, Invariant};

/// Whether a report in the log says what a request said.
fn is_report(logged: &ConversionReported, sent: &Report) -> bool {
    logged.click_id == sent.click_id
        && logged.external_product_id == sent.external_product_id
        && logged.amount_minor == sent.amount_minor
        && logged.currency == sent.currency
        && logged.order_status == sent.order_status
        && logged.ordered_at == sent.ordered_at
        && logged.coupon_code == sent.coupon_code
        && logged.metadata == sent.metadata
}

fn is_status(logged: &OrderStatusReported, sent: &Status) -> bool {
    let Status { status, status_updated_at, refunded_thousandths } = *sent;
    (logged.status, logged.status_updated_at) == (status, status_updated_at)
        && logged.refunded_thousandths == refunded_thousandths
}

fn reports<'a>(committed: &'a Committed, key: &str) -> &'a [ConversionReported] {
    committed.reports.get(key).map_or(&[], Vec::as_slice)
}

fn statuses<'a>(committed: &'a Committed, key: &str) -> &'a [OrderStatusReported] {
    committed.statuses.get(key).map_or(&[], Vec::as_slice)
}

/// What is in the log was sent, and came after it was sent.
pub(super) fn sent(facts: &Facts, committed: &Committed, faults: &mut Faults) {
    let skew_ms = facts.skew_ms();
    let known = |key: &str, received_ms: i64, same: &dyn Fn(&Body) -> bool| {
        let of_order = facts.requests.iter().filter(|request| request.order.key() == key);
        of_order.into_iter().any(|request| same(&request.body) && request.sent_ms - skew_ms <= received_ms)
    };
    for (key, logged) in committed.reports.iter().flat_map(|(key, all)| all.iter().map(move |it| (key, it))) {
        let same = |body: &Body| matches!(body, Body::Report(sent) if is_report(logged, sent));
        faults.check(Invariant::Sent, known(key, logged.received_at.0, &same), || {
            format!("{key}: nobody had sent this: {logged:?}")
        });
    }
    for (key, logged) in committed.clocks.iter().flat_map(|(key, all)| all.iter().map(move |it| (key, &it.advanced))) {
        let same = |body: &Body| *body == Body::Clock(logged.advanced_to);
        faults.check(Invariant::Sent, known(key, logged.received_at.0, &same), || {
            format!("{key}: nobody had sent this: {logged:?}")
        });
    }
    for (key, logged) in committed.statuses.iter().flat_map(|(key, all)| all.iter().map(move |it| (key, it))) {
        let same = |body: &Body| matches!(body, Body::Status(sent) if is_status(logged, sent));
        faults.check(Invariant::Sent, known(key, logged.received_at.0, &same), || {
            format!("{key}: nobody had sent this: {logged:?}")
        });
    }
}

/// What was answered 202 is in the log, and the answer is true.
pub(super) fn requests(facts: &Facts, committed: &Committed, faults: &mut Faults) {
    for request in &facts.requests {
        let key = request.order.key();
        for (answered_ms, answer) in &request.answers {
            let by_ms = answered_ms + facts.skew_ms();
            let logged = match &request.body {
                // A duplicate too: one that says what is known already is in the log, and one that differs is a fact.
                Body::Report(sent) => {
                    reports(committed, &key).iter().any(|it| it.received_at.0 <= by_ms && is_report(it, sent))
                }
                Body::Status(sent) => {
                    statuses(committed, &key).iter().any(|it| it.received_at.0 <= by_ms && is_status(it, sent))
                }
                Body::Clock(sent) => committed
                    .clocks
                    .get(&key)
                    .into_iter()
                    .flatten()
                    .any(|it| it.advanced.received_at.0 <= by_ms && it.advanced.advanced_to == *sent),
            };
            faults.check(Invariant::Lost, logged, || {
                format!("{key}: was answered {answer:?} at {answered_ms} and is not in the log: {:?}", request.body)
            });
            let truth = match answer {
                Answer::Recorded { event_id } => committed.has_event(event_id, &key),
                Answer::Duplicate { conversion_id: told } => {
                    conversion_id(&key).is_some_and(|id| id.to_string() == *told)
                }
            };
            faults.check(Invariant::Answer, truth, || format!("{key}: the answer {answer:?} is not true"));
        }
        overtaken(&key, request, facts, committed, faults);
    }
}

/// What the claims called the first of its kind, and was answered so, is one event of its kind.
pub(super) fn firsts(facts: &Facts, faults: &mut Faults) {
    let mut firsts: Vec<(&Request, &str)> = Vec::new();
    for request in &facts.requests {
        for (_, answer) in &request.answers {
            let Answer::Recorded { event_id } = answer else { continue };
            if !facts.firsts.contains(event_id) {
                continue;
            }
            match firsts.iter().find(|(other, _)| is_of_a_kind(request, other)) {
                Some((_, other)) => faults.check(Invariant::First, event_id == other, || {
                    format!("{}: {other} and {event_id} were both recorded as the first", request.order.key())
                }),
                None => firsts.push((request, event_id)),
            }
        }
    }
}

/// Whether one of two requests is a duplicate of the other, though it may differ.
fn is_of_a_kind(one: &Request, other: &Request) -> bool {
    one.order == other.order
        && match (&one.body, &other.body) {
            (Body::Report(_), Body::Report(_)) => true,
            (Body::Status(one), Body::Status(other)) => one == other,
            (Body::Clock(one), Body::Clock(other)) => one == other,
            (Body::Report(_) | Body::Status(_) | Body::Clock(_), _) => false,
        }
}

fn duplicate(answer: &Answer) -> bool {
    match answer {
        Answer::Duplicate { .. } => true,
        Answer::Recorded { .. } => false,
    }
}

/// A report that was recorded before all that say the same as the first in the log were sent was overtaken.
fn overtaken(key: &str, request: &Request, facts: &Facts, committed: &Committed, faults: &mut Faults) {
    let recorded = request.answers.iter().filter(|(_, answer)| !duplicate(answer)).map(|(at, _)| *at).min();
    let (Body::Report(sent), Some(recorded_ms), Some(first)) = (&request.body, recorded, committed.report(key)) else {
        return;
    };
    if is_report(first, sent) {
        return;
    }
    let says_the_same =
        |it: &&Request| it.order == request.order && matches!(&it.body, Body::Report(sent) if is_report(first, sent));
    let begun_ms = facts.requests.iter().filter(says_the_same).map(|it| it.sent_ms).min();
    faults.check(Invariant::Overtaken, begun_ms.is_none_or(|begun_ms| begun_ms <= recorded_ms), || {
        format!("{key}: {sent:?} was recorded at {recorded_ms}, and {first:?}, which was sent later, counts")
    });
}

/// Every click in the log was made, or is of a registry. One that was made may be missing: the redirect waits for nothing.
pub(super) fn clicks(facts: &Facts, committed: &Committed, faults: &mut Faults) {
    let mut unanswered: Vec<&Click> = facts.clicks.iter().filter(|click| click.answered.is_none()).collect();
    // In the order of their times, so that none takes the place of one that could only be that.
    let mut all: Vec<_> = committed.clicks.iter().collect();
    all.sort_by_key(|(_, logged)| logged.clicked_at);
    for (id, logged) in all {
        let of_registry = facts.registries().any(|registry| registry.clicks().iter().any(|click| click == logged));
        let told = facts.clicks.iter().find(|it| it.answered.as_ref().is_some_and(|(_, told)| told == id));
        let made = of_registry
            || match told {
                Some(click) => could_be(logged, click, facts),
                None => {
                    let made = unanswered.iter().position(|click| could_be(logged, click, facts));
                    made.map(|index| unanswered.swap_remove(index)).is_some()
                }
            };
        faults.check(Invariant::Sent, made, || format!("click {id}: nobody made this: {logged:?}"));
    }
    let first = facts.registries().next();
    for click in first.into_iter().flat_map(|registry| registry.clicks()) {
        faults.check(Invariant::Lost, committed.clicks.contains_key(&click.click_id), || {
            format!("click {}: is in the registry and not in the log", click.click_id)
        });
    }
}

fn could_be(logged: &ClickRecorded, made: &Click, facts: &Facts) -> bool {
    let skew_ms = facts.skew_ms();
    let in_time = made.sent_ms - skew_ms <= logged.clicked_at.0
        && made.answered.as_ref().is_none_or(|(at, _)| logged.clicked_at.0 <= at + skew_ms);
    in_time
        && facts.registries().any(|registry| {
            let link = registry.link(&made.link_id);
            let campaign = link.and_then(|link| registry.campaign(&link.campaign_id));
            link.zip(campaign).is_some_and(|(link, campaign)| {
                logged.link_id.as_ref() == Some(&link.id)
                    && logged.affiliate_id == link.affiliate_id
                    && logged.campaign_id == campaign.id
                    && logged.merchant_id == campaign.merchant_id
            })
        })
}
