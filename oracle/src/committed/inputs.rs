//! What the edge wrote.

use schemas::ids::check_name;
use schemas::records::{
    ClickRecorded, ConversionReported, OrderStatusReported, ReportedStatus, ReviewDecided, ReviewDecision,
    TestClockAdvanced,
};

use super::{Advance, Committed, Refused, Visible};
use crate::fault::{Faults, Invariant};
use crate::keys;

/// How far after it was received an order's time may be moved, in milliseconds: 400 days.
const ADVANCE_MS_MAX: i64 = 34_560_000_000;

/// A fact about an order, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A report.
    Report(ConversionReported),
    /// A status update.
    Status(OrderStatusReported),
    /// A decision of an administrator.
    Review(ReviewDecided),
    /// A test order's time that was moved.
    Clock(TestClockAdvanced),
}

impl Event {
    /// The fact in a record of `conversions`; nothing if it is none that an edge could have written, which `orders` must refuse.
    #[must_use]
    pub fn read(key: &[u8], value: &[u8]) -> Option<Event> {
        let report = schemas::decode(value).map(Event::Report);
        let status = report.or_else(|_| schemas::decode(value).map(Event::Status));
        let event = status.or_else(|_| schemas::decode(value).map(Event::Review));
        let event = event.or_else(|_| schemas::decode(value).map(Event::Clock)).ok()?;
        (event.key().as_bytes() == key && event.can_be()).then_some(event)
    }

    /// Whether an edge could have written it: amounts have at most 15 digits before the point, and none is negative.
    fn can_be(&self) -> bool {
        let digits = |amount: i64, decimals: usize| amount.to_string().len() <= 15 + decimals;
        match self {
            Event::Report(it) => it.amount_minor >= 0 && digits(it.amount_minor, it.currency.minor_units()),
            Event::Status(OrderStatusReported { refunded_thousandths: None, .. }) => true,
            Event::Status(OrderStatusReported { refunded_thousandths: Some(refunded), status, .. }) => {
                let goes_back = matches!(status, ReportedStatus::Refunded | ReportedStatus::Returned);
                goes_back && *refunded > 0 && digits(*refunded, 3)
            }
            // An approval names somebody, and nothing else does.
            Event::Review(it) => match (it.review.decision, &it.review.affiliate_id) {
                (ReviewDecision::Approve, Some(affiliate_id)) => check_name(affiliate_id).is_ok(),
                (ReviewDecision::Approve, None) => false,
                (ReviewDecision::Reject | ReviewDecision::Reinstate, named) => named.is_none(),
            },
            Event::Clock(it) => !it.livemode && it.advanced_to.0.saturating_sub(it.received_at.0) <= ADVANCE_MS_MAX,
        }
    }

    fn id(&self) -> &str {
        match self {
            Event::Report(report) => &report.event_id,
            Event::Status(status) => &status.event_id,
            Event::Review(decided) => &decided.event_id,
            Event::Clock(advanced) => &advanced.event_id,
        }
    }

    fn key(&self) -> String {
        match self {
            Event::Report(it) => keys::order(&it.merchant_id, it.livemode, &it.external_order_id),
            Event::Status(it) => keys::order(&it.merchant_id, it.livemode, &it.external_order_id),
            Event::Review(it) => keys::order(&it.merchant_id, it.livemode, &it.external_order_id),
            Event::Clock(it) => keys::order(&it.merchant_id, it.livemode, &it.external_order_id),
        }
    }
}

impl Committed {
    /// A report, a status update, a moved clock, or a decision on an order that was reported; anything else on `conversions` must be
    /// refused by `orders`.
    pub(super) fn fact(&mut self, record: Visible<'_>, faults: &mut Faults) {
        let decides_nothing = |event: &Event| matches!(event, Event::Review(_)) && self.report(&event.key()).is_none();
        let Some(event) = Event::read(record.key, record.value).filter(|event| !decides_nothing(event)) else {
            self.refuse(record);
            return;
        };
        let key = event.key();
        if let Some(known) = self.events.get(event.id()) {
            // A producer that gave a message up while a broker was away may have written it twice.
            faults.check(Invariant::Ids, *known == event, || {
                format!("{key}: two events have the id {}: {known:?} and {event:?}", event.id())
            });
            return;
        }
        self.events.insert(event.id().to_owned(), event.clone());
        match event {
            Event::Report(report) => self.reports.entry(key).or_default().push(report),
            Event::Status(status) => self.statuses.entry(key).or_default().push(status),
            Event::Review(decided) => {
                let updates_before = self.statuses.get(&key).map_or(0, Vec::len);
                self.reviews.entry(key).or_default().push((decided, updates_before));
            }
            Event::Clock(advanced) => {
                let reported = self.report(&key).is_some();
                self.clocks.entry(key).or_default().push(Advance { advanced, reported });
            }
        }
    }

    pub(super) fn clicked(&mut self, record: Visible<'_>, faults: &mut Faults) {
        let click = schemas::decode::<ClickRecorded>(record.value).ok();
        let Some(click) = click.filter(|click| click.click_id.as_bytes() == record.key) else {
            self.refuse(record);
            return;
        };
        let known = self.clicks.entry(click.click_id.clone()).or_insert_with(|| click.clone());
        faults.check(Invariant::Ids, *known == click, || {
            format!("click {}: two clicks have this id: {known:?} and {click:?}", click.click_id)
        });
    }

    pub(super) fn refuse(&mut self, record: Visible<'_>) {
        let Visible { topic, partition, offset, key, value } = record;
        self.refused.push(Refused { topic, partition, offset, key: key.to_vec(), value: value.to_vec() });
    }

    /// Whether an event with this id is in the log of the order.
    pub(crate) fn has_event(&self, id: &str, key: &str) -> bool {
        self.events.get(id).is_some_and(|event| event.key() == key)
    }
}
