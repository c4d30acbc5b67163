//! Merchants, keys, affiliates, campaigns, links, coupons, rules, endpoints and policies: the terms that everything else is derived under.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::records::ClickRecorded;
use crate::{Currency, Timestamp};

pub use self::coupons::{Coupon, CouponBook};
pub use self::difference::{Difference, EntryChange};
pub use self::encryption::{EncryptionError, Keep, MasterKeys, MasterKeysError, NONCE_BYTES, Unreadable};
pub use self::endpoints::{ENDPOINTS_OF_A_MERCHANT_MAX, Endpoint, EndpointBook};
pub use self::entries::Entries;
pub use self::entry::{Definition, EntryKey, EntryKeyError, EntryKind};
pub use self::faults::{Collector, Fault, Faults, shown};
pub use self::file::FILE_BYTES_MAX;
pub use self::fold::{Fold, FoldError, Folded, SEALED_KEY, Secrets};
pub use self::limits::{IpRange, RateLimit};
pub use self::payouts::{CutOff, CutOffError, PayoutMinimums, PayoutPolicy};
pub use self::rules::{BookedRule, Bounds, Payment, Rule, RuleBook, RuleScope};

mod coupons;
mod demo;
mod difference;
mod encryption;
mod endpoints;
mod entries;
mod entry;
mod faults;
mod file;
mod fold;
mod limits;
mod payouts;
mod rules;

/// Everything registered, checked as a whole: every reference in it resolves.
#[derive(Clone, Debug)]
pub struct Registry {
    policies: Policies,
    payouts: Option<PayoutPolicy>,
    merchants: BTreeMap<String, Merchant>,
    keys: BTreeMap<String, ApiKey>,
    affiliates: BTreeMap<String, Affiliate>,
    campaigns: BTreeMap<String, Campaign>,
    links: BTreeMap<String, Link>,
    rules: RuleBook,
    clicks: Vec<ClickRecorded>,
    coupons: CouponBook,
    endpoints: EndpointBook,
}

/// The windows that hold where nothing more particular is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// How long an unknown click is awaited before a conversion is called LOW. Default 60 s.
    pub click_wait: Duration,
    /// How long before the order a click may lie. Default 30 days; a campaign may say otherwise.
    pub lookback: Duration,
    /// How long a commission is held from confirmation or payment. Default 30 days.
    pub settlement_window: Duration,
    /// How long a commission is held from delivery. Default 14 days.
    pub return_window: Duration,
    /// How long a click, or the question for one, is kept from when it came. Default 120 days; at least the longest lookback.
    pub click_retention: Duration,
    /// How long after its click an order must be placed, or it is looked at by a reviewer first. Default 0 s; a campaign
    /// may say otherwise.
    pub min_click_to_order: Duration,
}

impl Default for Policies {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Policies {
            click_wait: Duration::from_secs(60),
            lookback: 30 * DAY,
            settlement_window: 30 * DAY,
            return_window: 14 * DAY,
            click_retention: 120 * DAY,
            min_click_to_order: Duration::ZERO,
        }
    }
}

/// A merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    /// The id, a name by [`crate::ids::check_name`].
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The currency of an order that names none. Default NPR.
    pub currency: Currency,
    /// Whether its live keys may be used.
    pub approved: bool,
}

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// It may.
    Active,
    /// Not now; it may be made active again.
    Disabled,
    /// Never again.
    Revoked,
}

/// An API key of a merchant.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The public id, `live_pk_…` or `test_pk_…`.
    pub id: String,
    /// Whose it is.
    pub merchant_id: String,
    /// Live, or the test namespace; told by the id's prefix.
    pub livemode: bool,
    /// The signing secret.
    pub secret: Secret,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// From when on it may no longer be used.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used; from anywhere if there are none.
    pub allowed_ips: Vec<IpRange>,
    /// Whether a signature is taken once only.
    pub strict_replay: bool,
    /// How many requests it may make, if there is a limit.
    pub rate_limit: Option<RateLimit>,
}

/// A signing secret. Neither `Debug` nor anything else prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: String) -> Secret {
        Secret(secret)
    }

    /// The secret itself, for keying a MAC and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An affiliate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affiliate {
    /// The id, a name.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it is not paid for the time being. What it earns is kept for it.
    pub on_hold: bool,
    /// Ids of the merchants whose shops are its own; at most 16. What it refers to them is for a reviewer to judge.
    pub own_merchants: BTreeSet<String>,
}

/// A merchant's campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// The id, a name.
    pub id: String,
    /// Whose it is.
    pub merchant_id: String,
    /// Its own lookback window, if it has one.
    pub lookback: Option<Duration>,
    /// Its own least time from click to order, if it has one.
    pub min_click_to_order: Option<Duration>,
}

/// An affiliate's link to a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The id, a name: the last part of `/c/{linkId}`.
    pub id: String,
    /// The campaign.
    pub campaign_id: String,
    /// The affiliate.
    pub affiliate_id: String,
    /// The `http` or `https` URL that a click is sent on to.
    pub destination: String,
}

impl Registry {
    /// The policies.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// When and from which amount on affiliates are paid; nobody is without it.
    #[must_use]
    pub fn payouts(&self) -> Option<&PayoutPolicy> {
        self.payouts.as_ref()
    }

    /// A merchant by id.
    #[must_use]
    pub fn merchant(&self, id: &str) -> Option<&Merchant> {
        self.merchants.get(id)
    }

    /// An API key by its public id.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<&ApiKey> {
        self.keys.get(id)
    }

    /// All API keys, by id.
    pub fn keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.keys.values()
    }

    /// Whether a merchant's shop is an affiliate's own; not if either is unknown.
    #[must_use]
    pub fn is_own_merchant(&self, affiliate_id: &str, merchant_id: &str) -> bool {
        self.affiliate(affiliate_id).is_some_and(|affiliate| affiliate.own_merchants.contains(merchant_id))
    }

    /// An affiliate by id.
    #[must_use]
    pub fn affiliate(&self, id: &str) -> Option<&Affiliate> {
        self.affiliates.get(id)
    }

    /// A campaign by id.
    #[must_use]
    pub fn campaign(&self, id: &str) -> Option<&Campaign> {
        self.campaigns.get(id)
    }

    /// A link by id.
    #[must_use]
    pub fn link(&self, id: &str) -> Option<&Link> {
        self.links.get(id)
    }

    /// The commission rules.
    #[must_use]
    pub fn rules(&self) -> &RuleBook {
        &self.rules
    }

    /// The coupons.
    #[must_use]
    pub fn coupons(&self) -> &CouponBook {
        &self.coupons
    }

    /// The endpoints that merchants are told at.
    #[must_use]
    pub fn endpoints(&self) -> &EndpointBook {
        &self.endpoints
    }

    /// Clicks that were recorded elsewhere and are to be known from the start.
    #[must_use]
    pub fn clicks(&self) -> &[ClickRecorded] {
        &self.clicks
    }
}
