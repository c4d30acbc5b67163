//! What is passed in reading and is no record: the ends of transactions, and what was aborted.

use rdkafka::error::RDKafkaErrorCode;

use super::{ASK_WAIT, KafkaSession};
use crate::kafka::client::{Clients, Time};
use crate::log::LogError;

impl<C: Clients> KafkaSession<C> {
    /// Goes on to where the client is, unless that was done just now.
    pub(super) fn pass_if_due(&mut self) {
        if self.time.now().saturating_duration_since(self.last_pass) >= self.options.pass_interval {
            self.pass();
        }
    }

    /// Goes on to where the client is, which is after everything that was polled and before everything that was not.
    pub(super) fn pass(&mut self) {
        self.last_pass = self.time.now();
        match self.member.positions(&self.partitions.ready_positions()) {
            Ok(told) => self.partitions.pass(&told),
            Err(error) => tracing::debug!(%error, "nothing is passed"),
        }
    }

    /// Has the client read a partition that is restored, and go on with the others.
    pub(super) fn read_on(&mut self, restored: u32) -> Result<(), LogError> {
        // Of this partition the client may still tell an older position: it is not among those that are passed yet.
        self.pass();
        self.partitions.set_ready(restored);
        self.member.assign(&self.partitions.ready_positions())?;
        let told = self.member.positions(&self.partitions.ready_positions())?;
        self.partitions.restart(&told);
        Ok(())
    }

    /// An error of the client; if it is that a partition begins after what is to be read of it, which one, and what to do.
    /// Nothing tells from the log whether there were records.
    pub(super) fn overtaken(&self, error: LogError) -> LogError {
        let LogError::Kafka { source, .. } = &error else { return error };
        if source.rdkafka_error_code() != Some(RDKafkaErrorCode::AutoOffsetReset) {
            return error;
        }
        for place in self.partitions.ready_positions() {
            let Ok(Some(first)) = self.member.first(place.topic, place.partition, ASK_WAIT) else { continue };
            if first > place.offset {
                return LogError::Damaged(format!(
                    "{}/{} begins at {first}, and the group {} has read it up to {} only: retention has taken what was \
                     between. If these can only have been ends of transactions, since a worker was killed moments after \
                     the last record and all of the topic has expired by now, nothing is lost: set the offset to {first} \
                     with kafka-consumer-groups.sh --reset-offsets, while no processor runs. Otherwise records are lost",
                    place.topic, place.partition, self.identity.group, place.offset
                ));
            }
        }
        error
    }
}
