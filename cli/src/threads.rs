//! The threads of a process: started together, stopped together, and an alarm when one of them fails.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::CliError;

/// How long a process may take to end once its threads are to stop: more than a commit and the last deliveries may take.
const END_WAIT: Duration = Duration::from_secs(45);

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

    /// What it rings for.
    fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            if let Some(reason) = self.alarm.reason() {
                return reason;
            }
            self.alarm.rung.notified().await;
        }
    }

    /// Stops every thread after what it is at, and waits for it.
    pub(crate) fn stop(self) {
        self.stop_each(|_| {});
    }

    /// As [`Threads::stop`], at the end of the process, which then comes within [`END_WAIT`] whatever holds it up: to let go of
    /// a group or of a broker librdkafka waits without a bound. What is cut off is what a kill would have cut off.
    pub(crate) fn stop_for_good(self) {
        let code = i32::from(self.alarm.reason().is_some());
        let held_up = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&held_up);
        let cut_off = move || {
            thread::sleep(END_WAIT);
            let by = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            tracing::error!(by, "the end is held up and cut off; nothing is lost: the next start goes on from the log");
            process::exit(code);
        };
        if let Err(error) = thread::Builder::new().name("end".to_owned()).spawn(cut_off) {
            tracing::warn!(%error, "no thread is left to bound the end");
        }
        let hold = |by: &str| by.clone_into(&mut held_up.lock().unwrap_or_else(PoisonError::into_inner));
        self.stop_each(hold);
        hold("what follows the threads");
    }

    /// Stops the threads and waits for each, which is told before.
    fn stop_each(self, waits_for: impl Fn(&str)) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            waits_for(thread.thread().name().unwrap_or_default());
            // What a thread failed of has rung the alarm.
            let _ = thread.join();
        }
    }
}
