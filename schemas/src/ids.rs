//! Ids and composed keys.
//!
//! Every composed key begins with parts that cannot contain the separator, so that two different things never share a
//! key whatever the last part brings: it is taken as it is, byte for byte, without case folding or Unicode normalisation.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Currency, Timestamp};

/// Most characters of a name; see [`check_name`].
pub const NAME_CHARACTERS_MAX: usize = 64;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {NAME_CHARACTERS_MAX} letters, digits, '_' or '-'")]
pub struct NameError;

/// Whether a text may name a merchant, an affiliate, a campaign, a link or a rule: 1 to 64 of `A-Za-z0-9_-`.
///
/// # Errors
/// It may not.
pub fn check_name(text: &str) -> Result<(), NameError> {
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&text.len());
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if fits && plain { Ok(()) } else { Err(NameError) }
}

/// The merchant, the mode and the merchant's own order id: what an order is told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey<'a> {
    /// The merchant's id, a name by [`check_name`].
    pub merchant_id: &'a str,
    /// Live, or the test namespace.
    pub livemode: bool,
    /// The merchant's order id, any text.
    pub external_order_id: &'a str,
}

impl<'a> OrderKey<'a> {
    /// The key on topics and in state: `merchant/live/order` or `merchant/test/order`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        debug_assert!(check_name(self.merchant_id).is_ok(), "a merchant id is a name");
        format!("{}/{}/{}", self.merchant_id, mode(self.livemode), self.external_order_id).into_bytes()
    }

    /// Reads back what [`OrderKey::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<OrderKey<'a>> {
        let mut parts = std::str::from_utf8(bytes).ok()?.splitn(3, '/');
        let merchant_id = parts.next().filter(|merchant_id| check_name(merchant_id).is_ok())?;
        let livemode = match parts.next()? {
            "live" => true,
            "test" => false,
            _ => return None,
        };
        Some(OrderKey { merchant_id, livemode, external_order_id: parts.next()? })
    }

    /// The conversion's id: a pure function of the key, so that every edge knows it without asking.
    #[must_use]
    pub fn conversion_id(&self) -> ConversionId {
        let digest = Sha256::digest(self.to_bytes());
        ConversionId(digest[..16].try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// The key of an affiliate's accounts: `affiliate/currency/live` or `affiliate/currency/test`.
#[must_use]
pub fn account_key(affiliate_id: &str, currency: &str, livemode: bool) -> Vec<u8> {
    debug_assert!(check_name(affiliate_id).is_ok(), "an affiliate id is a name");
    format!("{affiliate_id}/{currency}/{}", mode(livemode)).into_bytes()
}

fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}

/// What a payout is told apart by: whom it pays in which currency, and its cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayoutKey<'a> {
    /// The affiliate's id, a name by [`check_name`].
    pub affiliate_id: &'a str,
    /// The currency.
    pub currency: Currency,
    /// The cut-off, a whole second.
    pub cut_off: Timestamp,
}

impl<'a> PayoutKey<'a> {
    /// The payout's id: `pay_`, the seconds of the cut-off, the currency and the affiliate, so that whoever has the id
    /// knows the ledger.
    #[must_use]
    pub fn payout_id(&self) -> String {
        debug_assert!(check_name(self.affiliate_id).is_ok(), "an affiliate id is a name");
        format!("pay_{}_{}_{}", self.cut_off.seconds(), self.currency.code(), self.affiliate_id)
    }

    /// Reads what [`PayoutKey::payout_id`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(payout_id: &'a str) -> Option<PayoutKey<'a>> {
        let mut parts = payout_id.strip_prefix("pay_")?.splitn(3, '_');
        let seconds: i64 = parts.next()?.parse().ok()?;
        let currency = Currency::parse(parts.next()?).ok()?;
        let affiliate_id = parts.next().filter(|affiliate_id| check_name(affiliate_id).is_ok())?;
        let key = PayoutKey { affiliate_id, currency, cut_off: Timestamp(seconds.checked_mul(1_000)?) };
        // A sign or zeros before the seconds would make two ids of one payout.
        (key.payout_id() == payout_id).then_some(key)
    }

    /// The key of the ledger it is of, which is a live one: the test namespace is never paid out.
    #[must_use]
    pub fn ledger_key(&self) -> Vec<u8> {
        account_key(self.affiliate_id, self.currency.code(), true)
    }
}

/// 128 bits of SHA-256 over the [`OrderKey`], written `cnv_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversionId(pub [u8; 16]);

impl ConversionId {
    /// The id of the delivery that tells an endpoint of this conversion as of a timeline entry: never another delivery's.
    #[must_use]
    pub fn webhook_id(&self, sequence: i32, endpoint_id: &str) -> String {
        debug_assert!(check_name(endpoint_id).is_ok(), "an endpoint id is a name");
        format!("whk_{:032x}_{sequence}_{endpoint_id}", u128::from_be_bytes(self.0))
    }

    /// Reads `cnv_` and 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<ConversionId> {
        let digits = text.strip_prefix("cnv_")?;
        if digits.len() != 32 || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(digits, 16).ok().map(|bits| ConversionId(bits.to_be_bytes()))
    }

    /// The id of the ledger entry that this conversion's `revision` causes as its `index`-th: never another entry's.
    #[must_use]
    pub fn ledger_entry_id(&self, revision: i64, index: usize) -> String {
        format!("led_{:032x}_{revision}_{index}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for ConversionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cnv_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ConversionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ConversionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConversionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        ConversionId::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is no conversion id")))
    }
}

/// What an event id says its event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A report of a conversion.
    Conversion,
    /// A status update of an order.
    OrderStatus,
    /// What became of a payout.
    Payout,
    /// A reviewer's decision.
    Review,
    /// An order's time was moved.
    TestClock,
}

/// An event's id, from a UUIDv7 (RFC 9562, section 5.7): sorts by the time it was made.
#[must_use]
pub fn event_id(kind: EventKind, uuid: uuid::Uuid) -> String {
    let prefix = match kind {
        EventKind::Conversion => "cnvevt",
        EventKind::OrderStatus => "osevt",
        EventKind::Payout => "payevt",
        EventKind::Review => "revevt",
        EventKind::TestClock => "tcevt",
    };
    format!("{prefix}_{}", uuid.simple())
}

/// A click's id, from a UUIDv7.
#[must_use]
pub fn click_id(uuid: uuid::Uuid) -> String {
    format!("clk_{}", uuid.simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key<'a>(merchant_id: &'a str, livemode: bool, external_order_id: &'a str) -> OrderKey<'a> {
        OrderKey { merchant_id, livemode, external_order_id }
    }

    #[test]
    fn conversion_ids_never_change() {
        let id = key("mer_one", true, "SHOP-100245").conversion_id();
        assert_eq!(id.to_string(), "cnv_7058d4a561e16460efdf1066b057e15b");
        assert_eq!(ConversionId::parse(&id.to_string()), Some(id));
        for text in [
            "cnv_",
            "cnv_F84B",
            "cnv_zz",
            "evt_00000000000000000000000000000000",
            "cnv_+0000000000000000000000000000000",
        ] {
            assert_eq!(ConversionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn payout_ids_read_back() {
        let currency = Currency::parse("NPR").expect("a currency");
        let key = PayoutKey { affiliate_id: "trek_blog-1", currency, cut_off: Timestamp(1_781_872_500_000) };
        assert_eq!(key.payout_id(), "pay_1781872500_NPR_trek_blog-1");
        assert_eq!(PayoutKey::parse(&key.payout_id()), Some(key));
        assert_eq!(key.ledger_key(), b"trek_blog-1/NPR/live");
        for text in [
            "",
            "pay_",
            "pay_1_NPR",
            "pay_1_NPR_",
            "pay_1_NPX_a",
            "pay_+1_NPR_a",
            "pay_01_NPR_a",
            "pay_1_NPR_a/b",
            "pay_9223372036854775807_NPR_a",
            "po_1_NPR_a",
        ] {
            assert_eq!(PayoutKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn event_ids_sort_by_time() {
        let at = |seconds| uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
        assert!(event_id(EventKind::Conversion, at(1_000)) < event_id(EventKind::Conversion, at(1_001)));
    }

    fn order_id() -> impl Strategy<Value = String> {
        prop_oneof![
            "[/a-cA-C_\\-]{1,6}",
            "\\PC{1,160}",
            Just("é".to_owned()),
            Just("e\u{301}".to_owned()),
            Just("live/x".to_owned())
        ]
    }

    proptest! {
        #[test]
        fn keys_read_back_and_never_collide(
            a in ("[A-Za-z0-9_-]{1,4}", any::<bool>(), order_id()),
            b in ("[A-Za-z0-9_-]{1,4}", any::<bool>(), order_id()),
        ) {
            let (left, right) = (key(&a.0, a.1, &a.2), key(&b.0, b.1, &b.2));
            let bytes = left.to_bytes();
            prop_assert_eq!(OrderKey::from_bytes(&bytes), Some(left.clone()));
            prop_assert_eq!(bytes == right.to_bytes(), a == b);
            prop_assert_eq!(left.conversion_id() == right.conversion_id(), a == b);
        }
    }
}
