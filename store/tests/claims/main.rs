//! Claims, on both stores.
//!
//! What every store has to do is written once, in `suite`.

#[path = "../common/mod.rs"]
mod common;
mod cql;
mod feeder;
#[path = "../common/keyspaces.rs"]
mod keyspaces;
mod migrations;
mod outage;
mod race;
mod suite;
