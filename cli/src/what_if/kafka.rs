//! The rows of `orders` on Kafka: its changelog, of which compaction keeps the last of each.

use std::collections::BTreeMap;
use std::time::Duration;

use processors::what_if::WhatIf;
use schemas::topics::ORDERS_CHANGELOG;
use streams::LogError;
use streams::kafka::{Extents, KafkaReader};
use streams::log::Limits;

use crate::error::CliError;
use crate::patience::{Patience, STEP};
use crate::settings::{ConfigArg, Settings};
use crate::topics;

/// How long the brokers may take to answer, and a transaction to end.
const WAIT: Duration = Duration::from_secs(120);

/// Shows it every row that is committed by now.
pub(super) fn read(config: &ConfigArg, what_if: &mut WhatIf) -> Result<(), CliError> {
    let failed = |error: LogError| CliError::Failed(format!("Kafka: {error}"));
    let settings = Settings::load(config)?;
    let connection = settings.connection()?;
    topics::reach(&connection, &settings)?;
    let topic = processors::topic(&ORDERS_CHANGELOG);
    let ends = Extents::open(&connection, "what-if").and_then(|it| it.settled(&[topic], WAIT)).map_err(failed)?;
    let end = |partition: u32| ends.get(&(topic.id, partition)).map_or(0, |extent| extent.end);
    let mut reader = KafkaReader::open(&connection, "what-if", &[topic], &BTreeMap::new()).map_err(failed)?;
    let mut patience = Patience::new();
    while reader.positions().iter().any(|((_, partition), position)| *position < end(*partition)) {
        let records = reader.next(&Limits::default(), STEP).map_err(failed)?;
        for record in records.iter().filter(|record| record.offset < end(record.partition)) {
            let value = (!record.value.is_empty()).then_some(&*record.value);
            what_if.take(&record.key, value).map_err(|error| {
                CliError::Failed(format!("{}/{} at {}: {error}", topic.name, record.partition, record.offset))
            })?;
        }
        patience.heard(records.len(), topic.name).map_err(failed)?;
    }
    Ok(())
}
