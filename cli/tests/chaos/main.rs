//! The commands on Kafka while brokers, a CQL server and processes of ours are killed, frozen and restarted: every report that
//! was answered 202 is in the log, what follows from it is there exactly once, and the read model says the same.
//!
//! A test target of its own: cargo runs it after the others, and its tests take turns, since each needs both cores.
//! What is right is not decided here but by `../check/check.py` and `../check/read_model.py`, which share no code with the
//! product.

mod before_claim;
mod broker_away;
mod check;
mod cql_away;
mod facts;
mod faults;
#[path = "../it/up/http.rs"]
mod http;
mod materializers;
mod member;
mod merchant;
mod orders;
mod process;
#[path = "../it/up/random.rs"]
mod random;
mod sender;
mod stack;
mod state;
mod storm;
mod tampering;
mod zombie;

use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::{env, panic};

/// What has failed so far, for the end of the output: what is before it may be cut off.
static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Taken by every test here.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static NOTES_FAILURES: Once = Once::new();
    NOTES_FAILURES.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            FAILURES.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
            usual(info);
        }));
    });
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner).clear();
    alone
}

/// Says what has failed in this test.
pub(crate) fn say_failures() {
    for failure in &*FAILURES.lock().unwrap_or_else(PoisonError::into_inner) {
        say(failure);
    }
}

/// A number from the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

/// The seed of a run: `CONVERSIONS_SEED`, or a fresh one.
pub(crate) fn seed() -> u64 {
    number("CONVERSIONS_SEED").unwrap_or_else(|| http::unix_seconds() ^ (u64::from(std::process::id()) << 32))
}

#[expect(clippy::print_stderr, reason = "a run that fails is done again with the seed printed here")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
