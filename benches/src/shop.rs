//! Merchants, their rules and clicks, and orders of which it is known what they pay: the same for the product and its peers.

use std::fmt::Write as _;

use schemas::codec::encode;
use schemas::ids::OrderKey;
use schemas::records::{ClickRecorded, ConversionReported, OrderStatus};
use schemas::{Currency, Timestamp, topics};
use streams::Message;

use crate::sign::Signer;

/// Clicks of each merchant that stand in the registry.
const CLICKS: u64 = 100;
/// A click lies this long before its orders.
const CLICKED_BEFORE_MS: i64 = 3_600_000;
const MILLION: u64 = 1_000_000;

/// So many merchants. The first has every product rule, campaign and rate in turn, as the others.
#[derive(Clone, Copy, Debug)]
pub struct Shops {
    /// How many.
    pub merchants: u64,
    /// When the run begins; clicks lie before it.
    pub now: Timestamp,
}

/// An order, and what it must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its merchant, by number.
    pub merchant: u64,
    /// The merchant's own id of it.
    pub id: String,
    /// The click it names.
    pub click: String,
    /// The product, if it names one.
    pub product: Option<&'static str>,
    /// In minor units.
    pub amount_minor: u64,
    /// The commission in minor units.
    pub commission_minor: u64,
}

impl Shops {
    /// Merchants whose clicks lie before now.
    #[must_use]
    pub fn now(merchants: u64) -> Shops {
        Shops { merchants, now: crate::sign::now() }
    }

    /// The registry file; `clicks` if its clicks are to be in it.
    #[must_use]
    pub fn registry(&self, clicks: bool) -> String {
        let mut text =
            "[policies]\nclick_wait = \"60s\"\nlookback = \"30d\"\n\n[[rules]]\nid = \"all\"\nlevel = \"platform\"\n\
                        percent = \"5\"\n\n[[affiliates]]\nid = \"aff-0\"\nname = \"Affiliate\"\n"
                .to_owned();
        for affiliate in 1..self.merchants.max(2) {
            let _ = write!(text, "\n[[affiliates]]\nid = \"aff-{affiliate}\"\nname = \"Affiliate\"\n");
        }
        for merchant in 0..self.merchants {
            self.merchant(&mut text, merchant, clicks);
        }
        text
    }

    fn merchant(&self, text: &mut String, number: u64, clicks: bool) {
        let _ = write!(
            text,
            "\n[[merchants]]\nid = \"shop-{number}\"\nname = \"Shop {number}\"\n\n\
             [[keys]]\nid = \"live_pk_shop_{number}\"\nmerchant = \"shop-{number}\"\nsecret = \"{}\"\n\n\
             [[campaigns]]\nid = \"cmp-{number}\"\nmerchant = \"shop-{number}\"\n\n\
             [[links]]\nid = \"link-{number}\"\ncampaign = \"cmp-{number}\"\naffiliate = \"aff-{number}\"\n\
             destination = \"https://shop-{number}.example/\"\n\n\
             [[rules]]\nid = \"red-{number}\"\nlevel = \"product\"\nmerchant = \"shop-{number}\"\nproduct = \"SKU-RED-42\"\n\
             percent = \"12\"\n",
            secret(number)
        );
        match number % 3 {
            0 => {
                let _ = write!(
                    text,
                    "\n[[rules]]\nid = \"cmp-{number}\"\nlevel = \"campaign\"\ncampaign = \"cmp-{number}\"\npercent = \"10\"\n"
                );
            }
            1 => {
                let _ = write!(
                    text,
                    "\n[[rules]]\nid = \"own-{number}\"\nlevel = \"merchant\"\nmerchant = \"shop-{number}\"\npercent = \"7.25\"\n"
                );
            }
            _ => {}
        }
        for click in 0..if clicks { CLICKS } else { 0 } {
            let at = Timestamp(self.now.0 - CLICKED_BEFORE_MS);
            let id = click_id(number, click);
            let _ = write!(text, "\n[[clicks]]\nid = \"{id}\"\nlink = \"link-{number}\"\nclicked_at = \"{at}\"\n");
        }
    }

    /// An order by its number, with one of the clicks in the registry.
    #[must_use]
    pub fn order(&self, run: &str, number: u64) -> Order {
        self.order_of(number % self.merchants, run, number)
    }

    /// An order of a certain merchant.
    #[must_use]
    pub fn order_of(&self, merchant: u64, run: &str, number: u64) -> Order {
        let product = [None, Some("SKU-RED-42"), Some("SKU-BLUE-7")][usize::try_from(number % 3).unwrap_or(0)];
        let amount_minor = 50_000 + number * 7_919 % 1_000_000;
        let ppm = match (product, merchant % 3) {
            (Some("SKU-RED-42"), _) => 120_000,
            (_, 0) => 100_000,
            (_, 1) => 72_500,
            _ => 50_000,
        };
        let click = click_id(merchant, number / self.merchants % CLICKS);
        let commission_minor = half_even(amount_minor * ppm, MILLION);
        Order { merchant, id: format!("{run}-{number}"), click, product, amount_minor, commission_minor }
    }

    /// The report of an order, and its own click, as records.
    ///
    /// # Panics
    /// Never: its parts are constants.
    #[must_use]
    pub fn records(&self, run: &str, number: u64) -> (Message, Message) {
        let order = self.order(run, number);
        let merchant_id = format!("shop-{}", order.merchant);
        let click_id = format!("clk_{run}_{number:020}");
        let key = OrderKey { merchant_id: &merchant_id, livemode: true, external_order_id: &order.id }.to_bytes();
        let click = ClickRecorded {
            click_id: click_id.clone(),
            merchant_id: merchant_id.clone(),
            campaign_id: format!("cmp-{}", order.merchant),
            affiliate_id: format!("aff-{}", order.merchant),
            link_id: Some(format!("link-{}", order.merchant)),
            clicked_at: Timestamp(self.now.0 - CLICKED_BEFORE_MS),
        };
        let report = ConversionReported {
            event_id: format!("cnvevt_{number:032x}"),
            merchant_id,
            livemode: true,
            external_order_id: order.id,
            click_id: Some(click_id.clone()),
            external_product_id: order.product.map(str::to_owned),
            amount_minor: i64::try_from(order.amount_minor).expect("a small amount"),
            currency: Currency::parse("NPR").expect("a currency"),
            order_status: OrderStatus::Confirmed,
            ordered_at: None,
            received_at: self.now,
            coupon_code: None,
            metadata: Some(r#"{"channel":"instagram","basket":3}"#.to_owned()),
            idempotency: None,
        };
        let message = |spec, key, value| Message { topic: processors::topic(spec), key, value };
        let click = message(&topics::CLICKS, click_id.into_bytes(), encode(&click));
        (click, message(&topics::CONVERSIONS, key, encode(&report)))
    }
}

impl Order {
    /// The request's body.
    #[must_use]
    pub fn body(&self) -> String {
        let product = self.product.map(|product| format!(r#","externalProductId":"{product}""#)).unwrap_or_default();
        format!(
            r#"{{"clickId":"{}","externalOrderId":"{}"{product},"orderAmount":"{}","currency":"NPR","orderStatus":"confirmed","metadata":{{"channel":"instagram","basket":3}}}}"#,
            self.click,
            self.id,
            decimal(self.amount_minor)
        )
    }

    /// The headers that a request with this body has, signed at this time.
    #[must_use]
    pub fn signed(&self, body: &str, at: Timestamp) -> [(&'static str, String); 3] {
        let seconds = u64::try_from(at.seconds()).unwrap_or(0);
        let signature = Signer::new(&secret(self.merchant)).sign(seconds, body.as_bytes());
        [("x-api-key", key_id(self.merchant)), ("x-timestamp", seconds.to_string()), ("x-signature", signature)]
    }

    /// The commission as the contract writes it.
    #[must_use]
    pub fn commission(&self) -> String {
        decimal(self.commission_minor)
    }
}

/// The key of a merchant, and who signs with its secret.
pub(crate) fn key(merchant: u64) -> (String, Signer) {
    (key_id(merchant), Signer::new(&secret(merchant)))
}

fn key_id(merchant: u64) -> String {
    format!("live_pk_shop_{merchant}")
}

/// Of loopback servers that live as long as a run.
fn secret(merchant: u64) -> String {
    format!("sk_live_{merchant:048}")
}

fn click_id(merchant: u64, click: u64) -> String {
    format!("clk_{merchant}_{click}")
}

fn decimal(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

fn half_even(numerator: u64, denominator: u64) -> u64 {
    let (down, rest) = (numerator / denominator, numerator % denominator);
    down + u64::from(2 * rest > denominator || (2 * rest == denominator && down % 2 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::registry::Registry;

    #[test]
    fn the_product_takes_the_registry_and_every_level_pays() {
        let shops = Shops { merchants: 6, now: Timestamp(1_781_429_400_000) };
        let registry = Registry::parse(&shops.registry(true)).expect("a registry");
        assert_eq!(registry.clicks().len(), 600);
        let parts = |number| {
            let order = shops.order("a", number);
            (order.amount_minor, order.commission_minor)
        };
        // Campaign, product, platform; merchant comes with the fifth, whose product is the third.
        assert_eq!([0, 1, 2, 3, 4].map(parts)[..2], [(50_000, 5_000), (57_919, 6_950)]);
        let order = shops.order("a", 1);
        assert_eq!(order.commission(), "69.50");
        assert!(
            order.body().contains(r#""externalProductId":"SKU-RED-42","orderAmount":"579.19""#),
            "{}",
            order.body()
        );
    }

    #[test]
    fn ties_go_to_the_even() {
        assert_eq!([half_even(5, 10), half_even(15, 10), half_even(16, 10)], [0, 2, 2]);
    }
}
