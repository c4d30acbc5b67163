//! What is kept of an order.

use oracle::Reviews;
use schemas::records::{
    CommissionState, ConversionReported, ConversionTransitioned, FactKind, FactPlace, OrderStatusReported,
    ReportedStatus, ReviewDecided, TestClockAdvanced,
};
use schemas::topics::{CLICK_VERDICTS, CONVERSIONS, TRANSITIONS};
use schemas::{Timestamp, encode};

use crate::digest::{Digest, packed, short};
use crate::report::{Found, Place, Subject};

/// Most differing re-sends that a conversion counts and tells of.
pub(crate) const CONFLICTS_MAX: usize = 100;
/// Most places of facts that a difference names.
const PLACES_MAX: usize = 8;

/// An order: its facts, and what was made of them.
#[derive(Debug)]
pub(crate) struct Order {
    /// `merchant/mode/externalOrderId`.
    pub(crate) key: Box<str>,
    /// The partition of all its records.
    pub(crate) partition: u32,
    pub(crate) report: Option<Report>,
    pub(crate) updates: Vec<Update>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) reviews: Vec<Reviewed>,
    /// What stands of the decisions that the revisions have told of.
    pub(crate) standing: Reviews,
    /// The last revision that changed more than the timeline.
    pub(crate) changed_in: i64,
    pub(crate) clocks: Vec<Clock>,
    pub(crate) asked: Option<Asked>,
    pub(crate) click: Option<Matched>,
    /// The offset of the last word of what a payout has of it.
    pub(crate) settled: Option<u64>,
    /// The sum of what payouts have of it, in minor units.
    pub(crate) paid_minor: i128,
    pub(crate) last: Option<Last>,
    pub(crate) changes: Vec<Change>,
    /// The offset of the last fact that may not be processed yet.
    pub(crate) last_fact: u64,
    /// When the first revision was derived.
    pub(crate) begun_at: Timestamp,
    /// When the first revision was derived that is HIGH.
    pub(crate) attributed_at: Option<Timestamp>,
    /// How often the timeline tells of the report, of the click and of the end of the wait.
    pub(crate) told: [u8; 3],
    /// The first revision seen, if it is not the first there was: the log has lost a part of this order.
    pub(crate) begun_before: Option<i64>,
}

/// The order's report.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) offset: u64,
    event: u64,
    /// The whole record.
    whole: u64,
    /// What is compared with what re-sends say.
    says: u64,
    pub(crate) metadata: u64,
    /// Without the metadata, and without the order's id.
    record: Box<[u8]>,
}

/// A re-send that differs from the report.
#[derive(Debug)]
pub(crate) struct Conflict {
    event: u64,
    whole: u64,
    pub(crate) offset: u64,
    pub(crate) told: u8,
}

/// A status update.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) event: u64,
    pub(crate) offset: u64,
    pub(crate) status: ReportedStatus,
    pub(crate) sent: Option<Timestamp>,
    pub(crate) refunded: Option<i64>,
    pub(crate) received: Timestamp,
    pub(crate) told: u8,
}

/// A reviewer's decision.
#[derive(Debug)]
pub(crate) struct Reviewed {
    pub(crate) event: u64,
    pub(crate) offset: u64,
    pub(crate) told: u8,
    record: Box<[u8]>,
}

impl Reviewed {
    pub(crate) fn decided(&self) -> ReviewDecided {
        schemas::decode(&self.record).expect("it was encoded here")
    }
}

impl Update {
    /// The record that it was, as far as it counts.
    pub(crate) fn record(&self, report: &ConversionReported) -> OrderStatusReported {
        OrderStatusReported {
            event_id: String::new(),
            merchant_id: report.merchant_id.clone(),
            livemode: report.livemode,
            external_order_id: report.external_order_id.clone(),
            status: self.status,
            click_id: None,
            status_updated_at: self.sent,
            refunded_thousandths: self.refunded,
            received_at: self.received,
            reason: None,
            metadata: None,
            idempotency: None,
        }
    }

    /// What tells two updates of an order apart.
    pub(crate) fn what(&self) -> (ReportedStatus, Option<Timestamp>, Option<i64>) {
        (self.status, self.sent, self.refunded)
    }

    /// When it counts from.
    pub(crate) fn at(&self) -> Timestamp {
        self.sent.unwrap_or(self.received)
    }
}

/// The time of a test order that was moved.
#[derive(Debug)]
pub(crate) struct Clock {
    event: u64,
    pub(crate) offset: u64,
    pub(crate) advanced_to: Timestamp,
    pub(crate) told: u8,
}

/// A question for a click.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) click: Digest,
    pub(crate) place: Place,
    pub(crate) at: Timestamp,
}

/// The answer to it.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) offset: u64,
    pub(crate) record: Box<[u8]>,
}

/// The last revision.
#[derive(Debug)]
pub(crate) struct Last {
    pub(crate) offset: u64,
    /// How many facts its explanation tells of, decisions apart.
    pub(crate) explained_by: usize,
    /// Without timeline, explanation, and without what is the report's.
    record: Box<[u8]>,
}

/// What a revision changes in commission or bookings.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: i64,
    pub(crate) at: Timestamp,
    /// The digest of the record that `commissions` has to have of it, if one.
    pub(crate) commission: Option<u64>,
    pub(crate) state: CommissionState,
    pub(crate) amount_minor: i64,
    /// What it has to add to the affiliate's pending account, and to the payable one.
    pub(crate) expected: [i64; 2],
    /// What its entries add.
    pub(crate) booked: [i64; 2],
    pub(crate) entries: u8,
    /// How many records of `commissions` are of it.
    pub(crate) told: u8,
}

impl Order {
    pub(crate) fn new(key: &str, partition: u32) -> Order {
        Order {
            key: key.into(),
            partition,
            report: None,
            updates: Vec::new(),
            conflicts: Vec::new(),
            reviews: Vec::new(),
            standing: Reviews::default(),
            changed_in: 0,
            clocks: Vec::new(),
            asked: None,
            click: None,
            settled: None,
            paid_minor: 0,
            last: None,
            changes: Vec::new(),
            last_fact: 0,
            begun_at: Timestamp::MIN,
            attributed_at: None,
            told: [0; 3],
            begun_before: None,
        }
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject::order(&self.key)
    }

    /// Where its facts stand, the first of them, and its last revision.
    pub(crate) fn places(&self) -> Vec<Place> {
        let of = |topic: u16| move |offset: u64| Place { topic, partition: self.partition, offset };
        let facts = self.report.iter().map(|it| it.offset).chain(self.updates.iter().map(|it| it.offset));
        let facts = facts.chain(self.clocks.iter().map(|it| it.offset));
        let mut places: Vec<Place> = facts.take(PLACES_MAX).map(of(CONVERSIONS.number)).collect();
        places.extend(self.click.iter().map(|it| it.offset).map(of(CLICK_VERDICTS.number)));
        places.extend(self.last.iter().map(|it| it.offset).map(of(TRANSITIONS.number)));
        places
    }

    /// The first report in the log is the order's; one that differs is a conflict, and one that does not is nothing new.
    pub(crate) fn reported(&mut self, report: ConversionReported, offset: u64, found: &mut Found) {
        self.last_fact = offset;
        let (event, whole, says) = (short(&report.event_id), short(&encode(&report)), says(&report));
        if let Some(known) = self.known_event(event) {
            // A producer that gave a message up while a broker was away may have written it twice.
            self.same_event(known == whole, offset, found);
            return;
        }
        match &self.report {
            None => {
                let metadata = short(&report.metadata);
                let external_order_id = String::new();
                let kept = ConversionReported { external_order_id, metadata: None, idempotency: None, ..report };
                self.report = Some(Report { offset, event, whole, says, metadata, record: packed(&kept) });
            }
            Some(first) if first.says != says && self.conflicts.len() < CONFLICTS_MAX => {
                self.conflicts.push(Conflict { event, whole, offset, told: 0 });
            }
            Some(_) => {}
        }
    }

    pub(crate) fn updated(&mut self, update: &OrderStatusReported, offset: u64, found: &mut Found) {
        self.last_fact = offset;
        let update = Update {
            event: short(&update.event_id),
            offset,
            status: update.status,
            sent: update.status_updated_at,
            refunded: update.refunded_thousandths,
            received: update.received_at,
            told: 0,
        };
        if let Some(known) = self.updates.iter().find(|known| known.event == update.event) {
            let same = (known.what(), known.received) == (update.what(), update.received);
            self.same_event(same, offset, found);
            return;
        }
        self.updates.reserve_exact(1);
        self.updates.push(update);
    }

    pub(crate) fn decided(&mut self, decided: &ReviewDecided, offset: u64, found: &mut Found) {
        self.last_fact = offset;
        let (event, record) = (short(&decided.event_id), packed(decided));
        if let Some(known) = self.reviews.iter().find(|known| known.event == event) {
            self.same_event(known.record == record, offset, found);
            return;
        }
        self.reviews.reserve_exact(1);
        self.reviews.push(Reviewed { event, offset, told: 0, record });
    }

    pub(crate) fn advanced(&mut self, advanced: &TestClockAdvanced, offset: u64, found: &mut Found) {
        self.last_fact = offset;
        let event = short(&advanced.event_id);
        if let Some(known) = self.clocks.iter().find(|known| known.event == event) {
            self.same_event(known.advanced_to == advanced.advanced_to, offset, found);
            return;
        }
        self.clocks.reserve_exact(1);
        self.clocks.push(Clock { event, offset, advanced_to: advanced.advanced_to, told: 0 });
    }

    /// The latest instant that its time was moved to, in what was read so far.
    pub(crate) fn advanced_to(&self) -> Option<Timestamp> {
        self.clocks.iter().map(|clock| clock.advanced_to).max()
    }

    /// The whole record of a known event of a report.
    fn known_event(&self, event: u64) -> Option<u64> {
        let report = self.report.iter().map(|it| (it.event, it.whole));
        let conflicts = self.conflicts.iter().map(|it| (it.event, it.whole));
        report.chain(conflicts).find(|(known, _)| *known == event).map(|(_, whole)| whole)
    }

    fn same_event(&self, same: bool, offset: u64, found: &mut Found) {
        if !same {
            let mut places = self.places();
            places.push(Place { topic: CONVERSIONS.number, partition: self.partition, offset });
            found.add(|| self.subject(), "eventId", "one event of this id", "another", &places);
        }
    }

    /// The order's report, without its metadata and the order's id.
    pub(crate) fn first_report(&self) -> Option<ConversionReported> {
        self.report.as_ref().map(|report| schemas::decode(&report.record).expect("it was encoded here"))
    }

    /// The last revision, without its timeline, the order's id and what is the report's.
    pub(crate) fn last_revision(&self) -> Option<ConversionTransitioned> {
        self.last.as_ref().map(|last| schemas::decode(&last.record).expect("it was encoded here"))
    }

    pub(crate) fn keep_last(&mut self, revision: ConversionTransitioned, offset: u64) {
        // What stands of the decisions is told by the revision itself, and of moved clocks only the latest counts.
        let counted = |it: &&FactPlace| !matches!(it.fact, FactKind::Review | FactKind::TestClock);
        let explained_by = revision.explanation.as_ref().map_or(0, |it| it.facts.iter().filter(counted).count());
        self.last = Some(Last { offset, explained_by, record: packed(&kept(revision)) });
    }

    /// Whether an update of this event is in the log where `is` says.
    pub(crate) fn has_update(&self, event_id: &str, is: impl Fn(u64) -> bool) -> bool {
        is_there(&self.updates, event_id, is, |it| (it.event, it.offset))
    }

    /// Whether a decision of this event is in the log where `is` says.
    pub(crate) fn has_review(&self, event_id: &str, is: impl Fn(u64) -> bool) -> bool {
        is_there(&self.reviews, event_id, is, |it| (it.event, it.offset))
    }

    /// Whether a moved clock of this event is in the log where `is` says.
    pub(crate) fn has_clock(&self, event_id: &str, is: impl Fn(u64) -> bool) -> bool {
        is_there(&self.clocks, event_id, is, |it| (it.event, it.offset))
    }

    /// Takes note that the timeline tells of a report's event; false if there is no such report, or no such conflict.
    pub(crate) fn tell_report(&mut self, event_id: &str) -> bool {
        let told = self.report.as_ref().is_some_and(|report| report.event == short(event_id));
        self.told[0] = self.told[0].saturating_add(u8::from(told));
        told
    }

    pub(crate) fn tell_conflict(&mut self, event_id: &str) -> bool {
        tell(&mut self.conflicts, event_id, |it| (it.event, &mut it.told))
    }

    pub(crate) fn tell_review(&mut self, event_id: &str) -> bool {
        tell(&mut self.reviews, event_id, |it| (it.event, &mut it.told))
    }

    pub(crate) fn tell_clock(&mut self, event_id: &str) -> bool {
        tell(&mut self.clocks, event_id, |it| (it.event, &mut it.told))
    }

    pub(crate) fn tell_update(&mut self, event_id: &str) -> bool {
        tell(&mut self.updates, event_id, |it| (it.event, &mut it.told))
    }
}

/// Whether one of these has this event, and is in the log where `is` says.
fn is_there<T>(all: &[T], event_id: &str, is: impl Fn(u64) -> bool, of: impl Fn(&T) -> (u64, u64)) -> bool {
    let wanted = short(event_id);
    all.iter().map(of).any(|(event, offset)| event == wanted && is(offset))
}

/// Takes note that the timeline tells of one of these by its event; false if none has it.
fn tell<T>(all: &mut [T], event_id: &str, of: impl Fn(&mut T) -> (u64, &mut u8)) -> bool {
    let wanted = short(event_id);
    let told = all.iter_mut().map(of).find(|(event, _)| *event == wanted);
    told.is_some_and(|(_, told)| {
        *told = told.saturating_add(1);
        true
    })
}

/// What is kept of a revision.
pub(crate) fn kept(revision: ConversionTransitioned) -> ConversionTransitioned {
    ConversionTransitioned {
        event_id: String::new(),
        external_order_id: String::new(),
        click_id: None,
        external_product_id: None,
        metadata: None,
        timeline: Vec::new(),
        explanation: None,
        ..revision
    }
}

/// All that a re-send is compared in.
fn says(report: &ConversionReported) -> u64 {
    let ConversionReported { click_id, external_product_id, amount_minor, currency, .. } = report;
    let ConversionReported { order_status, ordered_at, coupon_code, metadata, .. } = report;
    let first = (click_id, external_product_id, amount_minor, currency.code());
    short(&(first, order_status, ordered_at, coupon_code, metadata))
}
