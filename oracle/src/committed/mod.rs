//! The committed records of every topic, checked one by one as they become visible.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::ConversionId;
use schemas::records::{
    ClickLookupRequested, ClickMatched, ClickRecorded, CommissionChanged, ConversionReported, ConversionSettled,
    ConversionTransitioned, DeadLetter, LedgerEntry, OrderStatusReported, PayoutReported, ReviewDecided,
    TestClockAdvanced,
};
use schemas::topics::numbers::{
    BALANCES, CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, COMMISSIONS, CONVERSIONS, DEAD_LETTERS, LEDGER_ENTRIES,
    PAYOUT_REPORTS, PAYOUTS, SETTLEMENTS, TRANSITIONS,
};
use schemas::{AvroRecord, Timestamp};

use crate::fault::{Fault, Faults, Invariant};
use crate::mission::{Payout, Reviews};

mod conversions;
mod inputs;
mod joins;
mod money;
mod payouts;

pub use conversions::{Known, revision};
pub use inputs::Event;
pub use money::Booked;
pub(crate) use money::{Booking, KINDS};

/// What a reader of committed records has seen of every topic so far.
#[derive(Debug, Default)]
pub struct Committed {
    ends: BTreeMap<(u16, u32), u64>,
    homes: BTreeMap<Vec<u8>, u32>,
    events: BTreeMap<String, inputs::Event>,
    entry_ids: BTreeSet<String>,
    accounts: BTreeMap<String, money::Account>,
    /// Reports by order, in the order of the log, each event once.
    pub(crate) reports: BTreeMap<String, Vec<ConversionReported>>,
    /// Status updates by order, in the order of the log, each event once.
    pub(crate) statuses: BTreeMap<String, Vec<OrderStatusReported>>,
    /// Reviewers' decisions by order, in the order of the log, each event once, with the number of updates before it.
    pub(crate) reviews: BTreeMap<String, Vec<(ReviewDecided, usize)>>,
    /// What of them stands, by order.
    pub(crate) standing: BTreeMap<String, Reviews>,
    /// Moved clocks by order, in the order of the log, each event once.
    pub(crate) clocks: BTreeMap<String, Vec<Advance>>,
    /// Clicks by id, in their first form.
    pub(crate) clicks: BTreeMap<String, ClickRecorded>,
    /// What `orders` and `clicks` must refuse.
    pub(crate) refused: Vec<Refused>,
    /// Revisions by order.
    pub(crate) conversions: BTreeMap<String, Vec<ConversionTransitioned>>,
    pub(crate) lookups: BTreeMap<String, ClickLookupRequested>,
    pub(crate) verdicts: BTreeMap<String, ClickMatched>,
    /// Changes of commissions by order.
    pub(crate) commissions: BTreeMap<String, Vec<CommissionChanged>>,
    /// Bookings by conversion.
    pub(crate) entries: BTreeMap<ConversionId, Vec<LedgerEntry>>,
    /// Payouts by ledger, by their numbers.
    pub(crate) payouts: BTreeMap<String, Vec<Payout>>,
    /// Of each payout that was reported, what came to the log first.
    pub(crate) outcomes: BTreeMap<String, PayoutReported>,
    /// What reports in the log say, each as often as it is there.
    pub(crate) payout_reports: Vec<PayoutReported>,
    /// What orders are told of the payouts that paid for them.
    pub(crate) settled: BTreeMap<String, Vec<ConversionSettled>>,
    pub(crate) dead_letters: Vec<DeadLetter>,
}

/// An order's time that was moved.
#[derive(Debug)]
pub(crate) struct Advance {
    pub(crate) advanced: TestClockAdvanced,
    /// Whether the log had the order's report before it.
    pub(crate) reported: bool,
}

/// A record of an input topic that nobody can process.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) topic: u16,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Where a record stands, and its bytes.
#[derive(Clone, Copy, Debug)]
struct Visible<'a> {
    topic: u16,
    partition: u32,
    offset: u64,
    key: &'a [u8],
    value: &'a [u8],
}

impl Visible<'_> {
    fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key).into_owned()
    }
}

impl Committed {
    /// Takes the next record that is visible in a partition to a reader of committed records, and says what is wrong with
    /// it. `topic` is the number of [`schemas::topics`]; changelogs, webhooks and the registry are passed over.
    ///
    /// A record must be shown after those that it was made from: when several partitions have new ones, in the order of
    /// the topics' numbers, but for what follows from a payout, which is for [`crate::end`]. Of those that were written in one transaction, each partition's may become visible at another
    /// time, so what two outputs say of each other is for [`crate::end`].
    pub fn observe(&mut self, topic: u16, partition: u32, offset: u64, key: &[u8], value: &[u8]) -> Vec<Fault> {
        let mut faults = Faults::default();
        let record = Visible { topic, partition, offset, key, value };
        match topic {
            CONVERSIONS => self.fact(record, &mut faults),
            CLICKS => self.clicked(record, &mut faults),
            CLICK_LOOKUPS => self.decoded(record, &mut faults, Self::asked),
            CLICK_VERDICTS => self.decoded(record, &mut faults, Self::answered),
            TRANSITIONS => self.decoded(record, &mut faults, Self::changed),
            COMMISSIONS => self.decoded(record, &mut faults, Self::commissioned),
            LEDGER_ENTRIES => self.decoded(record, &mut faults, Self::booked),
            BALANCES => self.decoded(record, &mut faults, Self::balanced),
            PAYOUTS => self.decoded(record, &mut faults, Self::paid_out),
            PAYOUT_REPORTS => self.payout_reported(record),
            SETTLEMENTS => self.decoded(record, &mut faults, Self::settled),
            DEAD_LETTERS => self.decoded(record, &mut faults, Self::refused),
            _ => return Vec::new(),
        }
        self.placed(record, &mut faults);
        faults.found()
    }

    /// Every order's revisions so far, by the order's key.
    pub fn conversions(&self) -> impl Iterator<Item = (&str, &[ConversionTransitioned])> {
        self.conversions.iter().map(|(key, revisions)| (&**key, &**revisions))
    }

    /// Every ledger's payouts so far, by the ledger's key.
    pub fn payouts(&self) -> impl Iterator<Item = (&str, &[Payout])> {
        self.payouts.iter().map(|(ledger, payouts)| (&**ledger, &**payouts))
    }

    /// The first report of an order in the log, by the order's key.
    #[must_use]
    pub fn report(&self, key: &str) -> Option<&ConversionReported> {
        self.reports.get(key).and_then(|reports| reports.first())
    }

    /// The latest instant that an order's time was moved to, in the log so far.
    pub(crate) fn advanced_to(&self, key: &str) -> Option<Timestamp> {
        self.clocks.get(key).into_iter().flatten().map(|it| it.advanced.advanced_to).max()
    }

    fn placed(&mut self, record: Visible<'_>, faults: &mut Faults) {
        let Visible { topic, partition, offset, .. } = record;
        let end = self.ends.entry((topic, partition)).or_default();
        let rises = *end <= offset;
        faults.check(Invariant::Offsets, rises, || {
            format!("topic {topic}, partition {partition}: offset {offset} is visible after {}", *end - 1)
        });
        *end = offset + 1;
        if topic == DEAD_LETTERS {
            return;
        }
        let home = *self.homes.entry(record.key.to_vec()).or_insert(partition);
        faults.check(Invariant::Home, home == partition, || {
            format!("{}: in partition {partition} of topic {topic}, and in {home} of another", record.key_text())
        });
    }

    /// Decodes a record that only processors write.
    fn decoded<R: AvroRecord>(
        &mut self,
        record: Visible<'_>,
        faults: &mut Faults,
        then: impl FnOnce(&mut Self, Visible<'_>, R, &mut Faults),
    ) {
        match schemas::decode(record.value) {
            Ok(value) => then(self, record, value, faults),
            Err(error) => faults.add(
                Invariant::Decodes,
                format!("{}: topic {}, offset {}: {error}", record.key_text(), record.topic, record.offset),
            ),
        }
    }

    fn refused(&mut self, _: Visible<'_>, letter: DeadLetter, _: &mut Faults) {
        self.dead_letters.push(letter);
    }
}

/// A record's key must be that of what it speaks of; false if it is not.
fn same_key(record: Visible<'_>, expected: &str, faults: &mut Faults) -> bool {
    let same = record.key == expected.as_bytes();
    faults.check(Invariant::Key, same, || {
        format!("{expected}: a record of topic {} is under the key {}", record.topic, record.key_text())
    });
    same
}
