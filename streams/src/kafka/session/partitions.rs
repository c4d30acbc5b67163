//! The partitions of a worker, and how far each is read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rdkafka::message::Message;

use crate::kafka::client::Place;
use crate::log::{Record, Step, Topic};

/// The partitions assigned, each with the topics that are read.
#[derive(Debug)]
pub(super) struct Partitions {
    /// Each with its name in the cluster.
    inputs: Vec<(Topic, String)>,
    assigned: BTreeMap<u32, Assigned>,
}

/// A partition that is this worker's.
#[derive(Debug, Default)]
struct Assigned {
    /// Where each topic's reading goes on, by the topic's number; empty until the committed offsets are known.
    positions: BTreeMap<u16, u64>,
    /// What the client told of each topic as it was assigned, which it may have from an assignment before.
    stale: BTreeMap<u16, u64>,
    /// Whether a position was moved since the last commit by what is no record.
    passed: bool,
    /// Whether it is restored.
    ready: bool,
    /// Records taken since the last commit.
    taken: u64,
}

/// The committed offset of each topic of a partition, by the topic's number; `None` for one that was never consumed.
pub(super) type Committed = BTreeMap<u16, Option<u64>>;

impl Partitions {
    pub(super) fn new(inputs: Vec<(Topic, String)>) -> Partitions {
        Partitions { inputs, assigned: BTreeMap::new() }
    }

    /// The names of the topics read.
    pub(super) fn topics(&self) -> Vec<&str> {
        self.inputs.iter().map(|(_, name)| name.as_str()).collect()
    }

    /// Takes partitions on, of which nothing is known yet. All topics have as many, and equal numbers come together.
    pub(super) fn assign(&mut self, partitions: &[(String, i32)]) -> Vec<u32> {
        let numbers: BTreeSet<u32> = partitions.iter().filter_map(|(_, number)| u32::try_from(*number).ok()).collect();
        self.assigned = numbers.iter().map(|number| (*number, Assigned::default())).collect();
        numbers.into_iter().collect()
    }

    /// Gives all up.
    pub(super) fn revoke(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.assigned).into_keys().collect()
    }

    /// Forgets how far each is read: what is committed is asked for again.
    pub(super) fn forget(&mut self) {
        self.assigned.values_mut().for_each(|assigned| *assigned = Assigned::default());
    }

    pub(super) fn is_assigned(&self, partition: u32) -> bool {
        self.assigned.contains_key(&partition)
    }

    /// Whether it is known where reading goes on.
    pub(super) fn is_located(&self, partition: u32) -> bool {
        self.assigned.get(&partition).is_some_and(|assigned| !assigned.positions.is_empty())
    }

    pub(super) fn all_ready(&self) -> bool {
        self.assigned.values().all(|assigned| assigned.ready)
    }

    /// The topics of a partition, for asking for their committed offsets.
    pub(super) fn to_ask(&self, partition: u32) -> Vec<Place<'_>> {
        self.inputs.iter().map(|(_, topic)| Place { topic, partition, offset: 0 }).collect()
    }

    /// What the answer to [`Partitions::to_ask`] says.
    pub(super) fn read_answer(&self, answer: &[Option<u64>]) -> Committed {
        self.inputs.iter().zip(answer).map(|((topic, _), offset)| (topic.id, *offset)).collect()
    }

    /// The name of a topic read.
    pub(super) fn name(&self, topic: u16) -> Option<&str> {
        self.inputs.iter().find(|(input, _)| input.id == topic).map(|(_, name)| name.as_str())
    }

    /// Takes note of where each topic of a partition goes on.
    pub(super) fn locate(&mut self, partition: u32, positions: BTreeMap<u16, u64>) {
        if let Some(assigned) = self.assigned.get_mut(&partition) {
            assigned.positions = positions;
        }
    }

    pub(super) fn set_ready(&mut self, partition: u32) {
        if let Some(assigned) = self.assigned.get_mut(&partition) {
            assigned.ready = true;
        }
    }

    /// Takes a record, if its partition is being processed; returns it with its size.
    pub(super) fn take(&mut self, record: &impl Message) -> Option<(Record, usize)> {
        let partition = u32::try_from(record.partition()).ok()?;
        let offset = u64::try_from(record.offset()).ok()?;
        let (topic, _) = self.inputs.iter().find(|(_, name)| name == record.topic())?;
        let assigned = self.assigned.get_mut(&partition).filter(|assigned| assigned.ready)?;
        let position = assigned.positions.get_mut(&topic.id)?;
        // What was fetched before the partition was assigned anew is not taken for what comes now.
        if offset < *position {
            return None;
        }
        *position = offset + 1;
        assigned.stale.remove(&topic.id);
        assigned.taken += 1;
        let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
        let (key, value) = (copy(record.key()), copy(record.payload()));
        let bytes = key.len() + value.len();
        Some((Record { topic: topic.id, partition, offset, key, value }, bytes))
    }

    /// Where everything that is restored goes on.
    pub(super) fn ready_positions(&self) -> Vec<Place<'_>> {
        let ready = self.assigned.iter().filter(|(_, assigned)| assigned.ready);
        ready.flat_map(|(partition, assigned)| self.places(*partition, assigned)).collect()
    }

    /// The partitions and topics of [`Partitions::ready_positions`].
    fn ready(&self) -> Vec<(u32, u16)> {
        let ready = self.assigned.iter().filter(|(_, assigned)| assigned.ready);
        let topics = |assigned: &Assigned| {
            let has = |(topic, _): &(Topic, String)| assigned.positions.contains_key(&topic.id).then_some(topic.id);
            self.inputs.iter().filter_map(has).collect::<Vec<_>>()
        };
        ready.flat_map(|(number, assigned)| topics(assigned).into_iter().map(|topic| (*number, topic))).collect()
    }

    /// The client was just told to go on at [`Partitions::ready_positions`], and tells this of each: what it has from an
    /// assignment before may be ahead of that.
    pub(super) fn restart(&mut self, told: &[Option<u64>]) {
        for ((number, topic), told) in self.ready().into_iter().zip(told) {
            let Some(assigned) = self.assigned.get_mut(&number) else { continue };
            assigned.stale.remove(&topic);
            assigned.stale.extend(told.map(|offset| (topic, offset)));
        }
    }

    /// Goes on over what is no record, by how far the client has read of each of [`Partitions::ready_positions`].
    pub(super) fn pass(&mut self, told: &[Option<u64>]) {
        for ((number, topic), told) in self.ready().into_iter().zip(told) {
            let Some(assigned) = self.assigned.get_mut(&number) else { continue };
            if told.is_some() && assigned.stale.get(&topic) == told.as_ref() {
                continue;
            }
            // It has forgotten the assignment before, or has read something of this one.
            assigned.stale.remove(&topic);
            let position = assigned.positions.get_mut(&topic);
            if let (Some(position), Some(offset)) = (position, told)
                && *offset > *position
            {
                *position = *offset;
                assigned.passed = true;
            }
        }
    }

    /// Whether positions were moved by what is no record, and are not committed.
    pub(super) fn has_passed(&self) -> bool {
        self.assigned.values().any(|assigned| assigned.passed)
    }

    /// The offsets that a step commits. A step that consumed nothing commits those of the partitions that it changes
    /// once more, since it is by them that the broker knows one who was given up.
    pub(super) fn offsets(&self, step: &Step) -> Vec<Place<'_>> {
        let mut offsets = Vec::new();
        for (partition, assigned) in &self.assigned {
            let changed = step.changes.iter().any(|(number, changes)| number == partition && !changes.is_empty());
            if assigned.taken > 0 || assigned.passed || changed {
                offsets.extend(self.places(*partition, assigned));
            }
        }
        offsets
    }

    fn places(&self, partition: u32, of: &Assigned) -> impl Iterator<Item = Place<'_>> {
        self.inputs.iter().filter_map(move |(topic, name)| {
            let offset = *of.positions.get(&topic.id)?;
            Some(Place { topic: name, partition, offset })
        })
    }

    /// How many records were taken since the last commit; from now on it counts anew.
    pub(super) fn commit(&mut self) -> u64 {
        self.assigned.values_mut().for_each(|assigned| assigned.passed = false);
        self.assigned.values_mut().map(|assigned| std::mem::take(&mut assigned.taken)).sum()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    const A: Topic = Topic { id: 1, name: "a" };

    /// A partition whose reading has just begun at 1, with this told by the client.
    fn begun(told: Option<u64>) -> Partitions {
        let mut partitions = Partitions::new(vec![(A, "x-a".to_owned())]);
        partitions.assign(&[("x-a".to_owned(), 0)]);
        partitions.locate(0, BTreeMap::from([(A.id, 1)]));
        partitions.pass(&[Some(9)]);
        partitions.set_ready(0);
        partitions.restart(&[told]);
        partitions
    }

    fn record(offset: i64) -> OwnedMessage {
        OwnedMessage::new(None, None, "x-a".to_owned(), Timestamp::NotAvailable, 0, offset, None)
    }

    fn offsets(partitions: &Partitions) -> Vec<u64> {
        partitions.offsets(&Step::default()).iter().map(|place| place.offset).collect()
    }

    #[test]
    fn what_is_no_record_is_committed_once() {
        let mut partitions = begun(None);
        for (told, expected) in [(None, vec![]), (Some(1), vec![]), (Some(2), vec![2])] {
            partitions.pass(&[told]);
            assert_eq!(offsets(&partitions), expected, "{told:?}");
        }
        assert_eq!((partitions.has_passed(), partitions.commit(), partitions.has_passed()), (true, 0, false));
        partitions.pass(&[Some(2)]);
        assert_eq!(offsets(&partitions), <[u64; 0]>::default());
        // A step that comes first takes it along.
        assert!(partitions.take(&record(2)).is_some());
        partitions.pass(&[Some(4)]);
        assert_eq!((offsets(&partitions), partitions.commit(), partitions.has_passed()), (vec![4], 1, false));
        partitions.forget();
        partitions.pass(&[Some(9)]);
        assert_eq!((offsets(&partitions), partitions.has_passed()), (vec![], false));
    }

    /// The client may be slow to forget how far it was, which may be further than what is committed.
    #[test]
    fn a_position_of_the_assignment_before_is_not_passed() {
        let mut partitions = begun(Some(9));
        partitions.pass(&[Some(9)]);
        assert_eq!(offsets(&partitions), <[u64; 0]>::default());
        // Once it has forgotten, or has handed over something of this one, it may be as far as before.
        partitions.pass(&[None]);
        partitions.pass(&[Some(9)]);
        assert_eq!(offsets(&partitions), [9]);
        let mut partitions = begun(Some(9));
        assert!(partitions.take(&record(1)).is_some());
        partitions.pass(&[Some(9)]);
        assert_eq!(offsets(&partitions), [9]);
    }
}
