//! The tables of the read model.

use super::Migration;

/// Those of the read model's keyspace.
pub(super) const MIGRATIONS: &[Migration] = &[];
