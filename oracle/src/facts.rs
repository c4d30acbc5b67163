//! What merchants and browsers did, and what they were answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::ids::OrderKey;
use schemas::records::{OrderStatus, PayoutReported, ReportedStatus};
use schemas::registry::Registry;
use schemas::{Currency, Timestamp};

/// What an order is told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderId {
    /// The merchant.
    pub merchant_id: String,
    /// Live, or the test namespace.
    pub livemode: bool,
    /// The merchant's own id of it.
    pub external_order_id: String,
}

impl OrderId {
    /// The key of the order's records, as text.
    #[must_use]
    pub fn key(&self) -> String {
        let mode = if self.livemode { "live" } else { "test" };
        format!("{}/{mode}/{}", self.merchant_id, self.external_order_id)
    }
}

/// The conversion id of an order's key.
pub(crate) fn conversion_id(key: &str) -> Option<schemas::ids::ConversionId> {
    OrderKey::from_bytes(key.as_bytes()).map(|order| order.conversion_id())
}

/// The body of a report as the merchant meant it: defaults filled in, empty texts absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The click named.
    pub click_id: Option<String>,
    /// The product named.
    pub external_product_id: Option<String>,
    /// Minor units of the currency.
    pub amount_minor: i64,
    /// The currency sent, or else the merchant's.
    pub currency: Currency,
    /// The status sent, or else pending.
    pub order_status: OrderStatus,
    /// When the order was placed, if sent.
    pub ordered_at: Option<Timestamp>,
    /// The coupon, if sent.
    pub coupon_code: Option<String>,
    /// The JSON object, as sent.
    pub metadata: Option<String>,
}

/// The body of a status update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The status.
    pub status: ReportedStatus,
    /// When it changed, if sent.
    pub status_updated_at: Option<Timestamp>,
    /// Of a partial refund the amount, in thousandths of the currency's unit.
    pub refunded_thousandths: Option<i64>,
}

/// What a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An order.
    Report(Report),
    /// A status of one.
    Status(Status),
    /// The instant that the time of one of test mode is moved to.
    Clock(Timestamp),
}

/// What a request was answered; an error answers nothing, since the merchant tries again or gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 202 RECEIVED or ACCEPTED.
    Recorded {
        /// The event's id.
        event_id: String,
    },
    /// 202 DUPLICATE.
    Duplicate {
        /// The conversion's id.
        conversion_id: String,
    },
}

/// A request of [`Facts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(usize);

/// A request with all its repeats.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) order: OrderId,
    pub(crate) body: Body,
    pub(crate) sent_ms: i64,
    pub(crate) answers: Vec<(i64, Answer)>,
}

/// A browser that followed a link.
#[derive(Clone, Debug)]
pub(crate) struct Click {
    pub(crate) link_id: String,
    pub(crate) sent_ms: i64,
    /// When it was sent on, and under which click id; nothing if the answer was lost.
    pub(crate) answered: Option<(i64, String)>,
}

/// A registry, and when it was in force.
#[derive(Clone, Debug)]
struct Term {
    registry: Arc<Registry>,
    from_ms: i64,
    everywhere_ms: Option<i64>,
}

/// All that happened outside of the system. Times are virtual, in milliseconds since the epoch.
#[derive(Debug)]
pub struct Facts {
    skew_ms_max: i64,
    terms: Vec<Term>,
    pub(crate) requests: Vec<Request>,
    pub(crate) clicks: Vec<Click>,
    /// Events that the claims called the first of their kind.
    pub(crate) firsts: BTreeSet<String>,
    pub(crate) poison: Vec<(u16, Vec<u8>, Vec<u8>)>,
    /// What administrators reported of payouts.
    pub(crate) outcomes: Vec<PayoutReported>,
}

impl Facts {
    /// Nothing happened yet. No clock in the system is ever off by more than `skew_ms_max`.
    #[must_use]
    pub fn new(skew_ms_max: i64) -> Facts {
        Facts {
            skew_ms_max,
            terms: Vec::new(),
            requests: Vec::new(),
            clicks: Vec::new(),
            firsts: BTreeSet::new(),
            poison: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Another registry: nobody works under it before `at_ms`. The first one is there before anything happens.
    pub fn registry(&mut self, registry: Arc<Registry>, at_ms: i64) {
        self.terms.push(Term { registry, from_ms: at_ms, everywhere_ms: None });
    }

    /// From `at_ms` on, everybody works under the last registry told.
    pub fn registry_everywhere(&mut self, at_ms: i64) {
        if let Some(term) = self.terms.last_mut() {
            term.everywhere_ms = Some(at_ms);
        }
    }

    /// A merchant begins a request. Its repeats, with the same body, are the same request; a request is a fact whether or
    /// not it is ever answered.
    pub fn sent(&mut self, order: OrderId, body: Body, at_ms: i64) -> RequestId {
        self.requests.push(Request { order, body, sent_ms: at_ms, answers: Vec::new() });
        RequestId(self.requests.len() - 1)
    }

    /// A request, or one of its repeats, was answered 202; each of several answers counts.
    pub fn answered(&mut self, request: RequestId, at_ms: i64, answer: Answer) {
        self.requests[request.0].answers.push((at_ms, answer));
    }

    /// The claims that all edges share called an event the first of its order, or of its status update. Of what they do
    /// not answer about, any number may be recorded as if it were.
    pub fn first(&mut self, event_id: &str) {
        self.firsts.insert(event_id.to_owned());
    }

    /// A browser followed a link at `sent_ms`, and was sent on with a click id, unless that answer was lost.
    pub fn click(&mut self, link_id: &str, sent_ms: i64, answered: Option<(i64, String)>) {
        self.clicks.push(Click { link_id: link_id.to_owned(), sent_ms, answered });
    }

    /// A record that nobody can process was written to a topic, in one copy for each call.
    pub fn poison(&mut self, topic: u16, key: &[u8], value: &[u8]) {
        self.poison.push((topic, key.to_vec(), value.to_vec()));
    }

    /// An administrator reported what became of a payout; it may come to the log more than once.
    pub fn payout_reported(&mut self, report: PayoutReported) {
        self.outcomes.push(report);
    }

    /// How far a clock may be off, in milliseconds.
    pub(crate) fn skew_ms(&self) -> i64 {
        self.skew_ms_max
    }

    /// The registries that somebody may have worked under when the clock said `at`.
    pub(crate) fn in_force(&self, at: Timestamp) -> Vec<&Registry> {
        let over = |index: usize| {
            let later = self.terms[index + 1..].iter().filter_map(|term| term.everywhere_ms).min();
            later.is_some_and(|everywhere| everywhere + self.skew_ms_max < at.0)
        };
        let mut found = Vec::new();
        for (index, term) in self.terms.iter().enumerate() {
            let begun = index == 0 || term.from_ms - self.skew_ms_max <= at.0;
            if begun && !over(index) {
                found.push(&*term.registry);
            }
        }
        found
    }

    /// The registry that everybody works under in the end, and since when, in milliseconds.
    pub(crate) fn last(&self) -> Option<(&Registry, i64)> {
        let (index, last) = self.terms.iter().enumerate().next_back()?;
        let since = if index == 0 { Some(last.from_ms) } else { last.everywhere_ms };
        Some((&last.registry, since?))
    }

    /// Every registry there was.
    pub(crate) fn registries(&self) -> impl Iterator<Item = &Registry> {
        self.terms.iter().map(|term| &*term.registry)
    }
}
