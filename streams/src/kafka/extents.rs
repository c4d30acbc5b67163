//! Where partitions begin and end, and how far groups are, for whoever reads all of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::Connection;
use super::errors::{PAUSE, ask, timed_out};
use super::reader::{bounds, consumer, partitions};
use super::watch::{Watch, Watched};
use crate::log::{LogError, Topic};

/// They would pile up while nobody asks for them.
const QUIET: (&str, &str) = ("statistics.interval.ms", "0");

/// A partition: the topic's number, and its own.
type Partition = (u16, u32);

/// A part of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first offset that is left.
    pub first: u64,
    /// The offset after the last.
    pub end: u64,
}

/// Asks the brokers; a member of no group.
pub struct Extents {
    connection: Connection,
    /// Sees what is committed.
    committed: BaseConsumer<Watched>,
    /// Sees what is open too.
    all: BaseConsumer<Watched>,
}

impl Extents {
    /// Makes the clients, which connect by themselves.
    ///
    /// # Errors
    /// [`LogError::Kafka`] if librdkafka does not take the settings.
    pub fn open(connection: &Connection, client_id: &str) -> Result<Extents, LogError> {
        let make =
            |settings: &[(&str, &str)]| consumer(connection, client_id, &Arc::new(Watch::idle(client_id)), settings);
        Ok(Extents {
            connection: connection.clone(),
            committed: make(&[QUIET])?,
            all: make(&[QUIET, ("isolation.level", "read_uncommitted")])?,
        })
    }

    /// The offsets that a group has committed of these topics, transactions over them having been decided; 0 of a
    /// partition that it has committed none of.
    ///
    /// # Errors
    /// [`LogError::Kafka`] if a topic is not there, or the brokers do not answer within `wait`.
    pub fn group(&self, group: &str, topics: &[Topic], wait: Duration) -> Result<BTreeMap<Partition, u64>, LogError> {
        let deadline = Instant::now() + wait;
        // It is never joined: the name is whose offsets are asked for.
        let member = consumer(&self.connection, group, &Arc::new(Watch::idle(group)), &[QUIET])?;
        let mut asked = TopicPartitionList::new();
        for topic in topics {
            let name = self.connection.topic(*topic);
            for partition in 0..partitions(&self.committed, &name, deadline)? {
                asked.add_partition(&name, partition.cast_signed());
            }
        }
        let context = || format!("asking how far the group {} is", self.connection.name(group));
        let answer = ask(context, deadline, |wait| {
            let answer = member.committed_offsets(asked.clone(), wait)?;
            let refused = answer.elements().iter().find_map(|element| element.error().err());
            refused.map_or(Ok(answer), Err)
        })?;
        let mut committed = BTreeMap::new();
        for element in answer.elements() {
            let topic = topics.iter().find(|topic| self.connection.topic(**topic) == element.topic());
            let offset = match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
                _ => 0,
            };
            committed.extend(topic.map(|topic| ((topic.id, element.partition().cast_unsigned()), offset)));
        }
        Ok(committed)
    }

    /// Where the partitions of these topics begin, and where they end now, once no transaction is open before that end.
    ///
    /// # Errors
    /// As [`Extents::group`]; also if a transaction is still open after `wait`.
    pub fn settled(&self, topics: &[Topic], wait: Duration) -> Result<BTreeMap<Partition, Extent>, LogError> {
        let deadline = Instant::now() + wait;
        let mut extents = BTreeMap::new();
        for topic in topics {
            let name = self.connection.topic(*topic);
            for partition in 0..partitions(&self.committed, &name, deadline)? {
                let (first, end) = bounds(&self.all, &name, partition, deadline)?;
                extents.insert((topic.id, partition), Extent { first, end });
            }
        }
        for ((topic, partition), extent) in &extents {
            let name = topics.iter().find(|it| it.id == *topic).map(|it| self.connection.topic(*it));
            let name = name.unwrap_or_default();
            while bounds(&self.committed, &name, *partition, deadline)?.1 < extent.end {
                if Instant::now() >= deadline {
                    return Err(timed_out(format!("waiting for the end of a transaction over {name}/{partition}")));
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(extents)
    }
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extents").field("connection", &self.connection).finish_non_exhaustive()
    }
}
