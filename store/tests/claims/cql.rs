//! Keyspaces on a real server, and what asks them.

use std::io::{self, Write};
use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use store::ClaimError;
use store::cql::{Cql, CqlClaims, Options, migrate};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

pub(crate) use crate::keyspaces::{PATIENCE, options};

/// As many threads as edges have, so that what is asked at once meets on the server.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime")
}

/// A handle that is up.
pub(crate) async fn open(options: &Options) -> Cql {
    let cql = Cql::open(options.clone()).expect("the options make sense");
    wait_up(&cql).await;
    cql
}

pub(crate) async fn wait_up(cql: &Cql) {
    let waited = timeout(PATIENCE, cql.wait_up()).await;
    waited.unwrap_or_else(|_| panic!("after {PATIENCE:?}: {}", cql.health()));
}

/// The claims of two edges on keyspaces of their own.
pub(crate) async fn two_edges(options: &Options) -> [CqlClaims; 2] {
    migrate(options).await.expect("migrated");
    [open(options).await, open(options).await].map(|cql| CqlClaims::new(&cql))
}

/// Another client of the server.
pub(crate) async fn session(options: &Options) -> Session {
    SessionBuilder::new().known_nodes(&options.contact_points).build().await.expect("a session")
}

/// Asks until there is an answer. Where many contend for one row the server may not give one in time; asked again it is the
/// same claim.
pub(crate) async fn answered<T, F: Future<Output = Result<T, ClaimError>>>(ask: impl Fn() -> F) -> T {
    let mut last = None;
    for _ in 0..20 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
        sleep(Duration::from_millis(200)).await;
    }
    panic!("no answer: {last:?}");
}

/// A figure for whoever reads along.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
