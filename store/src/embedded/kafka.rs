//! A store fed from Kafka.

use std::time::{Duration, Instant};

use streams::kafka::{Connection, KafkaReader, RecordReader};
use streams::log::Limits;
use streams::{LogError, Record, Topic, background};

use super::feed::CONVERSIONS_TOPIC;
use super::source::{Feed, Positions, Reports, Source};
use crate::claims::ConversionClaim;

/// How long reading one report may take. The edge waits less long; its answer is then that the read model is away.
const READ_WAIT: Duration = Duration::from_secs(2);

/// The topics of a cluster.
#[derive(Debug)]
pub struct KafkaFeed {
    connection: Connection,
    identity: String,
}

impl KafkaFeed {
    /// The topics that a connection reaches, and what [`Connection::reach`] says of it.
    ///
    /// Every step of the feeder has a cost besides that of its records, and a client that is answered for each of them has
    /// one step for each: so its records come some milliseconds later and together.
    #[must_use]
    pub fn new(connection: &Connection, identity: String) -> KafkaFeed {
        KafkaFeed { connection: connection.unhurried(), identity }
    }
}

impl Feed for KafkaFeed {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn open(&self, topics: &[Topic], from: &Positions) -> Result<Box<dyn Source>, LogError> {
        let reader = background::open(|| KafkaReader::open(&self.connection, "read-model", topics, from));
        Ok(Box::new(reader?))
    }
}

impl Source for KafkaReader {
    fn next(&mut self, limits: &Limits, wait: Duration) -> Result<Vec<Record>, LogError> {
        KafkaReader::next(self, limits, wait)
    }

    fn positions(&self) -> Positions {
        KafkaReader::positions(self)
    }

    fn caught_up(&self) -> bool {
        KafkaReader::caught_up(self)
    }

    fn lag(&self) -> u64 {
        KafkaReader::lag(self)
    }
}

impl Reports for RecordReader {
    fn blocks(&self) -> bool {
        true
    }

    fn read(&self, claim: &ConversionClaim) -> Result<Option<Record>, LogError> {
        RecordReader::read(self, CONVERSIONS_TOPIC, claim.partition, claim.offset, Instant::now() + READ_WAIT)
    }
}
