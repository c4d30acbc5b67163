//! Everything that the log holds, topic by topic, read without the code that serves it.

use std::path::Path;
use std::time::Duration;

use schemas::records::{
    BalanceChanged, ClickLookupRequested, ClickMatched, ClickRecorded, CommissionChanged, ConversionReported,
    ConversionTransitioned, DeadLetter, LedgerEntry, OrderStatusReported, PayoutChanged, ReviewDecided,
    TestClockAdvanced, WebhookAttempt, WebhookOutcome,
};
use schemas::topics as catalogue;
use schemas::topics::TopicSpec;
use schemas::{AvroRecord, codec, decode};
use streams::embedded::{EmbeddedLog, Options};
use streams::log::Limits;
use streams::{Record, Topic};

/// The topics whose records a test reads. The others are webhooks, and how the service keeps its registry and its state in Kafka.
pub(crate) const AUDITED: [TopicSpec; 10] = [
    catalogue::CONVERSIONS,
    catalogue::CLICKS,
    catalogue::CLICK_LOOKUPS,
    catalogue::CLICK_VERDICTS,
    catalogue::TRANSITIONS,
    catalogue::COMMISSIONS,
    catalogue::LEDGER_ENTRIES,
    catalogue::BALANCES,
    catalogue::PAYOUTS,
    catalogue::DEAD_LETTERS,
];

/// The records of these topics, each in the order of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics {
    pub(crate) reports: Vec<ConversionReported>,
    pub(crate) statuses: Vec<OrderStatusReported>,
    pub(crate) reviews: Vec<ReviewDecided>,
    pub(crate) clocks: Vec<TestClockAdvanced>,
    pub(crate) clicks: Vec<ClickRecorded>,
    pub(crate) lookups: Vec<ClickLookupRequested>,
    pub(crate) verdicts: Vec<ClickMatched>,
    pub(crate) transitions: Vec<ConversionTransitioned>,
    pub(crate) commissions: Vec<CommissionChanged>,
    pub(crate) entries: Vec<LedgerEntry>,
    pub(crate) balances: Vec<BalanceChanged>,
    pub(crate) payouts: Vec<PayoutChanged>,
    pub(crate) dead_letters: Vec<DeadLetter>,
    pub(crate) webhook_attempts: Vec<WebhookAttempt>,
    pub(crate) webhook_outcomes: Vec<WebhookOutcome>,
}

impl Topics {
    /// Reads an embedded log that nobody else has open.
    pub(crate) fn read(folder: &Path) -> Topics {
        let log = EmbeddedLog::open(folder, Options::default()).expect("the log opens");
        let topics: Vec<Topic> = catalogue::CATALOGUE.iter().map(processors::topic).collect();
        let mut reader = log.reader(&topics, None);
        let mut found = Topics::default();
        loop {
            let records = reader.next(&Limits::default(), Duration::ZERO).expect("the log reads");
            if records.is_empty() {
                break;
            }
            records.iter().for_each(|record| found.take(record));
        }
        assert_eq!(reader.position(), log.durable(), "everything was read");
        log.close().expect("the log closes");
        found
    }

    /// Takes one record over.
    pub(crate) fn take(&mut self, record: &Record) {
        use schemas::topics::numbers::{
            BALANCES, CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, COMMISSIONS, CONVERSIONS, DEAD_LETTERS, LEDGER_ENTRIES,
            PAYOUT_REPORTS, PAYOUTS, SETTLEMENTS, TRANSITIONS, WEBHOOK_ATTEMPTS, WEBHOOK_OUTCOMES,
        };
        match record.topic {
            CONVERSIONS if codec::is::<ConversionReported>(&record.value) => self.reports.push(value(record)),
            CONVERSIONS if codec::is::<ReviewDecided>(&record.value) => self.reviews.push(value(record)),
            CONVERSIONS if codec::is::<TestClockAdvanced>(&record.value) => self.clocks.push(value(record)),
            CONVERSIONS => self.statuses.push(value(record)),
            CLICKS => self.clicks.push(value(record)),
            CLICK_LOOKUPS => self.lookups.push(value(record)),
            CLICK_VERDICTS => self.verdicts.push(value(record)),
            TRANSITIONS => self.transitions.push(value(record)),
            COMMISSIONS => self.commissions.push(value(record)),
            LEDGER_ENTRIES => self.entries.push(value(record)),
            BALANCES => self.balances.push(value(record)),
            PAYOUTS => self.payouts.push(value(record)),
            // What a test writes itself, and what an order's timeline tells.
            PAYOUT_REPORTS | SETTLEMENTS => {}
            DEAD_LETTERS => self.dead_letters.push(value(record)),
            WEBHOOK_ATTEMPTS => self.webhook_attempts.push(value(record)),
            WEBHOOK_OUTCOMES => self.webhook_outcomes.push(value(record)),
            other => panic!("a record of topic {other}, which is not among those that are read"),
        }
    }
}

fn value<R: AvroRecord>(record: &Record) -> R {
    let spec: Option<&TopicSpec> = catalogue::CATALOGUE.iter().find(|spec| spec.number == record.topic);
    let spec = spec.expect("a topic of the catalogue");
    assert!(spec.records.contains(&R::NAME), "{} is no record of {}", R::NAME, spec.name);
    decode(&record.value).unwrap_or_else(|error| panic!("offset {} of {}: {error}", record.offset, spec.name))
}
