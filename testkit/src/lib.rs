//! What tests need besides the code they test: a real Kafka, a real CQL server, and a Python with other clients of both,
//! each started by the project's own scripts in `docker/local/`, without Docker; and certificates for them.
//!
//! Everything here panics with what to do about it, as a test wants.
//!
//! **Architecture Invariant:** tests only, and no crate of ours is used here. What is started listens on 127.0.0.1, on
//! ports that no other test has, and is gone once the test process is, however that ended.

mod certificates;
mod cql;
mod kafka;
mod ports;
mod proxy;
mod python;
mod script;

pub use certificates::{Authority, Issued};
pub use cql::Cql;
pub use kafka::{Brokers, Kafka};
pub use proxy::{Api, Fault, Proxy};
pub use python::python;

/// A master key for installations that are gone after a test: what signing secrets are encrypted under.
pub const MASTER_KEY: &str = "8f1e0d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a392817f6e5d4c3b2a190";
