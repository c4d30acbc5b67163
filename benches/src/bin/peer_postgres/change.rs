//! What becomes of a conversion when the worker takes it.

use std::time::Duration;

use schemas::registry::{BookedRule, Payment, Registry, RuleScope};
use schemas::{Currency, Timestamp};
use tokio_postgres::Row;

const PENDING: &str = "affiliate_pending";
const PAYABLE: &str = "affiliate_payable";
const RECEIVABLE: &str = "merchant_receivable";

/// What becomes of a conversion. What is none is left as it is.
pub(crate) struct Change {
    pub(crate) id: i64,
    pub(crate) livemode: bool,
    pub(crate) currency: String,
    pub(crate) revision: i32,
    pub(crate) state: &'static str,
    /// The states that are entered, with blanks between.
    pub(crate) states: &'static str,
    pub(crate) cause: &'static str,
    pub(crate) confidence: Option<&'static str>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) affiliate_id: Option<String>,
    pub(crate) campaign_id: Option<String>,
    pub(crate) commission: Option<Commission>,
    pub(crate) hold_until: Option<i64>,
    pub(crate) due_at: Option<i64>,
    /// Its click has not come, and may yet: nothing is to be told.
    pub(crate) waits: bool,
    /// From, to, how much.
    pub(crate) booking: Option<(&'static str, &'static str, i64)>,
}

pub(crate) struct Commission {
    pub(crate) minor: i64,
    pub(crate) level: &'static str,
    pub(crate) rule_id: String,
    pub(crate) rate: Option<String>,
}

impl Change {
    pub(crate) fn of(row: &Row, registry: &Registry, at: Timestamp) -> Change {
        let mut change = Change {
            id: row.get("id"),
            livemode: row.get("livemode"),
            currency: row.get("currency"),
            revision: 2,
            state: "received",
            states: "received",
            cause: "click_wait_elapsed",
            confidence: None,
            reason: None,
            affiliate_id: row.get("affiliate_id"),
            campaign_id: None,
            commission: None,
            hold_until: None,
            due_at: None,
            waits: false,
            booking: None,
        };
        match row.get::<_, &str>("state") {
            "hold" => change.release(row.get("commission_minor")),
            _ => change.attribute(row, registry, at),
        }
        change
    }

    /// The hold is over.
    fn release(&mut self, minor: Option<i64>) {
        (self.revision, self.state, self.states, self.cause) = (3, "payable", "payable", "hold_elapsed");
        self.booking = minor.filter(|minor| *minor > 0).map(|minor| (PENDING, PAYABLE, minor));
    }

    fn attribute(&mut self, row: &Row, registry: &Registry, at: Timestamp) {
        let awaited_until = row.get::<_, i64>("received_at") + millis(registry.policies().click_wait);
        let merchant_id: &str = row.get("merchant_id");
        let own = row.get::<_, Option<&str>>("click_merchant_id").filter(|of| *of == merchant_id);
        let low = |change: &mut Change, reason| (change.confidence, change.reason) = (Some("LOW"), Some(reason));
        let (Some(_), Some(clicked_at)) = (own, row.get::<_, Option<i64>>("clicked_at")) else {
            match row.get::<_, Option<&str>>("click_id") {
                None => low(self, "no_click"),
                Some(_) if at.0 < awaited_until => (self.due_at, self.waits) = (Some(awaited_until), true),
                Some(_) => low(self, "click_unknown"),
            }
            return;
        };
        let (campaign_id, affiliate_id): (&str, &str) = (row.get("click_campaign_id"), row.get("click_affiliate_id"));
        let lookback =
            registry.campaign(campaign_id).and_then(|it| it.lookback).unwrap_or(registry.policies().lookback);
        let passed = row.get::<_, i64>("ordered_at") - clicked_at;
        if passed < 0 || passed > millis(lookback) {
            low(self, if passed < 0 { "click_after_order" } else { "click_outside_window" });
            return;
        }
        (self.confidence, self.cause) = (Some("HIGH"), "click");
        (self.campaign_id, self.affiliate_id) = (Some(campaign_id.to_owned()), Some(affiliate_id.to_owned()));
        self.commission = commission(row, campaign_id, registry);
        let Some(commission) = &self.commission else {
            (self.state, self.states) = ("attributed", "attributed");
            return;
        };
        self.booking = (commission.minor > 0).then_some((RECEIVABLE, PENDING, commission.minor));
        let from = row.get::<_, i64>("received_at");
        self.hold_until = match row.get("order_status") {
            "confirmed" => Some(from + millis(registry.policies().settlement_window)),
            "delivered" => Some(from + millis(registry.policies().return_window)),
            _ => None,
        };
        (self.state, self.states) = match self.hold_until {
            Some(_) => ("hold", "attributed commission_created hold"),
            None => ("commission_created", "attributed commission_created"),
        };
        self.due_at = self.hold_until;
    }
}

/// The first rule that matches, by product, campaign, merchant, platform, and what it pays.
fn commission(row: &Row, campaign_id: &str, registry: &Registry) -> Option<Commission> {
    let (merchant_id, amount_minor): (String, i64) = (row.get("merchant_id"), row.get("amount_minor"));
    let currency = Currency::parse(row.get("currency")).ok()?;
    let ordered_at = Timestamp(row.get("ordered_at"));
    let product = row.get::<_, Option<String>>("external_product_id");
    let product =
        product.map(|external_product_id| RuleScope::Product { merchant_id: merchant_id.clone(), external_product_id });
    let campaign = RuleScope::Campaign { campaign_id: campaign_id.to_owned() };
    let scopes = [product, Some(campaign), Some(RuleScope::Merchant { merchant_id }), Some(RuleScope::Platform)];
    let matches = |rule: &&BookedRule| rule.is_effective(ordered_at) && rule.is_in(currency);
    let found = scopes.into_iter().flatten().find_map(|scope| {
        let rule = registry.rules().of(&scope).iter().find(matches)?;
        Some((scope, rule))
    });
    let (scope, rule) = found?;
    let level = match scope {
        RuleScope::Product { .. } => "product",
        RuleScope::Campaign { .. } => "campaign",
        RuleScope::Merchant { .. } => "merchant",
        RuleScope::Platform => "platform",
    };
    let (minor, rate) = match rule.payment {
        Payment::Fixed { minor, .. } => (minor, None),
        Payment::Percentage(rate) => {
            let minor = rate.of(currency.thousandths(amount_minor), currency);
            let least = rule.bounds.and_then(|bounds| bounds.minimum_minor).unwrap_or(0);
            let most = rule.bounds.and_then(|bounds| bounds.cap_minor).unwrap_or(i64::MAX);
            (minor.clamp(least, most), Some(rate.to_string()))
        }
    };
    Some(Commission { minor, level, rule_id: rule.id.clone(), rate })
}

fn millis(window: Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}
