//! The workers: a thread each.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use processors::{Clicks, Ledger, Orders, Webhooks};
use schemas::registry::Registry;
use schemas::topics::TOMBSTONES_KEPT_DAYS;
use streams::kafka::{Connection, KafkaSession, KafkaStores, SessionOptions, Work};
use streams::log::Limits;
use streams::snapshot::FolderStores;
use streams::store::StateFolder;
use streams::{Driver, DriverError, Processor, StoreError, SystemClock};

use super::status::{View, Views};
use crate::error::CliError;
use crate::registry::follower::RegistryView;
use crate::settings::Settings;
use crate::threads::Threads;
use crate::webhooks::endpoints::{Endpoints, Look};

/// A store that was away for longer is made again: half the time for which its changelog keeps tombstones.
const UNSEEN_MAX: Duration = Duration::from_secs(TOMBSTONES_KEPT_DAYS as u64 * 24 * 60 * 60 / 2);

/// What all workers are made of.
pub(super) struct Workers {
    connection: Connection,
    /// What tells this installation from all others.
    identity: String,
    state: StateFolder,
    data: std::path::PathBuf,
    instance: String,
    each: usize,
    options: SessionOptions,
    limits: Limits,
    /// How long an endpoint may fail before it is disabled.
    disable_after: Duration,
    /// Set when the process is not to come back.
    retired: Arc<AtomicBool>,
}

/// What workers are started with.
struct Starting<'a> {
    threads: &'a mut Threads,
    registry: &'a Arc<Registry>,
    view: &'a RegistryView,
    views: &'a Views,
    endpoints: &'a Endpoints,
}

impl Workers {
    /// Opens the state of all, of which nothing is used yet.
    pub(super) fn open(
        settings: &Settings,
        connection: Connection,
        identity: String,
        data: &Path,
    ) -> Result<Workers, CliError> {
        let options = SessionOptions {
            commit_interval: settings.get("processors.commit_interval"),
            session_timeout: settings.get("processors.session_timeout"),
            transaction_timeout: settings.get("processors.transaction_timeout"),
            ..SessionOptions::default()
        };
        options.check().map_err(|error| CliError::Usage(format!("processors.{error}")))?;
        let state = StateFolder::open(&data.join("state"), settings.get("processors.state_cache_bytes"));
        Ok(Workers {
            connection,
            identity,
            state: state.map_err(|error| failed(data, &error))?,
            data: data.to_owned(),
            instance: settings.get("processors.instance"),
            each: settings.get("processors.workers"),
            options,
            limits: Limits {
                records_max: settings.get("processors.records_max"),
                bytes_max: settings.get("processors.bytes_max"),
            },
            disable_after: settings.get("webhooks.disable_after"),
            retired: Arc::default(),
        })
    }

    /// Starts every worker under a registry, which each looks at for itself from then on.
    pub(super) fn start(
        &self,
        threads: &mut Threads,
        registry: &Arc<Registry>,
        view: &RegistryView,
        (views, endpoints): (&Views, &Endpoints),
    ) -> Result<(), CliError> {
        let mut starting = Starting { threads, registry, view, views, endpoints };
        self.processor(&mut starting, |registry| Orders::new(Arc::clone(registry)), |_, _| Ok(()))?;
        self.processor(&mut starting, Clicks::new, |_, _| Ok(()))?;
        self.processor(&mut starting, Ledger::new, |_, _| Ok(()))?;
        let disable_after = self.disable_after;
        let make = move |registry: &Arc<Registry>| Webhooks::new(Arc::clone(registry), disable_after);
        self.processor(&mut starting, make, |look, driver| look.turn(driver))
    }

    /// The workers of one processor, which share the stores of the process.
    fn processor<P: Processor>(
        &self,
        starting: &mut Starting<'_>,
        make: impl Fn(&Arc<Registry>) -> P + Clone + Send + 'static,
        look: fn(&mut Look, &Driver<P, KafkaSession>) -> Result<(), StoreError>,
    ) -> Result<(), CliError> {
        let processor = make(starting.registry);
        let name = processor.name();
        let inner = FolderStores::new(self.state.clone(), Path::new(""), name, processor.state_version());
        let changelog = format!("{} {name}-changelog", self.identity);
        let clock = Arc::new(SystemClock);
        let stores = KafkaStores::new(inner, &self.data.join("stamps"), name, &changelog, UNSEEN_MAX, clock)
            .map_err(|error| failed(&self.data, &error))?;
        for number in 0..self.each {
            let work =
                Work { processor: name, inputs: processor.inputs(), worker: format!("{}-{number}", self.instance) };
            let session =
                KafkaSession::open(&self.connection, &work, self.options.clone(), starting.threads.stop_flag());
            let session = session.map_err(|error| CliError::Failed(format!("{name}: {error}")))?;
            let stats = session.stats();
            let watch = session.watch();
            let mut driver = Driver::new(
                make(starting.registry),
                session,
                Box::new(stores.clone()),
                Arc::new(SystemClock),
                self.limits,
            );
            starting.views.add(View { processor: name, number, progress: driver.progress(), stats, watch });
            let (mut view, retired) = (starting.view.clone(), Arc::clone(&self.retired));
            let (make, mut endpoints) = (make.clone(), starting.endpoints.look(number, Arc::clone(starting.registry)));
            starting.threads.start(&format!("{name}-{number}"), move |stop| -> Result<(), DriverError> {
                while !stop.load(Ordering::Acquire) {
                    if let Some(registry) = view.poll() {
                        driver.set_processor(make(&registry));
                        endpoints.set_registry(registry);
                    }
                    driver.turn()?;
                    look(&mut endpoints, &driver)?;
                }
                driver.finish();
                if retired.load(Ordering::Acquire) {
                    driver.into_session().leave();
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Says that the process does not come back: its workers leave their groups as they end.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Closes the state in order. Every worker has ended.
    pub(super) fn close(self) -> Result<(), CliError> {
        self.state.close().map_err(|error| failed(&self.data, &error))
    }
}

fn failed(data: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::Failed(format!("the state in {}: {error}", data.display()))
}
