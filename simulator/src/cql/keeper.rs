//! A process that keeps claims: reads the log behind the edges, and makes good what is missing.
//!
//! In production a keeper has the partitions that its group gives it, and one that is thought dead may go on with them.
//! Here each has all of them, so that two are always at the same records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemas::topics::CONVERSIONS;
use store::cql::{ClaimKeeper, CqlError, KeptStats};
use streams::Record;
use streams::sim::{Cluster, Process};
use tokio::task::JoinHandle;

use super::server::Server;
use super::table::SimTable;
use crate::tasks::{TURNS_MAX, Tasks};

/// Records that it makes good at once.
const RECORDS_MAX: usize = 10;
/// Production's time of a claim.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(900);
/// Between a batch that is given back and its next try.
const PAUSE: Duration = Duration::from_secs(1);

/// A place for a process that keeps claims.
#[derive(Debug, Default)]
pub(crate) struct KeeperPlace {
    pub(crate) process: Option<KeeperProcess>,
    /// When it starts, if there is none.
    pub(crate) starts_at: Duration,
}

/// A batch under way: the work, and where each partition is read on after it.
type Batch = (JoinHandle<Result<(), CqlError>>, BTreeMap<u32, u64>);

/// A process that keeps claims.
#[derive(Debug)]
pub(crate) struct KeeperProcess {
    pub(crate) process: Process,
    keeper: ClaimKeeper<SimTable>,
    tasks: Tasks,
    /// Where each partition is read on.
    next: BTreeMap<u32, u64>,
    batch: Option<Batch>,
    /// When it begins a batch again.
    again_at: Duration,
}

impl KeeperProcess {
    /// Starts one, which goes on where it is written down that keepers are.
    pub(crate) fn start(cluster: &Cluster, server: &Server, client: usize, kept: &BTreeMap<u32, u64>) -> KeeperProcess {
        let process = cluster.process(&format!("keeper{client}"));
        let keeper = ClaimKeeper::over(SimTable::new(server, client, CLAIM_TIMEOUT), Arc::new(process.clock()));
        let (tasks, next) = (Tasks::new(cluster), kept.clone());
        KeeperProcess { process, keeper, tasks, next, batch: None, again_at: cluster.now() }
    }

    /// What it has done.
    pub(crate) fn stats(&self) -> KeptStats {
        self.keeper.stats()
    }

    /// Whether it has made good everything that is in the log.
    pub(crate) fn is_done(&self, cluster: &Cluster, partitions: u32) -> bool {
        self.batch.is_none() && read(cluster, partitions, &self.next).0.is_empty()
    }

    /// Goes on; where it is, if it has come further.
    pub(crate) fn go_on(&mut self, cluster: &Cluster, partitions: u32) -> Option<BTreeMap<u32, u64>> {
        let now = cluster.now();
        if self.batch.is_none() && now >= self.again_at {
            let (records, next) = read(cluster, partitions, &self.next);
            if !records.is_empty() {
                let keeper = self.keeper.clone();
                let work = self.tasks.spawn(async move { keeper.keep(&records).await });
                self.batch = Some((work, next));
            }
        }
        self.tasks.go_on(now, TURNS_MAX);
        let (work, next) = self.batch.take_if(|(work, _)| work.is_finished())?;
        match self.tasks.ended(work) {
            Ok(()) => {
                self.next = next;
                Some(self.next.clone())
            }
            Err(_) => {
                self.again_at = now + PAUSE;
                None
            }
        }
    }
}

/// The next records from there on, and where to go on after them.
fn read(cluster: &Cluster, partitions: u32, from: &BTreeMap<u32, u64>) -> (Vec<Record>, BTreeMap<u32, u64>) {
    let (mut records, mut next) = (Vec::new(), from.clone());
    for partition in 0..partitions {
        let begin = from.get(&partition).copied().unwrap_or(0);
        cluster.read(CONVERSIONS.name, partition, begin, &mut |offset, key, value| {
            if records.len() < RECORDS_MAX {
                let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value.unwrap_or_default()));
                records.push(Record { topic: CONVERSIONS.number, partition, offset, key, value });
                next.insert(partition, offset + 1);
            }
        });
    }
    (records, next)
}
