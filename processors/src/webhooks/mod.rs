//! `webhooks`: who is to be told of a change of a conversion, and when.
//!
//! A transition becomes a delivery to each endpoint of its merchant; a delivery is attempted until it is answered, or its
//! attempts or its endpoint have come to an end. The sender does what `webhook-attempts` says and keeps nothing: an attempt
//! whose outcome does not come back in time ([`LEASE_MS`]) is written again. So nothing is missing after a crash of
//! whomever, and a receiver may see a delivery twice, under one `webhook-id`. That ends too, after [`LOSSES_MAX`] times.
//!
//! **Order.** To one endpoint, the first attempt for a change is not made before the first attempt for the change before it,
//! of the same conversion, has ended. A repeated attempt may be overtaken by later changes.
//!
//! **An endpoint's health** is judged in each partition by the deliveries there, so that no partition waits for another.
//!
//! Rows: `o` and the order's key, a [`WebhookOrder`]; `b`, a sequence number and the order's key, a body that deliveries
//! still need; `e` and an endpoint's id, a [`WebhookEndpoint`].

use std::sync::Arc;
use std::time::Duration;

use schemas::ids::OrderKey;
use schemas::records::{ConversionTransitioned, WebhookAttempt, WebhookOutcome};
use schemas::registry::{Endpoint, Registry};
use schemas::state::{DeliveryPhase, WebhookDelivery, WebhookEndpoint, WebhookOrder};
use schemas::topics::{TRANSITIONS, WEBHOOK_ATTEMPTS, WEBHOOK_OUTCOMES};
use schemas::{Timestamp, encode};
use streams::{Context, DeadLetter, Failure, Input, Message, Processor, StoreError, Topic};

pub use self::schedule::{ATTEMPTS_MAX, LEASE_MS, LOSSES_MAX, SEND_WITHIN_MS};
use crate::common::{self, damaged, message, now, refuse, schema_version, undecodable};

mod body;
mod health;
mod queue;
mod schedule;

/// Most deliveries under way of one order, over all its endpoints; of more, the oldest are given up.
pub const DELIVERIES_PER_ORDER_MAX: usize = 128;

const ORDER: u8 = b'o';
const BODY: u8 = b'b';
const ENDPOINT: u8 = b'e';

/// What the keys of the rows of endpoints begin with.
pub const ENDPOINT_ROWS: &[u8] = &[ENDPOINT];

/// The endpoint's id, and how it does, of one of its rows; `None` for another row.
#[must_use]
pub fn endpoint_of_row<'a>(key: &'a [u8], value: &[u8]) -> Option<(&'a str, WebhookEndpoint)> {
    let id = std::str::from_utf8(key.strip_prefix(ENDPOINT_ROWS)?).ok()?;
    Some((id, schemas::decode(value).ok()?))
}

/// Whether an endpoint of the registry is told of nothing for its failures, by one of its rows: an operator who has enabled it
/// since has the row say so only with the next delivery.
#[must_use]
pub fn is_disabled(registry: &Registry, endpoint_id: &str, state: &WebhookEndpoint, now: Timestamp) -> bool {
    let Some(endpoint) = registry.endpoints().get(endpoint_id) else { return false };
    state.disabled_at.is_some_and(|disabled| !is_enabled_since(endpoint, disabled, now))
}

fn is_enabled_since(endpoint: &Endpoint, disabled: Timestamp, now: Timestamp) -> bool {
    endpoint.enabled_at.is_some_and(|enabled| disabled < enabled && enabled <= now)
}

/// The state machine of webhooks.
#[derive(Clone, Debug)]
pub struct Webhooks {
    registry: Arc<Registry>,
    disable_after_ms: i64,
}

impl Webhooks {
    /// How long an endpoint may fail, without a success, before it is disabled: 5 days.
    pub const DISABLE_AFTER: Duration = Duration::from_secs(5 * 86_400);

    /// The state machine under a registry, which disables an endpoint that has failed for that long without a success.
    #[must_use]
    pub fn new(registry: Arc<Registry>, disable_after: Duration) -> Webhooks {
        Webhooks { registry, disable_after_ms: i64::try_from(disable_after.as_millis()).unwrap_or(i64::MAX) }
    }

    /// The endpoints of a merchant that are told of its changes, unless they are disabled for their failures.
    fn told(&self, merchant_id: &str, livemode: bool) -> impl Iterator<Item = &str> {
        let endpoints = self.registry.endpoints().of(merchant_id, livemode);
        endpoints.filter(|endpoint| !endpoint.disabled).map(|endpoint| &*endpoint.id)
    }

    fn changed(
        &self,
        context: &mut Context<'_>,
        key: &[u8],
        conversion: &ConversionTransitioned,
    ) -> Result<(), Failure> {
        let row = order_row(key);
        let known: Option<WebhookOrder> = context.get(&row)?.map(|bytes| common::row(&bytes)).transpose()?;
        let endpoints: Vec<&str> = self.told(&conversion.merchant_id, conversion.livemode).collect();
        let deliveries_under_way = known.as_ref().is_some_and(|order| !order.deliveries.is_empty());
        if endpoints.is_empty() && !deliveries_under_way {
            // Nobody is told, so nothing needs to be remembered.
            if let Some(order) = known {
                clear_timer(context, key, &order);
                context.delete(&row);
            }
            return Ok(());
        }
        if known.as_ref().is_some_and(|order| order.revision >= conversion.revision) {
            return Ok(());
        }
        let before = known.as_ref().map(|order| order.state);
        let mut order =
            known.unwrap_or(WebhookOrder { revision: 0, state: conversion.state, timer: None, deliveries: Vec::new() });
        (order.revision, order.state) = (conversion.revision, conversion.state);
        // A change without an entry in the timeline is not the merchant's to know.
        if !conversion.timeline.is_empty() && !endpoints.is_empty() {
            let body =
                body::render(conversion, before).map_err(|damaged| refuse("damaged_metadata", damaged.to_string()))?;
            let before = order.deliveries.len();
            for endpoint_id in endpoints {
                self.add(context, key, &mut order, (endpoint_id, conversion.seq))?;
            }
            if order.deliveries.len() > before {
                context.put(&body_row(conversion.seq, key), body.into_bytes());
            }
        }
        self.advance(context, key, order)
    }

    /// Adds a delivery, unless its endpoint is disabled.
    fn add(
        &self,
        context: &mut Context<'_>,
        key: &[u8],
        order: &mut WebhookOrder,
        (endpoint_id, sequence): (&str, i32),
    ) -> Result<(), Failure> {
        let mut endpoint = endpoint(context, endpoint_id)?;
        if !self.takes(&order_key(key)?, endpoint_id, &endpoint, now(context)) {
            return Ok(());
        }
        if self.reinstated(endpoint_id, &endpoint, now(context)) {
            endpoint = health::afresh(&endpoint);
        }
        endpoint.pending += 1;
        put_endpoint(context, endpoint_id, &endpoint);
        order.deliveries.push(WebhookDelivery {
            endpoint_id: endpoint_id.to_owned(),
            sequence,
            attempt: 1,
            phase: DeliveryPhase::Waiting,
            due_at: now(context),
            losses: 0,
        });
        Ok(())
    }

    fn ended(&self, context: &mut Context<'_>, key: &[u8], outcome: &WebhookOutcome) -> Result<(), Failure> {
        let Some(bytes) = context.get(&order_row(key))? else { return Ok(()) };
        let mut order: WebhookOrder = common::row(&bytes)?;
        let Some(taken) = queue::take(&mut order, outcome, now(context)) else { return Ok(()) };
        let before = endpoint(context, &outcome.endpoint_id)?;
        let reinstated = self.reinstated(&outcome.endpoint_id, &before, now(context));
        let mut endpoint = if reinstated { health::afresh(&before) } else { before.clone() };
        health::judge(&mut endpoint, outcome.result, now(context), self.disable_after_ms);
        endpoint.pending -= i64::from(taken == queue::Taken::Ended);
        if endpoint != before {
            put_endpoint(context, &outcome.endpoint_id, &endpoint);
        }
        self.advance(context, key, order)
    }

    /// Writes the attempts that are due, gives up what has come to an end, and sets the timer for the rest.
    fn advance(&self, context: &mut Context<'_>, key: &[u8], mut order: WebhookOrder) -> Result<(), Failure> {
        let parsed = order_key(key)?;
        let now = now(context);
        let mut given_up = queue::overflow(&mut order, DELIVERIES_PER_ORDER_MAX);
        given_up.extend(queue::lost(&mut order, now));
        for endpoint_id in queue::endpoints_due(&order, now) {
            if !self.takes(&parsed, &endpoint_id, &endpoint(context, &endpoint_id)?, now) {
                given_up.extend(queue::give_up(&mut order, &endpoint_id));
            }
        }
        for delivery in given_up {
            let mut endpoint = endpoint(context, &delivery.endpoint_id)?;
            endpoint.pending -= 1;
            put_endpoint(context, &delivery.endpoint_id, &endpoint);
        }
        for delivery in queue::send_due(&mut order, now) {
            let body = context.get(&body_row(delivery.sequence, key))?;
            let body = body.ok_or_else(|| damaged("a delivery has no body"))?;
            let body = String::from_utf8(body.to_vec()).map_err(|_| damaged("a body is no text"))?;
            context.emit(attempt(&parsed, key, delivery, body, now));
        }
        self.keep(context, key, order)
    }

    /// Writes the order's row, without the bodies that no delivery needs any more.
    fn keep(&self, context: &mut Context<'_>, key: &[u8], mut order: WebhookOrder) -> Result<(), Failure> {
        let row = order_row(key);
        let former: Option<WebhookOrder> = context.get(&row)?.map(|bytes| common::row(&bytes)).transpose()?;
        let mut needless: Vec<i32> = former.iter().flat_map(|order| &order.deliveries).map(|it| it.sequence).collect();
        needless.dedup();
        for sequence in needless {
            if order.deliveries.iter().all(|delivery| delivery.sequence != sequence) {
                context.delete(&body_row(sequence, key));
            }
        }
        clear_timer(context, key, &order);
        order.timer = queue::due(&order);
        if let Some(due) = order.timer {
            context.set_timer(due.0, &row);
        }
        context.put(&row, encode(&order));
        Ok(())
    }

    /// Whether an endpoint is told of an order. One that is now of another merchant or mode is not: the sender leaves what is
    /// for it, without an outcome.
    fn takes(&self, order: &OrderKey<'_>, endpoint_id: &str, state: &WebhookEndpoint, now: Timestamp) -> bool {
        let registered = self.registry.endpoints().get(endpoint_id).is_some_and(|endpoint| {
            !endpoint.disabled && endpoint.merchant_id == order.merchant_id && endpoint.livemode == order.livemode
        });
        registered && (state.disabled_at.is_none() || self.reinstated(endpoint_id, state, now))
    }

    /// Whether an operator has enabled the endpoint since it was disabled for its failures.
    fn reinstated(&self, endpoint_id: &str, state: &WebhookEndpoint, now: Timestamp) -> bool {
        let endpoint = self.registry.endpoints().get(endpoint_id);
        state.disabled_at.zip(endpoint).is_some_and(|(disabled, endpoint)| is_enabled_since(endpoint, disabled, now))
    }
}

fn attempt(order: &OrderKey<'_>, key: &[u8], delivery: WebhookDelivery, body: String, now: Timestamp) -> Message {
    let attempt = WebhookAttempt {
        webhook_id: order.conversion_id().webhook_id(delivery.sequence, &delivery.endpoint_id),
        endpoint_id: delivery.endpoint_id,
        merchant_id: order.merchant_id.to_owned(),
        livemode: order.livemode,
        external_order_id: order.external_order_id.to_owned(),
        sequence: delivery.sequence,
        attempt: delivery.attempt,
        body,
        send_before: Timestamp(now.0.saturating_add(SEND_WITHIN_MS)),
    };
    message(&WEBHOOK_ATTEMPTS, key.to_vec(), &attempt)
}

fn clear_timer(context: &mut Context<'_>, key: &[u8], order: &WebhookOrder) {
    if let Some(timer) = order.timer {
        context.clear_timer(timer.0, &order_row(key));
    }
}

fn endpoint(context: &Context<'_>, id: &str) -> Result<WebhookEndpoint, StoreError> {
    context
        .get(&row_of(ENDPOINT, id.as_bytes()))?
        .map_or_else(|| Ok(WebhookEndpoint::default()), |row| common::row(&row))
}

fn put_endpoint(context: &mut Context<'_>, id: &str, endpoint: &WebhookEndpoint) {
    context.put(&row_of(ENDPOINT, id.as_bytes()), encode(endpoint));
}

fn order_key(key: &[u8]) -> Result<OrderKey<'_>, Failure> {
    OrderKey::from_bytes(key).ok_or_else(|| refuse("wrong_key", "the key is not an order's").into())
}

fn order_row(key: &[u8]) -> Vec<u8> {
    row_of(ORDER, key)
}

fn body_row(sequence: i32, key: &[u8]) -> Vec<u8> {
    [&[BODY], &sequence.to_be_bytes()[..], key].concat()
}

fn row_of(table: u8, key: &[u8]) -> Vec<u8> {
    [&[table], key].concat()
}

impl Processor for Webhooks {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn inputs(&self) -> Vec<Topic> {
        [TRANSITIONS, WEBHOOK_OUTCOMES].iter().map(common::topic).collect()
    }

    fn state_version(&self) -> u32 {
        // One more when the layout around the records changes.
        schema_version::<WebhookOrder>() ^ schema_version::<WebhookEndpoint>() ^ 1
    }

    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure> {
        let wrong_key = || refuse("wrong_key", "the record's key is not its order's");
        let order = OrderKey::from_bytes(input.key);
        let is_key = |merchant_id: &str, livemode, external_order_id: &str| {
            order == Some(OrderKey { merchant_id, livemode, external_order_id })
        };
        if input.topic == WEBHOOK_OUTCOMES.number {
            let outcome: WebhookOutcome = schemas::decode(input.value).map_err(|error| undecodable(&error))?;
            if !is_key(&outcome.merchant_id, outcome.livemode, &outcome.external_order_id) {
                return Err(wrong_key().into());
            }
            return self.ended(context, input.key, &outcome);
        }
        // By the key alone: most merchants have no endpoint, and decoding the record is nearly all that telling nobody takes.
        if let Some(order) = &order
            && self.told(order.merchant_id, order.livemode).next().is_none()
            && context.get(&order_row(input.key))?.is_none()
        {
            return Ok(());
        }
        let conversion: ConversionTransitioned = schemas::decode(input.value).map_err(|error| undecodable(&error))?;
        if !is_key(&conversion.merchant_id, conversion.livemode, &conversion.external_order_id) {
            return Err(wrong_key().into());
        }
        self.changed(context, input.key, &conversion)
    }

    fn timer(&self, context: &mut Context<'_>, key: &[u8]) -> Result<(), Failure> {
        let order_key = match key.split_first() {
            Some((&ORDER, order_key)) => order_key,
            Some(_) | None => return Err(refuse("bad_timer", "a timer's key is of no order").into()),
        };
        let Some(bytes) = context.get(key)? else { return Ok(()) };
        let order: WebhookOrder = common::row(&bytes)?;
        self.advance(context, order_key, order)
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message {
        common::dead_letter(letter)
    }
}
