//! Whether the server answers.

use std::fmt;
use std::time::Duration;

/// Whether the server answers, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was not reached yet.
    Connecting {
        /// What the last try ended with, if there was one.
        reason: Option<String>,
    },
    /// It answers.
    Up,
    /// It does not answer any more.
    Away {
        /// For so long.
        lasted: Duration,
        /// What it was last heard to say, or not to.
        reason: String,
    },
    /// It answers, and its tables are not the ones that this program knows.
    SchemaMissing {
        /// Whose tables.
        keyspace: String,
        /// The version that is there; `None` if there is none.
        found: Option<i32>,
        /// The version that this program knows.
        expected: i32,
    },
}

impl Health {
    /// Whether questions are asked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Health::Up)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Connecting { reason: None } => f.write_str("not reached yet"),
            Health::Connecting { reason: Some(reason) } => write!(f, "not reached yet: {reason}"),
            Health::Up => f.write_str("up"),
            Health::Away { lasted, reason } => write!(f, "away for {} s: {reason}", lasted.as_secs()),
            Health::SchemaMissing { keyspace, found, expected } => match found {
                Some(found) if found > expected => write!(
                    f,
                    "this program is older than the schema of {keyspace}, which is at version {found}, and this program knows \
                     {expected}: run a newer one"
                ),
                Some(found) => write!(
                    f,
                    "the schema of {keyspace} is at version {found}, and this program needs {expected}: run `conversions migrate`"
                ),
                None => write!(f, "there is no schema in {keyspace}: run `conversions migrate`"),
            },
        }
    }
}
