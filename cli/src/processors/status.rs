//! What the workers tell of themselves, and whether they are ready.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ingest::Readiness;
use streams::Progress;
use streams::kafka::{SessionStats, Watch};

/// How often readiness is brought up to date.
const EVERY: Duration = Duration::from_millis(100);

/// One worker, seen from outside.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) processor: &'static str,
    pub(super) number: usize,
    pub(super) progress: Arc<Progress>,
    pub(super) stats: Arc<SessionStats>,
    pub(super) watch: Arc<Watch>,
}

/// All workers that were started.
#[derive(Clone, Debug, Default)]
pub(super) struct Views(Arc<Mutex<Vec<View>>>);

impl Views {
    pub(super) fn add(&self, view: View) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(view);
    }

    pub(super) fn all(&self) -> Vec<View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Keeps readiness up to date for as long as the process runs.
pub(super) async fn keep(readiness: Readiness, views: Views) {
    loop {
        readiness.waiting_for(reasons(&views.all()));
        tokio::time::sleep(EVERY).await;
    }
}

/// What is still waited for, a sentence a processor.
fn reasons(views: &[View]) -> Vec<String> {
    if views.is_empty() {
        return vec!["no registry yet: write one with conversions apply".to_owned()];
    }
    let mut by_processor: BTreeMap<&str, Restore> = BTreeMap::new();
    for view in views {
        by_processor.entry(view.processor).or_default().add(view);
    }
    by_processor.into_iter().filter_map(|(processor, restore)| restore.reason(processor)).collect()
}

/// How far the workers of one processor are.
#[derive(Debug, Default)]
struct Restore {
    unjoined: usize,
    assigned: u64,
    ready: u64,
    done: u64,
    total: u64,
}

impl Restore {
    fn add(&mut self, view: &View) {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Acquire);
        self.unjoined += usize::from(read(&view.progress.assignments) == 0);
        self.ready += read(&view.progress.partitions_ready);
        self.assigned += read(&view.progress.partitions_assigned);
        self.done += read(&view.progress.restore_done);
        self.total += read(&view.progress.restore_total);
    }

    fn reason(&self, processor: &str) -> Option<String> {
        if self.unjoined > 0 {
            return Some(format!("{processor}: waiting for partitions"));
        }
        if self.ready >= self.assigned {
            return None;
        }
        // Partitions that have not begun count as none of their work done.
        let part = (self.done * 100).checked_div(self.total).unwrap_or(0);
        let percent = (100 * self.ready + part).checked_div(self.assigned).unwrap_or(0).min(99);
        Some(format!("{processor}: restoring {percent} %"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(restore: Restore, expected: Option<&str>) {
        assert_eq!(restore.reason("orders").as_deref(), expected);
    }

    #[test]
    fn says_how_far_it_is() {
        check(Restore { unjoined: 1, ..Restore::default() }, Some("orders: waiting for partitions"));
        check(Restore::default(), None);
        let half = Restore { assigned: 4, ready: 2, done: 52, total: 100, ..Restore::default() };
        check(half, Some("orders: restoring 63 %"));
        check(Restore { assigned: 4, ready: 4, ..Restore::default() }, None);
        let begun = Restore { assigned: 4, ..Restore::default() };
        check(begun, Some("orders: restoring 0 %"));
        let almost = Restore { assigned: 1, done: 100, total: 100, ..Restore::default() };
        check(almost, Some("orders: restoring 99 %"));
    }
}
