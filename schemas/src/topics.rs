//! The topic catalogue: what code, docs and tools know of the topics, as data.

use crate::codec::AvroRecord;
use crate::records::{
    BalanceChanged, ClickLookupRequested, ClickMatched, ClickRecorded, CommissionChanged, ConversionReported,
    ConversionSettled, ConversionTransitioned, DeadLetter, LedgerEntry, OrderStatusReported, PayoutChanged,
    PayoutReported, RegistryEntryChanged, RegistrySealed, ReviewDecided, TestClockAdvanced, WebhookAttempt,
    WebhookOutcome,
};

/// What happens to old records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Records older than this many days are deleted.
    Retain {
        /// The age in days.
        days: u32,
    },
    /// The last record of each key is kept for ever; a tombstone, which deletes its key, for
    /// [`TOMBSTONES_KEPT_DAYS`].
    Compact,
}

/// One topic.
#[derive(Clone, Copy, Debug)]
pub struct TopicSpec {
    /// Stable number, at least 1, never reused: the embedded log writes it.
    pub number: u16,
    /// The name.
    pub name: &'static str,
    /// What the key is made of.
    pub key: &'static str,
    /// The records it carries, by their Avro names. None for a changelog: what is in its rows is its processor's own.
    pub records: &'static [&'static str],
    /// Partitions on Kafka. Topics that one processor reads have equal numbers.
    pub partitions: u32,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// Most bytes of a message on Kafka, key and headers included: `max.message.bytes`.
    pub message_bytes_max: u32,
    /// Who writes it, who reads it, and why.
    pub doc: &'static str,
}

/// Partitions of every topic that is read by key.
pub const PARTITIONS: u32 = 12;

/// How long a compacted topic on Kafka keeps a tombstone (`delete.retention.ms`), in days: a store or a registry that
/// was away for less still sees what was deleted meanwhile.
pub const TOMBSTONES_KEPT_DAYS: u32 = 7;

const MIB: u32 = 1 << 20;
const ORDER_KEY: &str = "merchant/mode/externalOrderId";
const ACCOUNT_KEY: &str = "affiliate/currency/mode";
const ROW_KEY: &str = "the row's key";

/// Facts about orders, as the edge accepted them.
pub const CONVERSIONS: TopicSpec = TopicSpec {
    number: 1,
    name: "conversions",
    key: ORDER_KEY,
    records: &[ConversionReported::NAME, OrderStatusReported::NAME, ReviewDecided::NAME, TestClockAdvanced::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 90 },
    message_bytes_max: MIB,
    doc: "Facts about orders as the edge accepted them: reports, status updates, reviewers' decisions, whose order among all these decides, and, of test mode, moved clocks. Read by `orders`.",
};

/// Clicks.
pub const CLICKS: TopicSpec = TopicSpec {
    number: 2,
    name: "clicks",
    key: "clickId",
    records: &[ClickRecorded::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 90 },
    message_bytes_max: MIB,
    doc: "Clicks on affiliate links. Written by the edge, read by `clicks`.",
};

/// Questions of `orders` to `clicks`.
pub const CLICK_LOOKUPS: TopicSpec = TopicSpec {
    number: 3,
    name: "click-lookups",
    key: "clickId",
    records: &[ClickLookupRequested::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 7 },
    message_bytes_max: MIB,
    doc: "Which click is this? Asked by `orders`, answered by `clicks` once the click is known.",
};

/// Answers of `clicks` to `orders`.
pub const CLICK_VERDICTS: TopicSpec = TopicSpec {
    number: 4,
    name: "click-verdicts",
    key: ORDER_KEY,
    records: &[ClickMatched::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 7 },
    message_bytes_max: MIB,
    doc: "The click that an order named, keyed by the order. Written by `clicks`, read by `orders`.",
};

/// Every change of a conversion.
pub const TRANSITIONS: TopicSpec = TopicSpec {
    number: 5,
    name: "transitions",
    key: ORDER_KEY,
    records: &[ConversionTransitioned::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 90 },
    message_bytes_max: MIB,
    doc: "Every change of a conversion, whole, with its new timeline entries. Written by `orders`, read by the materializer and `webhooks`.",
};

/// Every change of a commission.
pub const COMMISSIONS: TopicSpec = TopicSpec {
    number: 6,
    name: "commissions",
    key: ORDER_KEY,
    records: &[CommissionChanged::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 365 },
    message_bytes_max: MIB,
    doc: "Every change of a commission's state or amount, for data teams. Written by `orders`.",
};

/// Double-entry bookings.
pub const LEDGER_ENTRIES: TopicSpec = TopicSpec {
    number: 7,
    name: "ledger-entries",
    key: ACCOUNT_KEY,
    records: &[LedgerEntry::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 365 },
    message_bytes_max: MIB,
    doc: "Double-entry bookings: each moves an amount between two accounts. Written by `orders`, read by `ledger`.",
};

/// Account balances.
pub const BALANCES: TopicSpec = TopicSpec {
    number: 8,
    name: "balances",
    key: "affiliate/currency/mode/account",
    records: &[BalanceChanged::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Compact,
    message_bytes_max: MIB,
    doc: "The balance of an account after each entry. Written by `ledger`.",
};

/// What could not be processed.
pub const DEAD_LETTERS: TopicSpec = TopicSpec {
    number: 9,
    name: "dead-letters",
    key: "the key of the record refused",
    records: &[DeadLetter::NAME],
    partitions: 1,
    cleanup: Cleanup::Retain { days: 90 },
    // The largest record of any topic, and what is told of it.
    message_bytes_max: 2 * MIB,
    doc: "Records that could not be decoded or that a state machine refused, with reason and coordinates.",
};

/// The registry's entries.
pub const REGISTRY: TopicSpec = TopicSpec {
    number: 10,
    name: "registry",
    key: "section/id",
    records: &[RegistryEntryChanged::NAME, RegistrySealed::NAME],
    partitions: 1,
    cleanup: Cleanup::Compact,
    message_bytes_max: MIB,
    doc: "The registry, entry by entry; a tombstone removes one. The record `sealed` ends each change: only what it was made over is a registry. Signing secrets are in it encrypted, under a master key that the topic does not have; nobody but the service may write it. Read by every edge, by `orders`, `clicks` and `webhooks`, and by the sender of webhooks. The embedded log has the registry file instead.",
};

/// The rows of `orders`.
pub const ORDERS_CHANGELOG: TopicSpec = changelog(
    11,
    "orders-changelog",
    "The rows of `orders`, as bytes; a tombstone deletes one. Written and read by `orders`. The embedded log keeps changes in its frames instead.",
);

/// The rows of `clicks`.
pub const CLICKS_CHANGELOG: TopicSpec = changelog(
    12,
    "clicks-changelog",
    "The rows of `clicks`, as bytes; a tombstone deletes one. Written and read by `clicks`. The embedded log keeps changes in its frames instead.",
);

/// The rows of `ledger`.
pub const LEDGER_CHANGELOG: TopicSpec = changelog(
    13,
    "ledger-changelog",
    "The rows of `ledger`, as bytes; a tombstone deletes one. Written and read by `ledger`. The embedded log keeps changes in its frames instead.",
);

/// Every change of a payout.
pub const PAYOUTS: TopicSpec = TopicSpec {
    number: 14,
    name: "payouts",
    key: ACCOUNT_KEY,
    records: &[PayoutChanged::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 365 },
    message_bytes_max: MIB,
    doc: "Every change of a payout, which is a booking too: made at a cut-off, then paid or failed. Written by `ledger`, for payout systems; read by the materializer and by each store of an edge.",
};

/// What became of payouts.
pub const PAYOUT_REPORTS: TopicSpec = TopicSpec {
    number: 15,
    name: "payout-reports",
    key: ACCOUNT_KEY,
    records: &[PayoutReported::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 365 },
    message_bytes_max: MIB,
    doc: "What became of payouts. Written by the edge for administrators, or by whoever pays them past it, and read by `ledger`, which checks each.",
};

/// What paid payouts have of each order.
pub const SETTLEMENTS: TopicSpec = TopicSpec {
    number: 16,
    name: "settlements",
    key: ORDER_KEY,
    records: &[ConversionSettled::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 90 },
    message_bytes_max: MIB,
    doc: "What a paid payout has of each order, under the order's own key. Written by `ledger`, read by `orders`.",
};

/// What merchants' endpoints are to be told.
pub const WEBHOOK_ATTEMPTS: TopicSpec = TopicSpec {
    number: 17,
    name: "webhook-attempts",
    key: ORDER_KEY,
    records: &[WebhookAttempt::NAME],
    partitions: PARTITIONS,
    // It is a work list: what is not sent in seconds comes again.
    cleanup: Cleanup::Retain { days: 7 },
    message_bytes_max: MIB,
    doc: "Deliveries to merchants' endpoints, each to be attempted now. Written by `webhooks`, read by the sender of webhooks.",
};

/// What merchants' endpoints answered.
pub const WEBHOOK_OUTCOMES: TopicSpec = TopicSpec {
    number: 18,
    name: "webhook-outcomes",
    key: ORDER_KEY,
    records: &[WebhookOutcome::NAME],
    partitions: PARTITIONS,
    cleanup: Cleanup::Retain { days: 90 },
    message_bytes_max: MIB,
    doc: "What became of each attempt. Written by the sender of webhooks, read by `webhooks`.",
};

/// The rows of `webhooks`.
pub const WEBHOOKS_CHANGELOG: TopicSpec = changelog(
    19,
    "webhooks-changelog",
    "The rows of `webhooks`, as bytes; a tombstone deletes one. Written and read by `webhooks`. The embedded log keeps changes in its frames instead.",
);

/// A changelog has the partitions of what its processor reads: a row is in the partition of the key it was made of.
const fn changelog(number: u16, name: &'static str, doc: &'static str) -> TopicSpec {
    TopicSpec {
        number,
        name,
        key: ROW_KEY,
        records: &[],
        partitions: PARTITIONS,
        cleanup: Cleanup::Compact,
        message_bytes_max: MIB,
        doc,
    }
}

/// The numbers of the topics that carry records, as constants that a `match` takes.
pub mod numbers {
    macro_rules! numbers {
        ($($topic:ident),+ $(,)?) => {$(
            #[doc = concat!("The number of [`super::", stringify!($topic), "`].")]
            pub const $topic: u16 = super::$topic.number;
        )+};
    }
    numbers!(
        CONVERSIONS,
        CLICKS,
        CLICK_LOOKUPS,
        CLICK_VERDICTS,
        TRANSITIONS,
        COMMISSIONS,
        LEDGER_ENTRIES,
        BALANCES,
        DEAD_LETTERS,
        PAYOUTS,
        PAYOUT_REPORTS,
        SETTLEMENTS,
        WEBHOOK_ATTEMPTS,
        WEBHOOK_OUTCOMES,
    );
}

/// Every topic, by number.
pub const CATALOGUE: &[TopicSpec] = &[
    CONVERSIONS,
    CLICKS,
    CLICK_LOOKUPS,
    CLICK_VERDICTS,
    TRANSITIONS,
    COMMISSIONS,
    LEDGER_ENTRIES,
    BALANCES,
    DEAD_LETTERS,
    REGISTRY,
    ORDERS_CHANGELOG,
    CLICKS_CHANGELOG,
    LEDGER_CHANGELOG,
    PAYOUTS,
    PAYOUT_REPORTS,
    SETTLEMENTS,
    WEBHOOK_ATTEMPTS,
    WEBHOOK_OUTCOMES,
    WEBHOOKS_CHANGELOG,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        for (index, topic) in CATALOGUE.iter().enumerate() {
            let before = &CATALOGUE[..index];
            assert!(
                before.iter().all(|other| other.number < topic.number && other.name != topic.name),
                "{}",
                topic.name
            );
        }
    }
}
