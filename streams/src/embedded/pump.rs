//! The writer of a log without a thread: whoever waits for it drives it.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError};
use std::sync::{Mutex, TryLockError};

use super::queue::StepAnswer;
use super::writer::Writer;

/// What is called when a step waits to be written, before it is.
pub(super) type Waits = Box<dyn Fn() + Send + Sync>;

/// A writer that writes when it is told to, on the thread that tells it.
pub(super) struct Pump {
    writer: Mutex<Writer>,
    waits: Waits,
}

impl fmt::Debug for Pump {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pump").finish_non_exhaustive()
    }
}

impl Pump {
    /// A pump of this writer.
    pub(super) fn new(writer: Writer, waits: Waits) -> Pump {
        Pump { writer: Mutex::new(writer), waits }
    }

    /// Writes one batch of what waits; `false` if nothing does, or a batch is being written further up the stack.
    pub(super) fn write_one(&self) -> bool {
        match self.writer.try_lock() {
            Ok(mut writer) => writer.write_one(),
            Err(TryLockError::Poisoned(writer)) => writer.into_inner().write_one(),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// Writes until a step has its answer.
    pub(super) fn wait_for(&self, answered: &Receiver<StepAnswer>) -> Result<StepAnswer, RecvError> {
        (self.waits)();
        loop {
            match answered.try_recv() {
                Ok(answer) => return Ok(answer),
                Err(TryRecvError::Disconnected) => return Err(RecvError),
                Err(TryRecvError::Empty) => {
                    assert!(self.write_one(), "a step cannot wait for a batch that waits for the step");
                }
            }
        }
    }
}
