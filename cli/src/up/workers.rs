//! The threads behind the edge: one for each processor, one that feeds the read model, one for retention.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use super::data::DataFolder;
use crate::error::CliError;
use crate::threads::Threads;
use crate::webhooks::endpoints::Endpoints;
use processors::{Clicks, Ledger, Orders, Webhooks};
use schemas::registry::Registry;
use store::embedded::{Feeder, STORE_NAME};
use streams::embedded::EmbeddedSession;
use streams::log::Limits;
use streams::retention::{self, Keeper};
use streams::snapshot::FolderStores;
use streams::{Clock, Driver, DriverError, Processor, Progress, SystemClock};

/// How often retention looks for segments to drop.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// How often a start looks whether the processors have restored their state.
const READY_CHECK_EVERY: Duration = Duration::from_millis(5);
/// How often an idle retention thread looks whether it is to stop.
const STOP_CHECK_EVERY: Duration = Duration::from_millis(100);

/// The running threads.
pub(super) struct Workers {
    pub(super) threads: Threads,
    pub(super) progress: Vec<(&'static str, Arc<Progress>)>,
    pub(super) endpoints: Endpoints,
}

impl Workers {
    /// Starts everything.
    pub(super) fn start(
        data: &DataFolder,
        feeder: Feeder,
        registry: &Arc<Registry>,
        log_retention: Duration,
    ) -> Result<Workers, CliError> {
        let mut workers =
            Workers { threads: Threads::default(), progress: Vec::new(), endpoints: Endpoints::default() };
        let mut keepers: Vec<Box<dyn Keeper>> = vec![Box::new(data.store.clone())];
        keepers.push(workers.processor(data, Orders::new(Arc::clone(registry)))?);
        keepers.push(workers.processor(data, Clicks::new(registry))?);
        keepers.push(workers.processor(data, Ledger::new(registry))?);
        keepers.push(workers.webhooks(data, registry)?);
        let mut feeder = feeder;
        workers.threads.start(STORE_NAME, move |stop| feeder.run(stop))?;
        let log = data.log.clone();
        workers.threads.start("retention", move |stop| {
            while wait(RETENTION_EVERY, stop) {
                let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(SystemClock.now_ms()).unwrap_or(0));
                // Nothing that is needed is gone after a failed round; a full disk is told by the log itself.
                if let Err(error) = retention::round(&log, &keepers, log_retention, now) {
                    tracing::error!(%error, "old segments of the log were not dropped");
                }
            }
            Ok::<(), std::convert::Infallible>(())
        })?;
        Ok(workers)
    }

    /// Starts a processor, and returns its stores for retention.
    fn processor<P: Processor>(&mut self, data: &DataFolder, processor: P) -> Result<Box<dyn Keeper>, CliError> {
        let name = processor.name();
        let (mut driver, keeper) = self.driver(data, processor);
        self.threads.start(name, move |stop| driver.run(stop))?;
        Ok(keeper)
    }

    /// The same of webhooks, whose endpoints are looked at.
    fn webhooks(&mut self, data: &DataFolder, registry: &Arc<Registry>) -> Result<Box<dyn Keeper>, CliError> {
        let processor = Webhooks::new(Arc::clone(registry), Webhooks::DISABLE_AFTER);
        let (name, mut look) = (processor.name(), self.endpoints.look(0, Arc::clone(registry)));
        let (mut driver, keeper) = self.driver(data, processor);
        self.threads.start(name, move |stop| -> Result<(), DriverError> {
            while !stop.load(Ordering::Acquire) {
                driver.turn()?;
                look.turn(&driver)?;
            }
            Ok(())
        })?;
        Ok(keeper)
    }

    fn driver<P: Processor>(
        &mut self,
        data: &DataFolder,
        processor: P,
    ) -> (Driver<P, EmbeddedSession>, Box<dyn Keeper>) {
        let name = processor.name();
        let session = data.log.session(name, &processor.inputs());
        let stores = FolderStores::new(data.state.clone(), &data.snapshots(), name, processor.state_version());
        let keeper = Box::new(stores.clone());
        let driver = Driver::new(processor, session, Box::new(stores), Arc::new(SystemClock), Limits::default());
        self.progress.push((name, driver.progress()));
        (driver, keeper)
    }

    /// Waits until every processor has restored its state; the error says which thread failed instead.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let restored =
            || self.progress.iter().all(|(_, progress)| progress.partitions_ready.load(Ordering::Acquire) > 0);
        while !restored() {
            tokio::select! {
                reason = self.threads.failed() => return Err(reason),
                () = tokio::time::sleep(READY_CHECK_EVERY) => {}
            }
        }
        Ok(())
    }
}

/// Waits, and says whether to go on.
fn wait(time: Duration, stop: &AtomicBool) -> bool {
    let mut left = time;
    while !stop.load(Ordering::Acquire) && !left.is_zero() {
        thread::sleep(STOP_CHECK_EVERY);
        left = left.saturating_sub(STOP_CHECK_EVERY);
    }
    !stop.load(Ordering::Acquire)
}
