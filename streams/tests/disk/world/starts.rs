//! How processes begin and end.

use streams::LogError;
use streams::sim::disk::Crash;

use super::{STARTS_MAX, World, read_all};
use crate::process::Process;

impl World {
    /// An error is one that something was done for; the process that has it ends.
    pub(super) fn fail(&mut self, error: &LogError) {
        self.fate.note(format!("failed: {error}"));
        match error {
            LogError::Io { .. } | LogError::Closed | LogError::Store(_) => {
                assert!(self.fate.is_blamed(), "nothing was done to it: {error}");
            }
            other => panic!("{other}"),
        }
        self.end();
    }

    pub(super) fn start(&mut self) {
        for attempt in 0..STARTS_MAX {
            self.fate.forgive();
            if self.full {
                self.fate.blame();
            }
            // Whoever tries for ever is at last let in.
            let quiet = attempt + 5 > STARTS_MAX && !self.fate.set_quiet(true);
            self.act(|world| world.start_once());
            if quiet {
                self.fate.set_quiet(false);
            }
            if self.process.is_some() {
                return;
            }
            self.fate.mark("a start fails");
        }
        panic!("it does not start");
    }

    pub(super) fn start_once(&mut self) {
        match Process::start(&self.disk, &self.fate, &self.options, self.limits, &self.clock) {
            Ok(process) => self.process = Some(process),
            Err(error) => return self.fail(&error),
        }
        let Some(process) = &mut self.process else { return };
        let first = process.log.first();
        match read_all(process) {
            Ok(records) => self.model.saw_all(first, &records),
            Err(error) => return self.fail(&error),
        }
        self.model.check_acknowledged();
        self.fate.note(format!("started at {first}..{}", self.process.as_ref().map_or(0, |it| it.log.durable())));
        for group in std::mem::take(&mut self.doubtful) {
            self.fate.mark(if self.model.is_seen(group) {
                "an unknown group is there"
            } else {
                "an unknown group is not there"
            });
        }
        if self.model.outputs() > self.outputs_before {
            self.fate.mark("an unknown step is there");
        }
        if std::mem::take(&mut self.power_lost) && first > 0 {
            self.fate.mark("state is rebuilt from a snapshot");
        }
    }

    /// The process is no more; what it had said still counts.
    pub(super) fn end(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        self.poll(&mut process);
        self.doubtful.extend(process.pending.drain(..).map(|(group, _)| group));
        // Dropped like this, it says nothing more, writes nothing more, and cannot tell a crash from its own end.
        self.disk.crash(Crash::Kill);
        drop(process);
        self.outputs_before = self.model.outputs();
        self.fate.note("ended".to_owned());
    }

    pub(super) fn crash(&mut self, crash: Crash) {
        self.fate.note(format!("{crash:?}"));
        self.disk.crash(crash);
        self.power_lost |= crash == Crash::PowerLoss;
        self.end();
    }
}
