//! Where a member is in the partitions that are its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Positions;
use crate::kafka::KafkaStats;
use crate::kafka::client::Place;
use crate::log::Record;

type Partition = (u16, u32);

/// What is known of each.
#[derive(Debug)]
pub(super) struct Places {
    /// The topics' names in the cluster, with their numbers.
    topics: Vec<(String, u16)>,
    /// Whether the group has said which partitions there are, none perhaps.
    assigned: bool,
    places: BTreeMap<Partition, Standing>,
}

/// How far a partition is.
#[derive(Clone, Copy, Debug)]
enum Standing {
    /// It is not known where it goes on.
    Assigned,
    /// It is to go on here, if the log has that.
    Asked(u64),
    /// It is read.
    Located(Located),
}

#[derive(Clone, Copy, Debug)]
struct Located {
    /// The next offset.
    next: u64,
    /// The one that was handed out last.
    told: u64,
    /// The last stable one when it was located.
    end: u64,
    /// The client's position as the reading began, which it may go on to tell until it has read something.
    stale: Option<u64>,
}

impl Places {
    pub(super) fn new(topics: Vec<(String, u16)>) -> Places {
        Places { topics, assigned: false, places: BTreeMap::new() }
    }

    /// The names of the topics.
    pub(super) fn topics(&self) -> Vec<&str> {
        self.topics.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The name of a partition's topic.
    pub(super) fn name(&self, (topic, _): Partition) -> &str {
        let found = self.topics.iter().find(|(_, id)| *id == topic);
        found.map(|(name, _)| name.as_str()).expect("only partitions of these topics are here")
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<Partition> {
        let (_, id) = self.topics.iter().find(|(name, _)| name == topic)?;
        Some((*id, u32::try_from(partition).ok()?))
    }

    /// Takes partitions on, and none but these.
    pub(super) fn assign(&mut self, partitions: &[(String, i32)]) -> Vec<Partition> {
        let known = partitions.iter().filter_map(|(topic, number)| self.partition(topic, *number));
        self.places = known.map(|partition| (partition, Standing::Assigned)).collect();
        self.assigned = true;
        self.places.keys().copied().collect()
    }

    /// Gives all up.
    pub(super) fn revoke(&mut self) -> Vec<Partition> {
        self.assigned = false;
        std::mem::take(&mut self.places).into_keys().collect()
    }

    /// Takes note of where those go on of which that is not known.
    pub(super) fn begin(&mut self, from: &Positions) {
        for (partition, standing) in &mut self.places {
            if let Standing::Assigned = standing {
                *standing = Standing::Asked(from.get(partition).copied().unwrap_or(0));
            }
        }
    }

    /// A partition of which it is not known whether the log has what was asked for.
    pub(super) fn to_locate(&self) -> Option<(Partition, u64)> {
        self.places.iter().find_map(|(partition, standing)| match standing {
            Standing::Asked(asked) => Some((*partition, *asked)),
            Standing::Assigned | Standing::Located(_) => None,
        })
    }

    /// Takes note of where a partition goes on, and where it ends so far.
    pub(super) fn locate(&mut self, partition: Partition, position: u64, end: u64) {
        let located = Located { next: position, told: position, end, stale: None };
        self.places.insert(partition, Standing::Located(located));
    }

    fn each_located(&self) -> impl Iterator<Item = (Partition, Located)> + Clone {
        self.places.iter().filter_map(|(partition, standing)| match standing {
            Standing::Located(located) => Some((*partition, *located)),
            Standing::Assigned | Standing::Asked(_) => None,
        })
    }

    /// Where everything that is located goes on.
    pub(super) fn located(&self) -> Vec<Place<'_>> {
        self.positions().map(|(topic, partition, offset)| Place { topic, partition, offset }).collect()
    }

    /// The same, as topic, partition and position.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&str, u32, u64)> + Clone {
        self.each_located().map(|(partition, located)| (self.name(partition), partition.1, located.next))
    }

    /// Whether all that were assigned are located, and were handed out to where they ended then.
    pub(super) fn caught_up(&self) -> bool {
        let is_behind = |standing: &Standing| match standing {
            Standing::Located(located) => located.next < located.end,
            Standing::Assigned | Standing::Asked(_) => true,
        };
        self.assigned && !self.places.values().any(is_behind)
    }

    /// Takes a record of a partition that is read.
    pub(super) fn take(&mut self, message: &impl Message) -> Option<Record> {
        let partition = self.partition(message.topic(), message.partition())?;
        let offset = u64::try_from(message.offset()).ok()?;
        let Some(Standing::Located(located)) = self.places.get_mut(&partition) else { return None };
        // What was fetched before the partition was assigned anew is not taken for what comes now.
        if offset < located.next {
            return None;
        }
        (located.next, located.stale) = (offset + 1, None);
        let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
        let (key, value) = (copy(message.key()), copy(message.payload()));
        Some(Record { topic: partition.0, partition: partition.1, offset, key, value })
    }

    /// The client has been told to read from here on, and these are its positions until it does: those of an assignment
    /// before, which may be ahead of what is asked for now.
    pub(super) fn restart(&mut self, client: &TopicPartitionList) {
        for (partition, offset) in self.told_by(client) {
            if let Some(Standing::Located(located)) = self.places.get_mut(&partition) {
                located.stale = Some(offset);
            }
        }
    }

    /// Takes over the client's positions, which control records move too.
    pub(super) fn advance(&mut self, client: &TopicPartitionList) {
        for (partition, offset) in self.told_by(client) {
            let Some(Standing::Located(located)) = self.places.get_mut(&partition) else { continue };
            if located.stale != Some(offset) {
                located.stale = None;
                located.next = located.next.max(offset);
            }
        }
    }

    fn told_by(&self, client: &TopicPartitionList) -> Vec<(Partition, u64)> {
        let elements = client.elements();
        let told = elements.iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => {
                Some((self.partition(element.topic(), element.partition())?, u64::try_from(offset).ok()?))
            }
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
        });
        told.collect()
    }

    /// The positions that moved since they were asked for.
    pub(super) fn moved(&mut self) -> Positions {
        let mut moved = Positions::new();
        for (partition, standing) in &mut self.places {
            if let Standing::Located(located) = standing
                && located.next != located.told
            {
                located.told = located.next;
                moved.insert(*partition, located.next);
            }
        }
        moved
    }

    /// Offsets that could be read and have not been, by the client's statistics.
    pub(super) fn lag(&self, stats: &KafkaStats) -> u64 {
        let lags = self.each_located().map(|(partition, Located { next, end, .. })| {
            let place = (self.name(partition).to_owned(), partition.1);
            let stable = stats.partitions.get(&place).and_then(|seen| seen.stable);
            stable.map_or(end, |stable| stable.max(end)).saturating_sub(next)
        });
        lags.sum()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn client(position: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("a", 0, position).expect("a position");
        list
    }

    fn record(offset: i64) -> OwnedMessage {
        OwnedMessage::new(None, None, "a".to_owned(), Timestamp::NotAvailable, 0, offset, None)
    }

    /// The client is slow to forget how far it was, and a partition may come back to where it was before that.
    #[test]
    fn a_position_of_the_assignment_before_is_not_taken() {
        let mut places = Places::new(vec![("a".to_owned(), 1)]);
        places.assign(&[("a".to_owned(), 0)]);
        places.begin(&Positions::from([((1, 0), 1)]));
        assert_eq!(places.to_locate(), Some(((1, 0), 1)));
        places.locate((1, 0), 1, 9);
        places.restart(&client(Offset::Offset(9)));
        for told in [Offset::Offset(9), Offset::Invalid] {
            places.advance(&client(told));
            assert_eq!(places.moved(), Positions::new(), "{told:?}");
        }
        assert!(places.take(&record(0)).is_none() && places.take(&record(1)).is_some());
        places.advance(&client(Offset::Offset(2)));
        assert_eq!((places.moved(), places.caught_up()), (Positions::from([((1, 0), 2)]), false));
        // Behind what it has read, a marker moves it too, also to where it was once.
        places.advance(&client(Offset::Offset(9)));
        assert_eq!((places.moved(), places.caught_up()), (Positions::from([((1, 0), 9)]), true));
    }
}
