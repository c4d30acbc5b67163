//! Which faults a seed has, the dice for them, and what happened.

use std::collections::BTreeMap;
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streams::sim::disk::{Crash, Faults, Kind, Operation, Verdict};

/// For how many operations a fault makes crashes more likely.
const TROUBLED: u32 = 60;

/// What a crash unwinds with.
pub(crate) struct Crashed;

/// How often something happens, of 10,000 operations of its kind.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    kill: u32,
    power_loss: u32,
    write: u32,
    sync: u32,
    folder: u32,
    read: u32,
}

#[derive(Debug)]
struct State {
    dice: fastrand::Rng,
    rates: Rates,
    /// Whether a crash unwinds, or makes everything fail.
    unwinds: bool,
    quiet: bool,
    /// Operations for which crashes are still more likely, after a fault: what one leaves, the next one finds.
    troubled: u32,
    /// Faults and crashes since the process started.
    injected: u32,
    history: Vec<String>,
    marks: BTreeMap<&'static str, u32>,
}

/// The dice of a run, and its history. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Fate(Arc<Mutex<State>>);

impl Fate {
    /// A random part of all kinds of faults.
    pub(crate) fn new(seed: u64) -> Fate {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut rate = |most: u32| if dice.bool() { dice.u32(1..=most) } else { 0 };
        let rates = Rates {
            kill: rate(80),
            power_loss: rate(80),
            write: rate(100),
            sync: rate(200),
            folder: rate(400),
            read: rate(30),
        };
        let unwinds = dice.bool();
        let (history, marks) = (Vec::new(), BTreeMap::new());
        Fate(Arc::new(Mutex::new(State {
            dice,
            rates,
            unwinds,
            quiet: false,
            troubled: 0,
            injected: 0,
            history,
            marks,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the history.
    pub(crate) fn note(&self, line: String) {
        self.lock().history.push(line);
    }

    /// Something that is seldom has happened.
    pub(crate) fn mark(&self, what: &'static str) {
        *self.lock().marks.entry(what).or_default() += 1;
    }

    /// What has happened of that.
    pub(crate) fn marks(&self) -> BTreeMap<&'static str, u32> {
        self.lock().marks.clone()
    }

    /// All lines so far.
    pub(crate) fn history(&self) -> Vec<String> {
        self.lock().history.clone()
    }

    /// Nothing goes wrong from now on, or what the seed says does again; returns what was before.
    pub(crate) fn set_quiet(&self, quiet: bool) -> bool {
        std::mem::replace(&mut self.lock().quiet, quiet)
    }

    /// A process starts, to which nothing has been done.
    pub(crate) fn forgive(&self) {
        self.lock().injected = 0;
    }

    /// Something other than a verdict was done to the process.
    pub(crate) fn blame(&self) {
        self.lock().injected += 1;
    }

    /// Whether the process has a reason to complain.
    pub(crate) fn is_blamed(&self) -> bool {
        self.lock().injected > 0
    }

    /// A choice of what to do next.
    pub(crate) fn roll(&self, sides: u32) -> u32 {
        self.lock().dice.u32(..sides)
    }
}

impl State {
    fn decide(&mut self, operation: &Operation) -> Verdict {
        if self.quiet {
            return Verdict::Proceeds;
        }
        let Rates { kill, power_loss, write, sync, folder, read } = self.rates;
        let dice = &mut self.dice;
        let more = if self.troubled > 0 { 5 } else { 1 };
        // Names are changed seldom, and what is left of them matters most.
        let names = matches!(operation.kind, Kind::SyncFolder | Kind::Rename | Kind::Remove);
        let more = if names { 4 * more } else { more };
        self.troubled = self.troubled.saturating_sub(1);
        if dice.u32(..10_000) < kill * more {
            return Verdict::Crashes(Crash::Kill);
        }
        if dice.u32(..10_000) < power_loss * more {
            return Verdict::Crashes(Crash::PowerLoss);
        }
        let rate = match operation.kind {
            Kind::Write | Kind::SetLength | Kind::Create | Kind::Rename | Kind::Remove => write,
            Kind::Sync => sync,
            Kind::MakeFolder | Kind::SyncFolder => folder,
            Kind::List | Kind::Open | Kind::Read | Kind::Modified => read,
            // A store that fails is not the disk's business.
            Kind::Apply => 0,
        };
        if dice.u32(..10_000) < rate { Verdict::Fails } else { Verdict::Proceeds }
    }
}

impl Faults for Fate {
    fn verdict(&self, operation: &Operation) -> Verdict {
        let mut state = self.lock();
        let verdict = state.decide(operation);
        let mark = match (verdict, operation.kind) {
            (Verdict::Proceeds, Kind::SetLength) => Some("a torn tail is cut"),
            (Verdict::Fails, Kind::Sync) => Some("a sync fails"),
            (Verdict::Fails, Kind::SyncFolder) => Some("a folder's sync fails"),
            (Verdict::Crashes(_), Kind::Apply) => Some("a crash between commit and store"),
            (Verdict::Crashes(_), Kind::SyncFolder) => Some("a crash while names are synced"),
            _ => None,
        };
        if let Some(mark) = mark {
            *state.marks.entry(mark).or_default() += 1;
        }
        if verdict == Verdict::Proceeds {
            state.history.push(format!("  {operation}"));
        } else {
            state.injected += 1;
            state.troubled = TROUBLED;
            state.history.push(format!("  {operation}: {verdict:?}"));
        }
        verdict
    }

    fn crashed(&self) {
        if self.lock().unwinds {
            panic::resume_unwind(Box::new(Crashed));
        }
    }
}
