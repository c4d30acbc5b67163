//! The settings of the shared store, as the crate below takes them.

use std::path::PathBuf;
use std::time::Duration;

use store::cql::{Credentials, Identity, Options, Secret, Tls};

use super::Settings;
use crate::error::CliError;

/// Part of `ingest.store_deadline` that a question to the claims may take, in percent: who asks hears what came of it.
const CLAIM_PERCENT: u32 = 90;

impl Settings {
    /// How to reach the shared store; `None` if there is none.
    pub(crate) fn shared_store(&self) -> Option<Options> {
        let contact_points: String = self.find("cql.contact_points")?;
        let login = self.find("cql.username").zip(self.find::<String>("cql.password"));
        let deadline: Duration = self.get("ingest.store_deadline");
        Some(Options {
            contact_points: contact_points.split(',').map(|point| point.trim().to_owned()).collect(),
            credentials: login.map(|(username, password)| Credentials { username, password: Secret::new(password) }),
            tls: self.find::<PathBuf>("cql.tls_ca_file").map(|ca_file| Tls { ca_file, identity: self.identity() }),
            claims_keyspace: self.get("cql.claims_keyspace"),
            keyspace: self.get("cql.keyspace"),
            datacenter: self.find("cql.datacenter"),
            replication_factor: self.get("cql.replication_factor"),
            request_timeout: self.get("cql.request_timeout"),
            claim_timeout: (deadline * CLAIM_PERCENT / 100).max(Duration::from_millis(10)),
            claims_in_flight_max: self.get("cql.claims_in_flight_max"),
            writes_in_flight_max: self.get("cql.writes_in_flight_max"),
            ..Options::default()
        })
    }

    /// What nodes are shown that ask who we are.
    fn identity(&self) -> Option<Identity> {
        let (cert_file, key_file) = self.find("cql.tls_cert_file").zip(self.find("cql.tls_key_file"))?;
        Some(Identity { cert_file, key_file })
    }

    /// The same, for a command that is of no use without it.
    ///
    /// # Errors
    /// `cql.contact_points` is not given.
    pub(crate) fn needed_shared_store(&self) -> Result<Options, CliError> {
        self.shared_store().ok_or_else(|| {
            CliError::Usage(
                "cql.contact_points must be given: in the file of --config, or as CONVERSIONS_CQL_CONTACT_POINTS"
                    .to_owned(),
            )
        })
    }
}
