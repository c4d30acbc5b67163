//! The threads of a process: started together, stopped together, and an alarm when one of them fails.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::Notify;

use crate::error::CliError;

/// The running threads.
#[derive(Default)]
pub(crate) struct Threads {
    stop: Arc<AtomicBool>,
    alarm: Arc<Alarm>,
    threads: Vec<JoinHandle<()>>,
}

/// Rings once a thread has failed.
#[derive(Default)]
struct Alarm {
    reason: Mutex<Option<String>>,
    rung: Notify,
}

impl Alarm {
    fn ring(&self, reason: String) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.rung.notify_one();
    }
}

impl Threads {
    /// What tells every thread to stop.
    pub(crate) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Starts a thread, which is to end once the flag that it is given is set, and not before.
    pub(crate) fn start<E: Display>(
        &mut self,
        name: &str,
        work: impl FnOnce(&AtomicBool) -> Result<(), E> + Send + 'static,
    ) -> Result<(), CliError> {
        let owned = name.to_owned();
        let (stop, alarm) = (Arc::clone(&self.stop), Arc::clone(&self.alarm));
        let body = move || {
            let ended = panic::catch_unwind(AssertUnwindSafe(|| work(&stop)));
            match ended {
                Ok(Ok(())) if stop.load(Ordering::Acquire) => {}
                Ok(Ok(())) => alarm.ring(format!("{owned} ended by itself")),
                Ok(Err(error)) => alarm.ring(format!("{owned}: {error}")),
                // What it held is not used again: the process ends, and the next one begins from the log.
                Err(_) => alarm.ring(format!("{owned} panicked")),
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        self.threads.push(thread.map_err(|error| CliError::Failed(format!("cannot start a thread: {error}")))?);
        Ok(())
    }

    /// Waits until a thread has failed, and says why.
    pub(crate) async fn failed(&self) -> String {
        loop {
            if let Some(reason) = self.alarm.reason.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return reason;
            }
            self.alarm.rung.notified().await;
        }
    }

    /// Stops every thread after what it is at, and waits for it.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            // What a thread failed of has rung the alarm.
            let _ = thread.join();
        }
    }
}
