//! What was found.

use std::collections::BTreeMap;
use std::fmt;

use schemas::Timestamp;
use schemas::ids::OrderKey;
use schemas::topics::CATALOGUE;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of its topic.
    pub topic: u16,
    /// The partition; 0 in the embedded log.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

impl Place {
    /// The topic's name.
    #[must_use]
    pub fn topic_name(&self) -> &'static str {
        topic_name(self.topic)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic_name(), self.partition, self.offset)
    }
}

pub(crate) fn topic_name(number: u16) -> &'static str {
    CATALOGUE.iter().find(|spec| spec.number == number).map_or("unknown", |spec| spec.name)
}

/// What a difference is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An order, and its conversion.
    Order {
        /// The merchant.
        merchant_id: String,
        /// Live, or the test namespace.
        livemode: bool,
        /// The merchant's own id of it.
        external_order_id: String,
    },
    /// An account of an affiliate's ledger, as `affiliate/currency/mode/account`.
    Account(String),
    /// A click, by its id.
    Click(String),
    /// A record that is of none of these.
    Record,
}

impl Subject {
    /// The order with this key.
    pub(crate) fn order(key: &str) -> Subject {
        match OrderKey::from_bytes(key.as_bytes()) {
            Some(order) => Subject::Order {
                merchant_id: order.merchant_id.to_owned(),
                livemode: order.livemode,
                external_order_id: order.external_order_id.to_owned(),
            },
            None => Subject::Record,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Order { merchant_id, livemode, external_order_id } => {
                let test = if *livemode { "" } else { " (test)" };
                write!(f, "order {external_order_id} of {merchant_id}{test}")
            }
            Subject::Account(name) => write!(f, "account {name}"),
            Subject::Click(id) => write!(f, "click {id}"),
            Subject::Record => f.write_str("a record"),
        }
    }
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of what.
    pub subject: Subject,
    /// In what: a field of the conversion, or what else must hold.
    pub field: &'static str,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The records that say so: the facts first, then what was made of them.
    pub places: Vec<Place>,
}

/// How much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records by topic number.
    pub records: BTreeMap<u16, u64>,
    /// The offset after the last record, by topic number and partition.
    pub ends: BTreeMap<(u16, u32), u64>,
    /// Orders that were reported.
    pub orders: u64,
    /// Of those, orders of which everything was judged.
    pub judged: u64,
    /// Orders with facts, questions or clicks that are not processed yet.
    pub pending: u64,
    /// Orders with updates and without a report.
    pub unreported: u64,
    /// Orders that the log may have lost a part of, since it does not begin at its beginning.
    pub begun_before: u64,
    /// Conversions that were attributed under a registry that is not known any more.
    pub terms_unknown: u64,
    /// Conversions.
    pub conversions: u64,
    /// Clicks.
    pub clicks: u64,
    /// Ledger entries.
    pub entries: u64,
    /// Ledger entries whose balances are not written yet.
    pub entries_pending: u64,
    /// Accounts of affiliates.
    pub accounts: u64,
    /// Payouts.
    pub payouts: u64,
    /// Records that cannot be processed, and were set aside.
    pub dead_letters: u64,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Report {
    /// How much was looked at.
    pub counts: Counts,
    /// The instant that holds and waits were judged at.
    pub at: Timestamp,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub differences_total: u64,
    /// How many there are by field.
    pub by_field: BTreeMap<&'static str, u64>,
}

/// Differences as they are found.
#[derive(Debug)]
pub(crate) struct Found {
    listed_max: usize,
    listed: Vec<Difference>,
    by_field: BTreeMap<&'static str, u64>,
}

impl Found {
    pub(crate) fn new(listed_max: usize) -> Found {
        Found { listed_max, listed: Vec::new(), by_field: BTreeMap::new() }
    }

    pub(crate) fn add(
        &mut self,
        subject: impl FnOnce() -> Subject,
        field: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
        places: &[Place],
    ) {
        *self.by_field.entry(field).or_default() += 1;
        if self.listed.len() < self.listed_max {
            let (expected, found) = (expected.into(), found.into());
            self.listed.push(Difference { subject: subject(), field, expected, found, places: places.to_vec() });
        }
    }

    pub(crate) fn report(self, counts: Counts, at: Timestamp) -> Report {
        let differences_total = self.by_field.values().sum();
        Report { counts, at, differences: self.listed, differences_total, by_field: self.by_field }
    }
}
