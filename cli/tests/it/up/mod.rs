//! `conversions up` from end to end: the real process, over HTTP, on a data folder of its own.
//!
//! A test speaks to a [`cluster::Cluster`], which gives an address, is killed and started again; what the log holds it
//! reads through [`topics::Topics`]. Nothing else here knows which log that is.

mod attribution;
mod audit;
mod client;
mod cluster;
mod damage;
mod files;
mod identical;
mod kill_rounds;
mod load;
mod orders;
mod published_script;
mod random;
mod reads;
mod starting;
mod stopping;
mod tampering;
mod topics;

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Asks until the answer is right, and fails with the last wrong one once the deadline has passed.
#[track_caller]
pub(crate) fn poll<T, E: Display>(deadline: Duration, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) => assert!(begun.elapsed() < deadline, "not within {deadline:?}: {last}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}
