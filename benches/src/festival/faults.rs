//! What is broken on purpose while the load goes on.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use testkit::Kafka;

use super::scenario::{Fault, What};

const BROKER: u32 = 1;
const MICROS: u64 = 1_000_000;

/// Faults to come, and the one that goes on.
#[derive(Debug)]
pub(super) struct Faults {
    steps: Vec<Step>,
    kafka: Option<Arc<Kafka>>,
    running: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    at: u64,
    begins: bool,
    what: What,
}

impl Faults {
    /// The faults of a scenario, for which there has to be what they break.
    pub(super) fn new(faults: &[Fault], kafka: Option<Arc<Kafka>>) -> Result<Faults, String> {
        if !faults.is_empty() && kafka.is_none() {
            return Err("the scenario kills a broker: it needs `--start kafka`".to_owned());
        }
        Ok(Faults { steps: steps(faults), kafka, running: None })
    }

    /// Takes the step that is due, if the one before it is done; what it is.
    pub(super) fn step(&mut self, micros: u64) -> Result<Option<&'static str>, String> {
        self.done()?;
        let (Some(step), None) = (self.steps.first().copied().filter(|step| step.at <= micros), &self.running) else {
            return Ok(None);
        };
        let kafka = Arc::clone(self.kafka.as_ref().expect("there is one where there are faults"));
        self.steps.remove(0);
        let What::KillBroker = step.what;
        self.running =
            Some(thread::spawn(move || if step.begins { kafka.kill(BROKER) } else { kafka.start_node(BROKER) }));
        Ok(Some(if step.begins { "the broker is killed" } else { "the broker is started again" }))
    }

    /// Whether everything is mended.
    pub(super) fn is_over(&self) -> bool {
        self.steps.is_empty() && self.running.is_none()
    }

    fn done(&mut self) -> Result<(), String> {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            let ended = self.running.take().expect("just seen").join();
            ended.map_err(|_| "the broker could not be killed or started: see above".to_owned())?;
        }
        Ok(())
    }
}

fn steps(faults: &[Fault]) -> Vec<Step> {
    let of = |fault: &Fault| {
        let step = |at: u64, begins| Step { at: at * MICROS, begins, what: fault.what };
        [step(fault.at_seconds, true), step(fault.at_seconds + fault.seconds, false)]
    };
    faults.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_mended_and_needs_something_to_break() {
        let fault = |at_seconds| Fault { what: What::KillBroker, at_seconds, seconds: 5 };
        let steps = steps(&[fault(10), fault(30)]);
        let shown: Vec<(u64, bool)> = steps.iter().map(|step| (step.at / MICROS, step.begins)).collect();
        assert_eq!(shown, [(10, true), (15, false), (30, true), (35, false)]);
        assert!(Faults::new(&[fault(1)], None).expect_err("no Kafka").contains("--start kafka"));
        assert!(Faults::new(&[], None).expect("nothing to break").is_over());
    }
}
