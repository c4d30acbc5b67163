//! Where attempts come from: the end of the topic, as it grows.
//!
//! What was written before is not read: whose outcome is missing is written again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemas::topics::WEBHOOK_ATTEMPTS;
use streams::LogError;
use streams::embedded::EmbeddedLog;
use streams::kafka::{Connection, Extents, GroupOptions, GroupReader, Overtaken, Positions, Turn};
use streams::log::Limits;

use crate::sender::Sender;

/// The group whose members share the partitions on Kafka.
const GROUP: &str = "webhook-sender";
/// How long one read waits: a stop is heard of between two.
const STEP: Duration = Duration::from_millis(100);
/// How long the brokers may take to say where partitions end, before the group is listened to.
const ASK_WAIT: Duration = Duration::from_secs(2);
/// How much is read at once.
const LIMITS: Limits = Limits { records_max: 500, bytes_max: 4 << 20 };

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the webhooks to be sent cannot be read: {0}")]
pub struct SourceError(#[from] LogError);

/// Hands the attempts of an embedded log, from this position on, to a sender until `stop` is set or the log is closed.
///
/// # Errors
/// The log failed.
pub fn run_embedded(log: &EmbeddedLog, from: u64, sender: &Sender, stop: &AtomicBool) -> Result<(), SourceError> {
    let topic = processors::topic(&WEBHOOK_ATTEMPTS);
    let mut reader = log.reader(&[topic], Some(from));
    while !stop.load(Ordering::Acquire) {
        match reader.next(&LIMITS, STEP) {
            Ok(records) => sender.take(&records),
            // Dropped before it was read, so it is long too late for it.
            Err(LogError::Gone { .. }) => reader = log.reader(&[topic], Some(log.durable())),
            Err(LogError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Hands the attempts of this member's partitions on Kafka to a sender until `stop` is set. `reads` says whether it knows
/// which partitions it has and where they end.
///
/// # Errors
/// Kafka, or its client, failed with what waiting does not cure.
pub fn run_kafka(
    connection: &Connection,
    sender: &Sender,
    reads: &AtomicBool,
    stop: &AtomicBool,
) -> Result<(), SourceError> {
    let topic = processors::topic(&WEBHOOK_ATTEMPTS);
    let options = GroupOptions { overtaken: Overtaken::GoOn, ..GroupOptions::default() };
    let mut reader = GroupReader::open(connection, GROUP, &[topic], options)?;
    let extents = Extents::open(connection, GROUP)?;
    let mut unlocated = false;
    while !stop.load(Ordering::Acquire) {
        if unlocated {
            match extents.settled(&[topic], ASK_WAIT) {
                Ok(extents) => {
                    let ends: Positions = extents.iter().map(|(partition, extent)| (*partition, extent.end)).collect();
                    reader.begin(&ends);
                    unlocated = false;
                    reads.store(true, Ordering::Release);
                }
                Err(error) => tracing::warn!("webhooks wait for the brokers: {error}"),
            }
        }
        let turn = if unlocated { reader.hold(STEP)? } else { reader.next(&LIMITS, STEP)? };
        match turn {
            Turn::Assigned(_) => unlocated = true,
            Turn::Revoked(_) => reads.store(false, Ordering::Release),
            Turn::Batch(batch) => sender.take(&batch.records),
            Turn::Nothing => {}
        }
    }
    Ok(())
}
