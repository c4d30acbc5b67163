//! Whether questions are asked at all: not of a server that has just failed to answer several in a row.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// As many failures in a row, of whatever was asked, and the server counts as away.
pub(crate) const FAILURES_MAX: u32 = 5;

/// Counts failures in a row. Open, it lets nothing through until [`Breaker::close`].
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    /// Whether it is closed. It changes under the lock of the state: told after it, an opening could come before the closing
    /// that it followed, and whoever waits for an opening would wait for ever.
    closed: watch::Sender<bool>,
}

#[derive(Clone, Debug)]
struct State {
    /// How often it was closed. What was asked in an earlier epoch says nothing of this one: the session is another.
    epoch: u64,
    failures: u32,
    opened: Option<(Instant, String)>,
}

/// What an open breaker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// For how long it has been.
    pub(crate) lasted: Duration,
    /// The last failure before it opened.
    pub(crate) reason: String,
}

impl Breaker {
    /// An open one.
    pub(crate) fn open(reason: &str) -> Breaker {
        let state = State { epoch: 0, failures: 0, opened: Some((Instant::now(), reason.to_owned())) };
        Breaker { state: Mutex::new(state), closed: watch::Sender::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is closed, or until it is open.
    pub(crate) async fn wait(&self, closed: bool) {
        // The sender lives as long as this does.
        let _ = self.closed.subscribe().wait_for(|is_closed| *is_closed == closed).await;
    }

    /// Lets a question through, with the epoch to say when it is answered.
    pub(crate) fn admit(&self) -> Result<u64, Opened> {
        let state = self.lock();
        match &state.opened {
            None => Ok(state.epoch),
            Some((since, reason)) => Err(Opened { lasted: since.elapsed(), reason: reason.clone() }),
        }
    }

    /// What it says if it is open.
    pub(crate) fn opened(&self) -> Option<Opened> {
        self.admit().err()
    }

    /// A question was answered.
    pub(crate) fn succeeded(&self, epoch: u64) {
        let mut state = self.lock();
        if state.epoch == epoch && state.opened.is_none() {
            state.failures = 0;
        }
    }

    /// A question was not answered; says so if that opened it.
    pub(crate) fn failed(&self, epoch: u64, reason: impl FnOnce() -> String) -> Option<Opened> {
        let mut state = self.lock();
        if state.epoch != epoch || state.opened.is_some() {
            return None;
        }
        state.failures += 1;
        if state.failures < FAILURES_MAX {
            return None;
        }
        let reason = reason();
        state.opened = Some((Instant::now(), reason.clone()));
        self.closed.send_replace(false);
        Some(Opened { lasted: Duration::ZERO, reason })
    }

    /// The server was found to answer: questions are asked again.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        *state = State { epoch: state.epoch + 1, failures: 0, opened: None };
        self.closed.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    fn closed() -> Breaker {
        let breaker = Breaker::open("not reached yet");
        breaker.close();
        breaker
    }

    fn fail(breaker: &Breaker, epoch: u64, times: u32) -> u32 {
        (0..times).filter(|number| breaker.failed(epoch, || format!("failure {number}")).is_some()).count() as u32
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_at_the_last_of_several_failures_in_a_row_and_once() {
        let breaker = closed();
        let epoch = breaker.admit().expect("closed");
        assert_eq!(fail(&breaker, epoch, FAILURES_MAX - 1), 0);
        breaker.succeeded(epoch);
        assert_eq!(fail(&breaker, epoch, FAILURES_MAX - 1), 0);
        assert_eq!(breaker.opened(), None);
        assert_eq!(fail(&breaker, epoch, 10), 1);
        tokio::time::advance(Duration::from_secs(3)).await;
        let opened = Opened { lasted: Duration::from_secs(3), reason: "failure 0".to_owned() };
        assert_eq!(breaker.admit(), Err(opened));
    }

    #[tokio::test(start_paused = true)]
    async fn only_closing_closes_it() {
        let breaker = closed();
        let epoch = breaker.admit().expect("closed");
        fail(&breaker, epoch, FAILURES_MAX);
        breaker.succeeded(epoch);
        assert!(breaker.opened().is_some(), "a late answer does not close it");
        breaker.close();
        assert_eq!(breaker.admit(), Ok(epoch + 1));
    }

    /// Failures that come at once when it is closed, as those of a session without a connection do.
    #[test]
    fn whoever_waits_for_it_to_open_is_told_however_soon_it_opens_again() {
        const ROUNDS: u32 = 20_000;
        let (breaker, is_over) = (Breaker::open("not reached yet"), AtomicBool::new(false));
        let round_untold = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok(epoch) = breaker.admit() {
                        fail(&breaker, epoch, FAILURES_MAX);
                    }
                }
            });
            let round_untold = (0..ROUNDS).find(|_| {
                breaker.close();
                while breaker.opened().is_none() {
                    thread::yield_now();
                }
                *breaker.closed.borrow()
            });
            is_over.store(true, Ordering::Relaxed);
            round_untold
        });
        assert_eq!(round_untold, None, "it is open, and is said to be closed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_it_opened_says_nothing_after() {
        let breaker = closed();
        let before = breaker.admit().expect("closed");
        fail(&breaker, before, FAILURES_MAX);
        breaker.close();
        assert_eq!(fail(&breaker, before, 10), 0, "of the session that was replaced");
        let epoch = breaker.admit().expect("closed");
        assert_eq!(fail(&breaker, epoch, FAILURES_MAX - 1), 0);
        breaker.succeeded(before);
        assert_eq!(fail(&breaker, epoch, 1), 1, "a late success of the old session counts for nothing");
    }
}
