//! From the HTTP request to the ledger, with real processes, on each kind of installation: `conversions up` on the embedded
//! log; `conversions ingest` and `conversions processors` on Kafka; and two of the former behind one address, with `conversions
//! materializer`, on Kafka and CQL.
//!
//! A test speaks to a [`cluster::Cluster`], which gives an address, is killed and started again; what the log holds it
//! reads through [`topics::Topics`]. Nothing else in a test of all knows which kind that is. What is about one command
//! or one kind names it: [`embedded::Embedded`].

mod attribution;
mod audit;
mod batches;
pub(crate) mod client;
pub(crate) mod cluster;
mod contract;
mod damage;
mod edges;
mod embedded;
mod ending;
mod endpoints;
mod explaining;
mod files;
mod forwarder;
mod http;
mod identical;
mod kafka;
mod kafka_log;
mod keys;
mod kill_rounds;
mod lists;
mod load;
mod orders;
mod payouts;
mod process;
mod published_script;
mod random;
mod reads;
mod reviews;
mod scaling;
mod service_clicks;
mod shared_claims;
mod shop_events;
mod starting;
mod stopping;
mod stores;
mod tampering;
mod test_clock;
mod topics;
mod verifying;
mod webhooks;
mod what_if;

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
