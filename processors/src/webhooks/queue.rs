//! The deliveries of one order: which are sent, which wait, and what an outcome does.

use std::collections::BTreeSet;

use schemas::Timestamp;
use schemas::ids::OrderKey;
use schemas::records::{WebhookOutcome, WebhookResult};
use schemas::state::{DeliveryPhase, WebhookDelivery, WebhookOrder};

use super::schedule::{LOSSES_MAX, lease_ends, retry_at};

/// What an outcome did to its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is over: delivered, or given up.
    Ended,
    /// It is attempted again.
    Retried,
}

/// Takes an outcome; `None` if it is of no attempt that is awaited.
pub(super) fn take(order: &mut WebhookOrder, outcome: &WebhookOutcome, now: Timestamp) -> Option<Taken> {
    let is_its = |it: &WebhookDelivery| it.endpoint_id == outcome.endpoint_id && it.sequence == outcome.sequence;
    let index = order.deliveries.iter().position(is_its)?;
    let delivery = &mut order.deliveries[index];
    let ended = match outcome.result {
        // However late: it is there.
        WebhookResult::Delivered | WebhookResult::Gone => true,
        WebhookResult::Failed => {
            if delivery.phase != DeliveryPhase::Sent || delivery.attempt != outcome.attempt {
                return None;
            }
            match retry_at(now, delivery.attempt, outcome.retry_after_ms, seed(outcome)) {
                Some(due_at) => {
                    (delivery.phase, delivery.due_at) = (DeliveryPhase::Retrying, due_at);
                    (delivery.attempt, delivery.losses) = (delivery.attempt + 1, 0);
                    false
                }
                None => true,
            }
        }
    };
    if ended {
        order.deliveries.remove(index);
    }
    Some(if ended { Taken::Ended } else { Taken::Retried })
}

/// What spreads the attempts of different conversions, and is the same whenever it is asked for.
fn seed(outcome: &WebhookOutcome) -> u64 {
    let WebhookOutcome { merchant_id, livemode, external_order_id, .. } = outcome;
    let order = OrderKey { merchant_id, livemode: *livemode, external_order_id };
    let (first, _) =
        order.conversion_id().0.split_first_chunk::<8>().map(|(a, b)| (*a, b)).expect("an id has 16 bytes");
    u64::from_be_bytes(first)
}

/// Takes out the oldest deliveries beyond `most`.
pub(super) fn overflow(order: &mut WebhookOrder, most: usize) -> Vec<WebhookDelivery> {
    let surplus = order.deliveries.len().saturating_sub(most);
    order.deliveries.drain(..surplus).collect()
}

/// Takes out the deliveries whose outcomes were lost too often, the present one among them.
pub(super) fn lost(order: &mut WebhookOrder, now: Timestamp) -> Vec<WebhookDelivery> {
    let is_lost = |it: &mut WebhookDelivery| {
        it.phase == DeliveryPhase::Sent && it.due_at <= now && it.losses.saturating_add(1) >= LOSSES_MAX
    };
    order.deliveries.extract_if(.., is_lost).collect()
}

/// The endpoints that something is to be sent to now.
pub(super) fn endpoints_due(order: &WebhookOrder, now: Timestamp) -> BTreeSet<String> {
    let due = (0..order.deliveries.len()).filter(|index| is_due(order, *index, now));
    due.map(|index| order.deliveries[index].endpoint_id.clone()).collect()
}

/// Takes out every delivery to an endpoint.
pub(super) fn give_up(order: &mut WebhookOrder, endpoint_id: &str) -> Vec<WebhookDelivery> {
    order.deliveries.extract_if(.., |delivery| delivery.endpoint_id == endpoint_id).collect()
}

/// Marks what is due as sent, and returns it.
pub(super) fn send_due(order: &mut WebhookOrder, now: Timestamp) -> Vec<WebhookDelivery> {
    let mut sent = Vec::new();
    for index in 0..order.deliveries.len() {
        if is_due(order, index, now) {
            let delivery = &mut order.deliveries[index];
            delivery.losses += i32::from(delivery.phase == DeliveryPhase::Sent);
            delivery.phase = DeliveryPhase::Sent;
            delivery.due_at = lease_ends(now, delivery.losses);
            sent.push(delivery.clone());
        }
    }
    sent
}

fn is_due(order: &WebhookOrder, index: usize, now: Timestamp) -> bool {
    let delivery = &order.deliveries[index];
    match delivery.phase {
        DeliveryPhase::Waiting => {
            let earlier = order.deliveries[..index].iter().filter(|it| it.endpoint_id == delivery.endpoint_id);
            earlier.into_iter().all(is_attempted)
        }
        DeliveryPhase::Sent | DeliveryPhase::Retrying => delivery.due_at <= now,
    }
}

/// Whether the first attempt has ended.
fn is_attempted(delivery: &WebhookDelivery) -> bool {
    match delivery.phase {
        DeliveryPhase::Waiting => false,
        DeliveryPhase::Sent => delivery.attempt > 1,
        DeliveryPhase::Retrying => true,
    }
}

/// When something is next to be done, if no outcome comes before.
pub(super) fn due(order: &WebhookOrder) -> Option<Timestamp> {
    let timed = order.deliveries.iter().filter(|delivery| delivery.phase != DeliveryPhase::Waiting);
    timed.map(|delivery| delivery.due_at).min()
}
