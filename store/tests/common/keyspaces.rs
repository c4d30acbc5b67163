//! Keyspaces that are a test's own on a CQL server.

use std::time::Duration;

use store::cql::Options;

/// A machine that builds something else meanwhile is slow, and no test is of that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Two keyspaces of their own that are not there yet, and time enough for every answer.
pub(crate) fn options(server: &testkit::Cql) -> Options {
    let keyspace = testkit::Cql::unique_keyspace();
    Options {
        contact_points: vec![server.contact_point().to_owned()],
        claims_keyspace: format!("{keyspace}_claims"),
        keyspace,
        replication_factor: 1,
        request_timeout: PATIENCE / 2,
        claim_timeout: PATIENCE,
        ..Options::default()
    }
}
