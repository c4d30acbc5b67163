//! A log with partitions, in memory, that several edges read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use schemas::AvroRecord;
use schemas::topics::{CONVERSIONS, TRANSITIONS, TopicSpec};
use store::ConversionClaim;
use store::embedded::{EmbeddedStore, Feed, Feeder, Loss, OpenError, Positions, Reports, Source};
use streams::log::Limits;
use streams::store::StateFolder;
use streams::{Clock, LogError, Record, Topic};

use super::World;

pub(crate) const PARTITIONS: u32 = 3;

/// One partition. Every record is followed by a marker, which takes an offset and is never handed out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partition {
    first: u64,
    end: u64,
    records: Vec<Record>,
}

/// Handles of the same log.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) identity: String,
    pub(crate) partitions: Arc<Mutex<BTreeMap<(u16, u32), Partition>>>,
    /// Where sources begin in the round of partitions: by it edges see other orders between partitions.
    pub(crate) turn: usize,
    /// Reports that are being read, and the most that were at once.
    pub(crate) reading: Arc<(AtomicUsize, AtomicUsize)>,
    /// Threads on which reports were read.
    pub(crate) readers: Arc<Mutex<Vec<ThreadId>>>,
}

impl Cluster {
    pub(crate) fn new() -> Cluster {
        let cluster = Cluster {
            identity: "cluster-1/test.".to_owned(),
            partitions: Arc::default(),
            turn: 0,
            reading: Arc::default(),
            readers: Arc::default(),
        };
        (0..PARTITIONS).for_each(|partition| cluster.add_partition(partition));
        cluster
    }

    pub(crate) fn add_partition(&self, partition: u32) {
        for topic in [CONVERSIONS, TRANSITIONS] {
            self.partitions.lock().expect("whole").insert((topic.number, partition), Partition::default());
        }
    }

    pub(crate) fn remove_partition(&self, partition: u32) {
        self.partitions.lock().expect("whole").retain(|(_, number), _| *number != partition);
    }

    /// Writes a record to the partition of its order, and returns partition and offset.
    pub(crate) fn write<R: AvroRecord>(&self, spec: TopicSpec, order: &str, record: &R) -> (u32, u64) {
        let partition = u32::from(*order.as_bytes().last().expect("not empty")) % PARTITIONS;
        (partition, self.write_to(spec, partition, record))
    }

    pub(crate) fn write_to<R: AvroRecord>(&self, spec: TopicSpec, partition: u32, record: &R) -> u64 {
        let mut partitions = self.partitions.lock().expect("whole");
        let place = partitions.get_mut(&(spec.number, partition)).expect("there");
        let (offset, value) = (place.end, schemas::encode(record).into());
        place.records.push(Record { topic: spec.number, partition, offset, key: Default::default(), value });
        place.end += 2;
        offset
    }

    /// Drops the first records of a partition.
    pub(crate) fn trim(&self, spec: TopicSpec, partition: u32, first: u64) {
        let mut partitions = self.partitions.lock().expect("whole");
        let place = partitions.get_mut(&(spec.number, partition)).expect("there");
        place.first = first;
        place.records.retain(|record| record.offset >= first);
    }

    pub(crate) fn ends(&self) -> Positions {
        self.partitions.lock().expect("whole").iter().map(|(partition, place)| (*partition, place.end)).collect()
    }
}

impl Feed for Cluster {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn open(&self, topics: &[Topic], from: &Positions) -> Result<Box<dyn Source>, LogError> {
        let mut positions = Positions::new();
        for (partition, place) in &*self.partitions.lock().expect("whole") {
            assert!(topics.iter().any(|topic| topic.id == partition.0), "both topics are asked for");
            let asked = from.get(partition).copied().unwrap_or(place.first);
            if asked < place.first {
                return Err(LogError::Gone { asked, first: place.first });
            }
            if asked > place.end {
                return Err(LogError::Damaged(format!("it ends at {asked}, past the end {}", place.end)));
            }
            positions.insert(*partition, asked);
        }
        Ok(Box::new(Reading { cluster: self.clone(), positions, ends: self.ends(), turn: self.turn }))
    }
}

#[derive(Debug)]
struct Reading {
    cluster: Cluster,
    positions: Positions,
    /// When it was opened.
    ends: Positions,
    turn: usize,
}

impl Source for Reading {
    fn next(&mut self, limits: &Limits, _: Duration) -> Result<Vec<Record>, LogError> {
        let partitions = self.cluster.partitions.lock().expect("whole");
        let mut taken = Vec::new();
        let order: Vec<(u16, u32)> = partitions.keys().copied().collect();
        // A whole partition before the next: the orders between partitions are as different as they can be.
        for round in 0..order.len() {
            let partition = order[(self.turn + round) % order.len()];
            let position = self.positions.get_mut(&partition).expect("assigned");
            let from = *position;
            for record in partitions[&partition].records.iter().filter(|record| record.offset >= from) {
                if taken.len() >= limits.records_max {
                    return Ok(taken);
                }
                *position = record.offset + 1;
                taken.push(record.clone());
            }
            *position = partitions[&partition].end;
        }
        Ok(taken)
    }

    fn positions(&self) -> Positions {
        self.positions.clone()
    }

    fn caught_up(&self) -> bool {
        self.ends.iter().all(|(partition, end)| self.positions[partition] >= *end)
    }

    fn lag(&self) -> u64 {
        self.cluster.ends().iter().map(|(partition, end)| end - self.positions[partition]).sum()
    }
}

impl Reports for Cluster {
    fn blocks(&self) -> bool {
        true
    }

    fn read(&self, claim: &ConversionClaim) -> Result<Option<Record>, LogError> {
        self.readers.lock().expect("whole").push(thread::current().id());
        let (now, most) = &*self.reading;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(5));
        now.fetch_sub(1, Ordering::SeqCst);
        let partitions = self.partitions.lock().expect("whole");
        let place = &partitions[&(CONVERSIONS.number, claim.partition)];
        if claim.offset < place.first {
            return Err(LogError::Gone { asked: claim.offset, first: place.first });
        }
        Ok(place.records.iter().find(|record| record.offset == claim.offset).cloned())
    }
}

/// An edge's process over a cluster.
#[derive(Debug)]
pub(crate) struct EdgeProcess {
    pub(crate) state: StateFolder,
    pub(crate) store: EmbeddedStore,
    pub(crate) feeder: Feeder,
}

impl World {
    pub(crate) fn try_join(&self, cluster: &Cluster, loss: Loss) -> Result<EdgeProcess, OpenError> {
        let state = StateFolder::open(&self.path("state"), 1 << 20).expect("the folder opens");
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (store, feeder) = EmbeddedStore::open_with(&state, cluster, Arc::new(cluster.clone()), clock, loss)?;
        Ok(EdgeProcess { state, store, feeder })
    }

    pub(crate) fn join(&self, cluster: &Cluster) -> EdgeProcess {
        self.try_join(cluster, Loss::Refuse).expect("the store opens")
    }
}
