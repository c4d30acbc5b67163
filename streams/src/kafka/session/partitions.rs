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

    /// The offsets that a step commits. A step that consumed nothing commits those of the partitions that it changes
    /// once more, since it is by them that the broker knows one who was given up.
    pub(super) fn offsets(&self, step: &Step) -> Vec<Place<'_>> {
        let mut offsets = Vec::new();
        for (partition, assigned) in &self.assigned {
            let changed = step.changes.iter().any(|(number, changes)| number == partition && !changes.is_empty());
            if assigned.taken > 0 || changed {
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
        self.assigned.values_mut().map(|assigned| std::mem::take(&mut assigned.taken)).sum()
    }
}
