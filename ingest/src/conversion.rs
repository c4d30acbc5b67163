//! A report of a conversion: from the fields of a request to a record.

use schemas::Timestamp;
use schemas::money::{AmountError, Currency};
use schemas::records::{ConversionReported, OrderStatus};

use crate::auth::Caller;
use crate::fields::Reader;

/// The fields of the request.
pub(crate) const FIELDS: &[&str] = &[
    "clickId",
    "externalOrderId",
    "externalProductId",
    "orderAmount",
    "currency",
    "orderStatus",
    "orderedAt",
    "couponCode",
    "metadata",
];

/// Most characters of an order id.
pub(crate) const ORDER_ID_CHARACTERS_MAX: usize = 160;
/// Most characters of a click id.
pub(crate) const CLICK_ID_CHARACTERS_MAX: usize = 128;
/// Most characters of a product's id.
pub(crate) const PRODUCT_ID_CHARACTERS_MAX: usize = 160;
/// Most characters of a coupon's code.
pub(crate) const COUPON_CHARACTERS_MAX: usize = 64;

/// The statuses an order may be reported with.
pub(crate) const STATUSES: &[(&str, OrderStatus)] = &[
    ("pending", OrderStatus::Pending),
    ("confirmed", OrderStatus::Confirmed),
    ("delivered", OrderStatus::Delivered),
    ("cancelled", OrderStatus::Cancelled),
    ("returned", OrderStatus::Returned),
    ("refunded", OrderStatus::Refunded),
];

/// Validates a report received at `now`. The record has no idempotency key yet. The event `created`, if it came as that,
/// decides its status.
///
/// # Errors
/// Every fault.
pub(crate) fn read(
    mut reader: Reader<'_>,
    caller: &Caller,
    event_id: String,
    now: Timestamp,
    created: Option<&str>,
) -> Result<ConversionReported, Vec<String>> {
    let external_order_id = reader.required_text("externalOrderId", ORDER_ID_CHARACTERS_MAX);
    let (currency, amount_minor) = money(&mut reader, caller.currency);
    let record = ConversionReported {
        event_id,
        merchant_id: caller.merchant_id.clone(),
        livemode: caller.livemode,
        external_order_id: external_order_id.unwrap_or_default(),
        click_id: reader.text("clickId", CLICK_ID_CHARACTERS_MAX),
        external_product_id: reader.text("externalProductId", PRODUCT_ID_CHARACTERS_MAX),
        amount_minor: amount_minor.unwrap_or_default(),
        currency,
        order_status: order_status(&mut reader, created).unwrap_or(OrderStatus::Pending),
        ordered_at: reader.instant("orderedAt", now),
        received_at: now,
        coupon_code: reader.text("couponCode", COUPON_CHARACTERS_MAX),
        metadata: reader.metadata(),
        idempotency: None,
    };
    reader.finish().map(|()| record)
}

fn order_status(reader: &mut Reader<'_>, created: Option<&str>) -> Option<OrderStatus> {
    const NAME: &str = "orderStatus";
    match created {
        Some(event) => {
            reader.decided(NAME, "pending", event);
            None
        }
        None => reader.word(NAME, STATUSES),
    }
}

fn money(reader: &mut Reader<'_>, default: Currency) -> (Currency, Option<i64>) {
    let mut currency = Some(default);
    if let Some(value) = reader.raw("currency") {
        let text = reader.string("currency").map(|(text, _)| text);
        currency = text.as_deref().and_then(|code| Currency::parse(code).ok());
        if let (Some(_), None) = (text, currency) {
            reader.refuse("currency", schemas::money::CurrencyError, value);
        }
    }
    let amount_minor = amount(reader, currency.unwrap_or(default), currency.is_some());
    (currency.unwrap_or(default), amount_minor)
}

/// The amount; its decimals are judged only if the currency is the one meant.
fn amount(reader: &mut Reader<'_>, currency: Currency, currency_known: bool) -> Option<i64> {
    const NAME: &str = "orderAmount";
    let Some(value) = reader.raw(NAME) else {
        reader.fault(format!("{NAME} is required: a decimal string such as \"2999.00\""));
        return None;
    };
    let text = reader.decimal(NAME)?;
    match currency.parse_amount(&text) {
        Ok(minor) => Some(minor),
        Err(AmountError::TooPrecise { .. }) if !currency_known => None,
        Err(error) => {
            reader.refuse(NAME, error, value);
            None
        }
    }
}
