//! How a CQL server is reached, and what is asked of it at once.

use std::fmt;
use std::time::Duration;

use scylla::statement::{Consistency as DriverConsistency, SerialConsistency};

use super::error::CqlError;
use super::tls::Tls;

/// Longest name of a keyspace that every server takes.
const KEYSPACE_LENGTH_MAX: usize = 48;
/// Most of anything at once: the driver has 32,768 streams a connection.
const IN_FLIGHT_MAX: usize = 4_096;

/// How many replicas answer for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// A majority of the datacentre's: claims are first come, first served among the edges of one datacentre.
    #[default]
    LocalQuorum,
    /// A majority of all: the same among edges in several datacentres, at the price of their distance.
    Quorum,
}

impl Consistency {
    pub(crate) fn driver(self) -> DriverConsistency {
        match self {
            Consistency::LocalQuorum => DriverConsistency::LocalQuorum,
            Consistency::Quorum => DriverConsistency::Quorum,
        }
    }

    /// Of a conditional write, and of a read that has to see all of them.
    pub(crate) fn serial(self) -> SerialConsistency {
        match self {
            Consistency::LocalQuorum => SerialConsistency::LocalSerial,
            Consistency::Quorum => SerialConsistency::Serial,
        }
    }

    /// The serial consistency as that of a read.
    pub(crate) fn serial_read(self) -> DriverConsistency {
        match self {
            Consistency::LocalQuorum => DriverConsistency::LocalSerial,
            Consistency::Quorum => DriverConsistency::Serial,
        }
    }
}

/// A password. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// For the driver, which needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Who we are to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The role.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// How a CQL server is reached, and the bounds of what is asked of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Some nodes, each `host` or `host:port`; the others are learnt from them. Port 9042 unless it is said.
    pub contact_points: Vec<String>,
    /// Default: none.
    pub credentials: Option<Credentials>,
    /// How TLS is spoken; it needs the feature `tls`. Default: it is not.
    pub tls: Option<Tls>,
    /// The keyspace of the claims. Default `conversions_claims`.
    pub claims_keyspace: String,
    /// The keyspace of the read model. Default `conversions`.
    pub keyspace: String,
    /// The datacentre whose nodes are asked, and in which [`super::migrate`] puts the replicas. Default: that of the node that
    /// answers first.
    pub datacenter: Option<String>,
    /// Replicas of a keyspace that [`super::migrate`] makes. Default 3.
    pub replication_factor: u16,
    /// Default [`Consistency::LocalQuorum`].
    pub consistency: Consistency,
    /// One plain read or upsert, the driver's second tries included. Default 1 s.
    pub request_timeout: Duration,
    /// One question to the claims with all that it takes: a conditional write gets half of it, so that there is time to look
    /// for an answer that got lost. Default 900 ms: below the edge's `store_deadline`, which gives up without knowing.
    pub claim_timeout: Duration,
    /// Most conditional writes and serial reads at once: past this many a node only queues. Default 32.
    pub claims_in_flight_max: usize,
    /// Most plain reads at once. Default 256.
    pub reads_in_flight_max: usize,
    /// Most upserts at once. Default 128.
    pub writes_in_flight_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            contact_points: Vec::new(),
            credentials: None,
            tls: None,
            claims_keyspace: "conversions_claims".to_owned(),
            keyspace: "conversions".to_owned(),
            datacenter: None,
            replication_factor: 3,
            consistency: Consistency::default(),
            request_timeout: Duration::from_secs(1),
            claim_timeout: Duration::from_millis(900),
            claims_in_flight_max: 32,
            reads_in_flight_max: 256,
            writes_in_flight_max: 128,
        }
    }
}

impl Options {
    /// Checks what would otherwise fail later, or worse.
    ///
    /// # Errors
    /// [`CqlError::Permanent`], which names the option, its value and what it may be.
    pub fn check(&self) -> Result<(), CqlError> {
        let wrong = |text: String| Err(CqlError::Permanent(text));
        if self.contact_points.is_empty() {
            return wrong("contact points: none; name at least one node as host or host:port".to_owned());
        }
        if let Some(point) = self.contact_points.iter().find(|point| point.trim().is_empty()) {
            return wrong(format!("contact point {point:?}: give a host or host:port"));
        }
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        for (what, name) in [("claims keyspace", &self.claims_keyspace), ("keyspace", &self.keyspace)] {
            if !is_keyspace_name(name) {
                return wrong(format!(
                    "{what} {name:?}: a name is a letter and then letters, digits and _, in lower case, at most \
                     {KEYSPACE_LENGTH_MAX} of them"
                ));
            }
        }
        if self.claims_keyspace == self.keyspace {
            return wrong(format!("keyspace {:?}: claims and read model need one each", self.keyspace));
        }
        if let Some(name) = self.datacenter.as_ref().filter(|name| !is_datacenter_name(name)) {
            return wrong(format!("datacenter {name:?}: a name is of letters, digits, _, - and ."));
        }
        if self.replication_factor == 0 {
            return wrong("replication factor 0: at least 1".to_owned());
        }
        for (what, time) in [("request timeout", self.request_timeout), ("claim timeout", self.claim_timeout)] {
            if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&time) {
                return wrong(format!("{what} {time:?}: from 10 ms to 60 s"));
            }
        }
        for (what, bound) in [
            ("claims in flight", self.claims_in_flight_max),
            ("reads in flight", self.reads_in_flight_max),
            ("writes in flight", self.writes_in_flight_max),
        ] {
            if !(1..=IN_FLIGHT_MAX).contains(&bound) {
                return wrong(format!("{what} {bound}: from 1 to {IN_FLIGHT_MAX}"));
            }
        }
        Ok(())
    }
}

/// What needs no quotes in CQL, whose names are in lower case without them.
fn is_keyspace_name(name: &str) -> bool {
    name.len() <= KEYSPACE_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_datacenter_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { contact_points: vec!["127.0.0.1:9042".to_owned()], ..Options::default() }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Options), expected: Option<&str>) {
        let mut options = options();
        change(&mut options);
        let error = options.check().err().map(|error| error.to_string());
        match (&error, expected) {
            (None, None) => {}
            (Some(error), Some(part)) => assert!(error.contains(part), "{error}"),
            (Some(_), None) | (None, Some(_)) => panic!("{error:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn options_are_checked() {
        check(|_| {}, None);
        check(|options| options.datacenter = Some("eu-west_1.a".to_owned()), None);
        check(|options| options.contact_points.clear(), Some("contact points: none"));
        check(|options| options.contact_points.push(" ".to_owned()), Some("contact point \" \""));
        check(|options| options.keyspace = "Conversions".to_owned(), Some("keyspace \"Conversions\""));
        check(|options| options.keyspace = "a; DROP".to_owned(), Some("keyspace \"a; DROP\""));
        check(|options| options.claims_keyspace = "1a".to_owned(), Some("claims keyspace \"1a\""));
        check(|options| options.keyspace = "k".repeat(49), Some("at most 48"));
        check(|options| options.keyspace = options.claims_keyspace.clone(), Some("one each"));
        check(|options| options.datacenter = Some("dc'1".to_owned()), Some("datacenter \"dc'1\""));
        check(|options| options.replication_factor = 0, Some("replication factor 0"));
        check(|options| options.claim_timeout = Duration::ZERO, Some("claim timeout 0ns"));
        check(|options| options.claims_in_flight_max = 0, Some("claims in flight 0"));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_needs_a_build_with_it() {
        check(
            |options| options.tls = Some(Tls { ca_file: "ca.pem".into(), identity: None }),
            Some("TLS authorities ca.pem: this program was built without TLS; build it with the feature `tls`"),
        );
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let credentials = Some(Credentials { username: "edge".to_owned(), password: Secret::new("hunter2") });
        let shown = format!("{:?}", Options { credentials, ..options() });
        assert!(shown.contains("edge") && !shown.contains("hunter2"), "{shown}");
    }
}
