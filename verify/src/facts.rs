//! What the edge writes, and what of it nobody can process.

use schemas::ids::{OrderKey, check_name};
use schemas::records::{
    ClickRecorded, ConversionReported, OrderStatusReported, ReportedStatus, ReviewDecided, ReviewDecision,
};

/// Most characters of an order's id, and most bytes of a click's.
const ORDER_ID_CHARACTERS_MAX: usize = 160;
const CLICK_ID_BYTES_MAX: usize = 512;
/// Most digits of an amount before the point.
const INTEGER_DIGITS_MAX: usize = 15;
/// Decimals of what is refunded, whatever the currency.
const REFUND_DECIMALS: usize = 3;

/// A fact about an order.
#[derive(Debug)]
pub(crate) enum Fact {
    Report(ConversionReported),
    Status(OrderStatusReported),
    Review(ReviewDecided),
}

impl Fact {
    /// The fact in a record of `conversions`; nothing if it is none that can be processed, and has to be set aside.
    pub(crate) fn read(key: &[u8], value: &[u8]) -> Option<Fact> {
        let report = schemas::decode(value).map(Fact::Report);
        let status = report.or_else(|_| schemas::decode(value).map(Fact::Status));
        let fact = status.or_else(|_| schemas::decode(value).map(Fact::Review)).ok()?;
        (fact.key().is_some_and(|own| own == key) && fact.can_be()).then_some(fact)
    }

    /// The key of its order; nothing if there can be no such order.
    fn key(&self) -> Option<Vec<u8>> {
        let (merchant_id, livemode, external_order_id) = match self {
            Fact::Report(it) => (&*it.merchant_id, it.livemode, &*it.external_order_id),
            Fact::Status(it) => (&*it.merchant_id, it.livemode, &*it.external_order_id),
            Fact::Review(it) => (&*it.merchant_id, it.livemode, &*it.external_order_id),
        };
        check_name(merchant_id).ok()?;
        let characters = external_order_id.chars().count();
        let key = OrderKey { merchant_id, livemode, external_order_id };
        (1..=ORDER_ID_CHARACTERS_MAX).contains(&characters).then(|| key.to_bytes())
    }

    /// Whether its amounts, or whom it credits, are such as there may be.
    fn can_be(&self) -> bool {
        let fits = |amount: i64, decimals: usize| amount.to_string().len() <= INTEGER_DIGITS_MAX + decimals;
        match self {
            Fact::Report(it) => it.amount_minor >= 0 && fits(it.amount_minor, it.currency.minor_units()),
            Fact::Status(it) => it.refunded_thousandths.is_none_or(|refunded| {
                let goes_back = matches!(it.status, ReportedStatus::Refunded | ReportedStatus::Returned);
                goes_back && refunded > 0 && fits(refunded, REFUND_DECIMALS)
            }),
            Fact::Review(it) => match (it.review.decision, it.review.affiliate_id.as_deref()) {
                (ReviewDecision::Approve, affiliate_id) => affiliate_id.is_some_and(|it| check_name(it).is_ok()),
                (ReviewDecision::Reject | ReviewDecision::Reinstate, affiliate_id) => affiliate_id.is_none(),
            },
        }
    }
}

/// The click in a record of `clicks`; nothing as for [`Fact::read`].
pub(crate) fn click(key: &[u8], value: &[u8]) -> Option<ClickRecorded> {
    let click: ClickRecorded = schemas::decode(value).ok()?;
    let fits = (1..=CLICK_ID_BYTES_MAX).contains(&key.len());
    (fits && click.click_id.as_bytes() == key).then_some(click)
}

/// The key of an order's records.
pub(crate) fn order_key(merchant_id: &str, livemode: bool, external_order_id: &str) -> String {
    let mode = if livemode { "live" } else { "test" };
    format!("{merchant_id}/{mode}/{external_order_id}")
}
