//! Reading the topics, each up to an end that was taken before.
//!
//! The ends are taken in an order: committed offsets first, then outputs before what they were made from. So what was
//! made of a fact before the committed offset is there, and so is the fact of whatever is there. Of one transaction, later
//! outputs may be seen without the earlier ones, never the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use schemas::Timestamp;
use schemas::registry::{Fold, Folded, Registry, Secrets};
use schemas::topics::{
    BALANCES, CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, COMMISSIONS, CONVERSIONS, DEAD_LETTERS, LEDGER_ENTRIES,
    PAYOUT_REPORTS, PAYOUTS, REGISTRY, SETTLEMENTS, TRANSITIONS, TopicSpec,
};
use streams::kafka::{Connection, Extent, Extents, KafkaReader};
use streams::log::Limits;
use streams::{Clock, LogError, SystemClock, Topic};
use verify::{Options, Verifier};

use super::{CONSUMERS, Outcome, VerifyArgs, embedded, progress};
use crate::error::CliError;
use crate::patience::{Patience, STEP};
use crate::settings::Settings;
use crate::topics;

/// How long the brokers may take to answer, and a transaction to end.
const WAIT: Duration = Duration::from_secs(120);
/// Most registries that are kept, the last ones.
const REGISTRIES_MAX: usize = 100;

/// In the order in which ends are taken.
const ENDS: [&[TopicSpec]; 5] = [
    &[TRANSITIONS, BALANCES, DEAD_LETTERS],
    &[CLICK_VERDICTS, COMMISSIONS, SETTLEMENTS],
    &[PAYOUTS],
    &[CLICK_LOOKUPS, LEDGER_ENTRIES],
    &[CONVERSIONS, CLICKS, PAYOUT_REPORTS],
];

/// In the order in which they are read: each after what it is made from.
const READ: [TopicSpec; 12] = [
    CONVERSIONS,
    CLICKS,
    PAYOUT_REPORTS,
    CLICK_LOOKUPS,
    CLICK_VERDICTS,
    TRANSITIONS,
    COMMISSIONS,
    LEDGER_ENTRIES,
    PAYOUTS,
    SETTLEMENTS,
    BALANCES,
    DEAD_LETTERS,
];

type Ends = BTreeMap<(u16, u32), Extent>;
/// Registries and from when each was in force; nothing for one that is not known any more.
type Terms = Vec<(Timestamp, Option<Arc<Registry>>)>;

pub(super) fn verify(args: &VerifyArgs) -> Result<Outcome, CliError> {
    let settings = Settings::load(&args.config)?;
    let connection = settings.connection()?;
    topics::reach(&connection, &settings)?;
    let failed = |error: LogError| CliError::Failed(format!("Kafka: {error}"));
    let extents = Extents::open(&connection, "verify").map_err(failed)?;
    let mut committed = BTreeMap::new();
    for (group, inputs) in CONSUMERS {
        committed.extend(extents.group(group, &numbered(inputs), WAIT).map_err(failed)?);
    }
    let mut ends = Ends::new();
    for topics in ENDS {
        ends.extend(extents.settled(&numbered(topics), WAIT).map_err(failed)?);
    }
    let at = args.at.unwrap_or(Timestamp(SystemClock.now_ms()));
    // Compaction keeps the last of each key, wherever the topic begins.
    let begins_late = |(&(topic, partition), extent): (&(u16, u32), &Extent)| {
        (extent.first > 0 && topic != BALANCES.number).then_some((topic, partition))
    };
    let lost: BTreeSet<(u16, u32)> = ends.iter().filter_map(begins_late).collect();
    let mut verifier = Verifier::new(Options { concurrent: true, compacted: true, ..args.options(&lost) });
    embedded::registries(args, &mut verifier)?;
    for (from, registry) in registries(&connection).map_err(failed)? {
        verifier.registry_from(from, registry);
    }
    for topic in READ {
        read(&connection, &topic, &ends, &mut verifier).map_err(failed)?;
    }
    let report = verifier.finish(at, &committed);
    Ok(Outcome { progress: progress(&committed, &report.counts.ends), report, lost })
}

fn numbered(topics: &[TopicSpec]) -> Vec<Topic> {
    topics.iter().map(processors::topic).collect()
}

/// Shows the verifier a topic, as far as its ends.
fn read(connection: &Connection, topic: &TopicSpec, ends: &Ends, verifier: &mut Verifier) -> Result<(), LogError> {
    let end = |partition: u32| ends.get(&(topic.number, partition)).map_or(0, |extent| extent.end);
    let mut reader = KafkaReader::open(connection, "verify", &[processors::topic(topic)], &BTreeMap::new())?;
    let mut patience = Patience::new();
    while reader.positions().iter().any(|((_, partition), position)| *position < end(*partition)) {
        let records = reader.next(&Limits::default(), STEP)?;
        for record in records.iter().filter(|record| record.offset < end(record.partition)) {
            verifier.take(record.topic, record.partition, record.offset, &record.key, &record.value);
        }
        patience.heard(records.len(), topic.name)?;
    }
    Ok(())
}

/// The registries that the topic still has: compaction takes entries that were overwritten, and seals but for the last.
fn registries(connection: &Connection) -> Result<Terms, LogError> {
    let topic = processors::topic(&REGISTRY);
    let mut reader = KafkaReader::open(connection, "verify", &[topic], &BTreeMap::new())?;
    let (mut fold, mut patience, mut terms) = (Fold::default(), Patience::new(), Terms::new());
    while !reader.caught_up() {
        let records = reader.next(&Limits::default(), STEP)?;
        for record in &records {
            let value = (!record.value.is_empty()).then_some(&*record.value);
            // What does not fold is missed by the seals after it, whose registry is not known then.
            let Ok(Folded::Seal) = fold.apply(&record.key, value) else { continue };
            let Some(seal) = fold.seal() else { continue };
            if terms.is_empty() && seal.version > 1 {
                terms.push((Timestamp::MIN, None));
            }
            // Keys let requests in, and nothing follows from them.
            terms.push((seal.at, fold.registry(Secrets::Leave).ok()));
        }
        patience.heard(records.len(), REGISTRY.name)?;
    }
    let kept = terms.len().saturating_sub(REGISTRIES_MAX);
    terms[..kept].iter_mut().for_each(|(_, registry)| *registry = None);
    Ok(terms)
}
