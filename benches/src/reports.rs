//! Reports of orders, written past the edge.

use schemas::codec::encode;
use schemas::ids::OrderKey;
use schemas::records::{ConversionReported, OrderStatus};
use schemas::{Currency, Timestamp, topics};
use streams::log::Pending;
use streams::{Message, PublishError, Publisher};

/// 2026-06-14T09:30:00Z: the reports are the same in every run.
const RECEIVED_AT: Timestamp = Timestamp(1_781_429_400_000);
/// Reports under way to the log at once.
const UNDER_WAY: usize = 20_000;

/// A report of an order without a click, which is LOW at once: two facts of the order, and no other processor.
///
/// # Panics
/// Never: its parts are constants.
#[must_use]
pub fn report(order: u64) -> Message {
    let external_order_id = format!("order-{order}");
    let key = OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: &external_order_id }.to_bytes();
    let record = ConversionReported {
        event_id: format!("cnvevt_{order:032x}"),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id,
        click_id: None,
        external_product_id: Some("SKU-RED-42".to_owned()),
        amount_minor: 299_900,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Confirmed,
        ordered_at: None,
        received_at: RECEIVED_AT,
        coupon_code: None,
        metadata: None,
        idempotency: None,
    };
    Message { topic: processors::topic(&topics::CONVERSIONS), key, value: encode(&record) }
}

/// Writes messages, and returns once all are durable.
///
/// # Errors
/// The first that was not.
///
/// # Panics
/// If there is no room for a runtime.
pub fn publish(publisher: &impl Publisher, messages: impl Iterator<Item = Message>) -> Result<(), PublishError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut under_way = std::collections::VecDeque::<Pending>::new();
    for message in messages {
        if under_way.len() == UNDER_WAY
            && let Some(oldest) = under_way.pop_front()
        {
            runtime.block_on(oldest)?;
        }
        under_way.push_back(publisher.publish(vec![message])?);
    }
    under_way.into_iter().try_for_each(|pending| runtime.block_on(pending).map(drop))
}
