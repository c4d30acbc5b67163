//! Keyspaces on a server.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use store::cql::{Cql, Options, migrate};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// The runtime of everything that has to do with a server: sessions live longer than one question.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// Runs something with the server, for as long as a test may take.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(async { timeout(Duration::from_secs(180), future).await.expect("it takes no three minutes") })
}

/// Two empty keyspaces with their tables.
pub(crate) fn keyspaces(server: &testkit::Cql) -> Options {
    let options = Options {
        contact_points: vec![server.contact_point().to_owned()],
        claims_keyspace: testkit::Cql::unique_keyspace(),
        keyspace: testkit::Cql::unique_keyspace(),
        datacenter: Some("datacenter1".to_owned()),
        replication_factor: 1,
        // Tests share two cores with the server, and with each other.
        request_timeout: Duration::from_secs(10),
        claim_timeout: Duration::from_secs(20),
        ..Options::default()
    };
    wait(migrate(&options)).expect("migrated");
    options
}

/// A session with keyspaces that are there.
pub(crate) fn open(options: &Options) -> Cql {
    wait(async {
        let cql = Cql::open(options.clone()).expect("the options make sense");
        cql.wait_up().await;
        cql
    })
}
