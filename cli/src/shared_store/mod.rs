//! The shared store, as the commands that run on it have it.

pub(crate) mod metrics;

use store::cql::{Cql, Health, Options};
use tokio::runtime::Runtime;

use crate::error::CliError;

/// Begins to look for the store, which may be away.
pub(crate) fn open(options: Options, runtime: &Runtime) -> Result<Cql, CliError> {
    let _runtime = runtime.enter();
    Cql::open(options).map_err(|error| CliError::Usage(format!("the shared store: {error}")))
}

/// What to say of a store that is not up.
pub(crate) fn away(health: &Health) -> Option<String> {
    match health {
        Health::Up => None,
        Health::Connecting { .. } | Health::Away { .. } => Some(format!("the shared store is {health}")),
        Health::SchemaMissing { .. } => Some(format!("the shared store: {health}")),
    }
}
