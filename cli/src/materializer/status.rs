//! What the workers tell of themselves, and whether they are ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ingest::Readiness;
use store::cql::{Cql, Health, MaterializerProgress};

use crate::shared_store;

/// How often readiness is brought up to date.
const EVERY: Duration = Duration::from_millis(100);

/// One worker, seen from outside.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) task: &'static str,
    pub(super) number: usize,
    pub(super) progress: Arc<MaterializerProgress>,
}

/// All workers.
#[derive(Clone, Debug)]
pub(super) struct Views(pub(super) Arc<[View]>);

/// Keeps readiness up to date for as long as the process runs.
pub(super) async fn keep(readiness: Readiness, views: Views, cql: Cql) {
    loop {
        readiness.waiting_for(views.reasons(&cql));
        tokio::time::sleep(EVERY).await;
    }
}

impl Views {
    /// What is waited for, a sentence a task, and one about the store.
    pub(super) fn reasons(&self, cql: &Cql) -> Vec<String> {
        reasons(&self.0, &cql.health())
    }
}

fn reasons(views: &[View], health: &Health) -> Vec<String> {
    let mut by_task: BTreeMap<&str, Standing> = BTreeMap::new();
    for view in views {
        by_task.entry(view.task).or_default().add(&view.progress);
    }
    let tasks = by_task.into_iter().filter_map(|(task, standing)| standing.reason(task));
    shared_store::away(health).into_iter().chain(tasks).collect()
}

/// How far the workers of one task are.
#[derive(Debug, Default)]
struct Standing {
    unjoined: usize,
    behind: bool,
    lag: u64,
}

impl Standing {
    fn add(&mut self, progress: &MaterializerProgress) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        self.unjoined += usize::from(read(&progress.assignments) == 0);
        self.behind |= !progress.caught_up.load(Ordering::Acquire);
        self.lag += read(&progress.lag);
    }

    fn reason(&self, task: &str) -> Option<String> {
        if self.unjoined > 0 {
            return Some(format!("{task}: waiting for partitions"));
        }
        self.behind.then(|| format!("{task}: catching up, {} records behind", self.lag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(task: &'static str, assignments: u64, caught_up: bool, lag: u64) -> View {
        let progress = MaterializerProgress::default();
        progress.assignments.store(assignments, Ordering::Relaxed);
        progress.caught_up.store(caught_up, Ordering::Relaxed);
        progress.lag.store(lag, Ordering::Relaxed);
        View { task, number: 0, progress: Arc::new(progress) }
    }

    #[track_caller]
    fn check(views: &[View], health: &Health, expected: &[&str]) {
        assert_eq!(reasons(views, health), expected);
    }

    #[test]
    fn says_how_far_it_is() {
        let done = || view("materializer", 1, true, 3);
        check(&[view("materializer", 0, false, 0), done()], &Health::Up, &["materializer: waiting for partitions"]);
        let behind = [view("materializer", 2, false, 7), done(), view("claim-keeper", 1, true, 0)];
        check(&behind, &Health::Up, &["materializer: catching up, 10 records behind"]);
        check(&[done()], &Health::Up, &[]);
        let away = Health::Away { lasted: Duration::from_secs(3), reason: "no answer".to_owned() };
        check(&[done()], &away, &["the shared store is away for 3 s: no answer"]);
    }
}
