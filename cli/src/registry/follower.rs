//! Following the topic `registry`: the registry as it stands, and each that takes its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry as MetricsRegistry, Unit};
use schemas::records::RegistrySealed;
use schemas::registry::{FoldError, MasterKeys, Registry, Secrets};
use schemas::topics::TOMBSTONES_KEPT_DAYS;
use streams::kafka::Connection;
use streams::{Clock, LogError, SystemClock};
use tokio::sync::watch;

use super::reading::{Progress, Reading};
use crate::error::CliError;

/// How long one read waits: a stop is heard of between two.
const STEP: Duration = Duration::from_millis(250);
/// The topic is read from its beginning again after this long: whoever went on for longer than tombstones are kept could
/// keep what was removed meanwhile.
const REFOLD_AFTER_MS: i64 = 86_400_000;
const _: () = assert!(REFOLD_AFTER_MS < TOMBSTONES_KEPT_DAYS as i64 * 86_400_000);
/// Between two lines about there being no registry.
const REMIND_EVERY: Duration = Duration::from_secs(10);
/// Between two attempts at opening a reader, doubled each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// How long a stop waits for the thread; one that waits for brokers ends with the process.
const STOP_WAIT: Duration = Duration::from_secs(2);

const DEMO_KEYS_REFUSED: &str = "the registry has the demo's keys, which everybody knows, and ingest.listen can be reached \
                                 from elsewhere: listen on 127.0.0.1, or apply a registry with keys of your own";

/// What becomes of a registry with the demo's keys, which everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DemoKeys {
    /// It is taken: requests come from this machine only.
    Accept,
    /// It is refused.
    Refuse,
}

/// What a process needs of the registry.
#[derive(Debug)]
pub(crate) enum Follows {
    /// Everything: it lets requests in.
    Edge {
        /// What becomes of the demo's keys.
        demo_keys: DemoKeys,
        /// What secrets are decrypted with.
        master_keys: MasterKeys,
    },
    /// Endpoints and their secrets: it lets nobody in, and signs.
    Sender {
        /// What secrets are decrypted with.
        master_keys: MasterKeys,
    },
    /// All but the keys: it lets nobody in, and has no master key.
    Processors,
}

impl Follows {
    fn secrets(&self) -> Secrets<'_> {
        match self {
            Follows::Edge { master_keys, .. } | Follows::Sender { master_keys } => Secrets::Decrypt(master_keys),
            Follows::Processors => Secrets::Leave,
        }
    }

    fn takes_demo_keys(&self) -> bool {
        match self {
            Follows::Edge { demo_keys, .. } => *demo_keys == DemoKeys::Accept,
            Follows::Sender { .. } | Follows::Processors => true,
        }
    }
}

/// The thread that follows the topic, until it is dropped.
#[derive(Debug)]
pub(crate) struct RegistryFollower {
    shared: Arc<Shared>,
    views: watch::Receiver<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    version: AtomicI64,
    faults: AtomicU64,
}

/// What the thread tells the views.
#[derive(Clone, Debug, Default)]
struct State {
    registry: Option<Arc<Registry>>,
    /// Why the first registry was refused: for its keys, or because it cannot be decrypted.
    refused: Option<String>,
}

/// The registry as one thread or task sees it. A clone has seen what its original has.
#[derive(Clone, Debug)]
pub(crate) struct RegistryView(watch::Receiver<State>);

impl RegistryFollower {
    /// Starts the thread. Troubles with the brokers are logged and waited out.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(connection: &Connection, follows: Follows) -> Result<RegistryFollower, CliError> {
        let shared = Arc::<Shared>::default();
        let (sender, views) = watch::channel(State::default());
        let mut work =
            Work { connection: connection.clone(), follows, shared: Arc::clone(&shared), sender, seal: None };
        let thread = thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || work.run())
            .map_err(|error| CliError::Failed(format!("cannot start a thread: {error}")))?;
        Ok(RegistryFollower { shared, views, thread: Some(thread) })
    }

    /// A view that has seen nothing yet.
    pub(crate) fn view(&self) -> RegistryView {
        let mut view = self.views.clone();
        view.mark_changed();
        RegistryView(view)
    }

    /// Registers the version that is in force and how many faults there were.
    pub(crate) fn register(&self, metrics: &mut MetricsRegistry) {
        metrics.register_collector(Box::new(Gauges(Arc::clone(&self.shared))));
    }
}

impl Drop for RegistryFollower {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let deadline = Instant::now() + STOP_WAIT;
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            // What it panicked of has been printed, and its views have ended.
            let _ = thread.join();
        }
    }
}

impl RegistryView {
    /// Waits until the topic has been read to its end and holds a registry. May be dropped at any time.
    ///
    /// # Errors
    /// The registry has the demo's keys and these are refused, or a secret of it cannot be decrypted, or the follower has
    /// ended.
    pub(crate) async fn first(&mut self) -> Result<Arc<Registry>, CliError> {
        let told = self.0.wait_for(|state| state.registry.is_some() || state.refused.is_some()).await;
        let state = told.map_err(|_| CliError::Failed("the registry is no longer followed".to_owned()))?;
        state.registry.clone().ok_or_else(|| CliError::Usage(state.refused.clone().unwrap_or_default()))
    }

    /// The registry, if there is another than at the last look. One atomic load if there is none, so it may be asked
    /// between any two steps.
    pub(crate) fn poll(&mut self) -> Option<Arc<Registry>> {
        // An error says that the follower has ended: what stands goes on to stand.
        match self.0.has_changed() {
            Ok(true) => self.0.borrow_and_update().registry.clone(),
            Ok(false) | Err(_) => None,
        }
    }

    /// Waits for another registry than at the last look; `None` once the follower has ended, of itself only by a panic.
    pub(crate) async fn changed(&mut self) -> Option<Arc<Registry>> {
        loop {
            self.0.changed().await.ok()?;
            let registry = self.0.borrow_and_update().registry.clone();
            if registry.is_some() {
                return registry;
            }
        }
    }
}

/// What the thread works with.
struct Work {
    connection: Connection,
    follows: Follows,
    shared: Arc<Shared>,
    sender: watch::Sender<State>,
    /// The last seal that was looked at, so that nothing is told of it twice.
    seal: Option<RegistrySealed>,
}

/// Why a reader is given up.
#[derive(Debug)]
enum End {
    /// It is to stop.
    Stopped,
    /// It is time to begin anew.
    Due,
    /// It is of no more use.
    Failed(LogError),
}

impl Work {
    fn run(&mut self) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let mut caught_up = false;
            match self.follow(&mut caught_up) {
                End::Stopped => return,
                End::Due => continue,
                End::Failed(error) => {
                    back_off = if caught_up { BACK_OFF_MIN } else { back_off };
                    tracing::error!(retry_in_ms = back_off.as_millis(), "the registry cannot be read: {error}");
                }
            }
            if !self.wait(back_off) {
                return;
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }

    /// Reads from the beginning on, as long as that goes.
    fn follow(&mut self, caught_up: &mut bool) -> End {
        let opened_ms = SystemClock.now_ms();
        let mut reading = match Reading::open(&self.connection) {
            Ok(reading) => reading,
            Err(error) => return End::Failed(error),
        };
        let mut reminded: Option<Instant> = None;
        while !self.shared.stop.load(Ordering::Acquire) {
            let records = match reading.next(STEP) {
                Ok(records) => records,
                Err(error) => return End::Failed(error),
            };
            // By the clock of the day, which goes on while a machine is suspended.
            if !(0..REFOLD_AFTER_MS).contains(&(SystemClock.now_ms() - opened_ms)) {
                return End::Due;
            }
            let progress = reading.apply(&records);
            self.tell_refused(&progress);
            // Of the seals on the way there, only the last is sure to have its entries: compaction takes what was
            // overwritten since.
            let arrived = reading.caught_up() && !*caught_up;
            *caught_up |= arrived;
            if arrived || (*caught_up && progress.sealed) {
                self.take(&reading);
            }
            let due = reminded.is_none_or(|last| last.elapsed() >= REMIND_EVERY);
            if *caught_up && due && self.sender.borrow().registry.is_none() {
                reminded = Some(Instant::now());
                self.remind(&reading);
            }
        }
        End::Stopped
    }

    /// Takes the registry of the last seal over, or says once why not.
    fn take(&mut self, reading: &Reading) {
        if reading.seal().is_none() || reading.seal() == self.seal.as_ref() {
            return;
        }
        self.seal = reading.seal().cloned();
        let checked = match reading.registry(self.follows.secrets()) {
            Ok(registry) if self.follows.takes_demo_keys() || !registry.has_demo_key() => Ok(registry),
            Ok(_) => Err(self.refuse(DEMO_KEYS_REFUSED.to_owned())),
            Err(error @ FoldError::Unreadable { .. }) => Err(self.refuse(format!(
                "{error}: give the master key that it is encrypted under, by registry.master_key_file"
            ))),
            Err(error) => Err(error.to_string()),
        };
        match (checked, self.seal.as_ref()) {
            (Ok(registry), Some(seal)) => {
                self.shared.version.store(seal.version, Ordering::Relaxed);
                tracing::info!(version = seal.version, entries = seal.entries, "registry in force");
                let secrets = reading.plain_secrets();
                if secrets > 0 {
                    tracing::warn!(secrets, "secrets in the registry's topic are not encrypted: conversions reencrypt");
                }
                self.sender.send_replace(State { registry: Some(registry), refused: None });
            }
            (Err(fault), _) => {
                self.shared.faults.fetch_add(1, Ordering::Relaxed);
                tracing::error!(in_force = self.shared.version.load(Ordering::Relaxed), "registry not taken: {fault}");
            }
            (Ok(_), None) => {}
        }
    }

    /// Refuses what stands; whoever waits for the first registry is told why and waits no more.
    fn refuse(&self, why: String) -> String {
        self.sender.send_if_modified(|state| {
            let first = state.registry.is_none();
            if first {
                state.refused = Some(why.clone());
            }
            first
        });
        why
    }

    fn tell_refused(&self, progress: &Progress) {
        let Some(first) = progress.refused.first() else { return };
        let count = progress.refused.len();
        self.shared.faults.fetch_add(count as u64, Ordering::Relaxed);
        tracing::error!(count, "records of the registry were refused, the first at {first}");
    }

    fn remind(&self, reading: &Reading) {
        let topic = self.connection.topic(processors::topic(&schemas::topics::REGISTRY));
        match reading.registry(self.follows.secrets()) {
            Err(FoldError::Unsealed) => {
                tracing::warn!("no registry in topic {topic}: write one with conversions apply");
            }
            Err(fault) => tracing::warn!("no valid registry in topic {topic}: {fault}"),
            Ok(_) => tracing::warn!("the registry in topic {topic} is refused: write another with conversions apply"),
        }
    }

    /// Waits, and says whether to go on.
    fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.shared.stop.load(Ordering::Acquire) && Instant::now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        !self.shared.stop.load(Ordering::Acquire)
    }
}

/// The follower in the metrics.
#[derive(Debug)]
struct Gauges(Arc<Shared>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let version = ConstGauge::new(self.0.version.load(Ordering::Relaxed));
        let help = "Version of the registry in force, 0 before the first";
        let kind = version.metric_type();
        version.encode(encoder.encode_descriptor("registry_version", help, None::<&Unit>, kind)?)?;
        let faults = ConstCounter::new(self.0.faults.load(Ordering::Relaxed));
        let help = "Records and versions of the registry that were not taken";
        let kind = faults.metric_type();
        faults.encode(encoder.encode_descriptor("registry_faults", help, None::<&Unit>, kind)?)
    }
}
