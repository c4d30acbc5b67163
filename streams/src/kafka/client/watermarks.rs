//! Where a partition begins and ends.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;

use super::number;
use crate::kafka::errors::unknown_yet;

/// The first position of a partition and the one after its last, of what the consumer is allowed to see. May take twice
/// `wait`.
///
/// The client (librdkafka 2.12) answers by the metadata it has: a partition that once had no leader, or was not there, is
/// unknown to it until they expire, a quarter of an hour later. So they are asked for anew.
pub(in crate::kafka) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
    wait: Duration,
) -> KafkaResult<(i64, i64)> {
    match consumer.fetch_watermarks(topic, number(partition), wait) {
        Err(error) if error.rdkafka_error_code().is_some_and(unknown_yet) => {
            consumer.fetch_metadata(Some(topic), wait)?;
            consumer.fetch_watermarks(topic, number(partition), wait)
        }
        answer => answer,
    }
}
