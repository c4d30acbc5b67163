//! Claims and read model in CQL: ScyllaDB, or Apache Cassandra.

mod answer;
mod breaker;
mod claims;
mod error;
mod health;
mod link;
mod materializer;
mod migrations;
mod model;
mod options;
mod session;
mod stats;
mod tend;
mod tls;

pub use self::claims::{Attempt, ClaimKeeper, ClaimTable, ConversionRow, CqlClaims, CqlTables, GRACE, Reading};
pub use self::error::CqlError;
pub use self::health::Health;
pub use self::link::Cql;
pub use self::materializer::{
    Materializer, MaterializerError, MaterializerOptions, MaterializerProgress, Rebuild, RebuildError, RebuildProgress,
    Task, adopt,
};
pub use self::migrations::{Applied, MigrateError, migrate};
pub use self::options::{Consistency, Credentials, Options, Secret};
pub use self::session::Server;
pub use self::stats::{ClaimStats, KeptStats, LATENCY_BOUNDS_MS, Latencies, LinkStats};
