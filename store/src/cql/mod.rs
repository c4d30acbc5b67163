//! Claims and read model in CQL: ScyllaDB, or Apache Cassandra.
//!
//! # Constraints
//!
//! 1. Everything here is in the log as well: a keyspace that is lost costs a replay.
//! 2. Of all who claim the same thing one is first, whichever edge was asked and whatever answers got lost. What cannot be
//!    found out in time is no answer, which the edge counts and goes on without: it is never guessed.
//! 3. Nobody waits for a server that is away. Opening returns at once, and after a few failures in a row questions are
//!    answered in microseconds, until the server is found again; no restart is needed for that.
//! 4. Everything asked has a bound on time, and everything under way one on number.
//! 5. In one table there are conditional writes only, or upserts that say their own timestamps only. Mixed, they would
//!    overwrite each other by clocks that nobody set.
//! 6. The CQL is what ScyllaDB and Cassandra have in common. What only one of them understands is sent to that one.
//!
//! # Format
//!
//! Two keyspaces, since conditional writes want ScyllaDB's tablets off. The read model's is described in its own module. The
//! claims' has
//!
//! | table | key | columns | written by |
//! |---|---|---|---|
//! | `conversion_claims` | conversion id | `claimed_by`: the event whose attempt made the row, for ever; `event_id`, `fingerprint` (whole, then each field, big-endian: 40 bytes), `kafka_partition`, `kafka_offset`: the report that stands, first the claimant's, in the end the first in the log | conditional writes |
//! | `status_claims` | digest | `claimed_by` | conditional writes |
//! | `idempotency_keys` | merchant, mode, key | `body_digest`, `used_at` in ms: the latest use, for a day | upserts, with `used_at` as timestamp |
//! | `schema_migrations` | keyspace, version | `name`, `checksum`, `applied_at` | conditional writes |
//! | `schema_lock` | `schema` | `holder`, for a minute | conditional writes |
//!
//! # Order of operations, and what a crash leaves
//!
//! *The edge* publishes, and when that is durable it claims: one `INSERT … IF NOT EXISTS`, with its own event as claimant. A
//! crash before it leaves a record without a claim, which the keeper makes good.
//!
//! *An answer that got lost*, be it a time-out, a broken connection, or an error after which the write may still be applied, is
//! looked up at serial consistency, which ends what is half done. A row with my event is mine, whoever wrote it and however often;
//! one with another's is not; without a row the same write is sent again. So one that arrives late finds the row, or is it.
//!
//! *The keeper* reads the log behind the edges, by a grace in which claims are theirs to make, and makes good what is missing. An
//! edge that comes even later finds its own event as claimant and has claimed. Where an earlier report of the same order
//! turns up, the row is moved to it under the condition that it has not moved since; the claimant stays. The keeper's
//! records may be read again, by two of it at once too: rows only ever move one way.
//!
//! *The server away.* The breaker opens after a few failures in a row. Then one task alone asks for it: through the
//! session that there is, and soon with a new one, since the driver by itself waits up to 10 s between two tries to connect. What was
//! asked of a session that was replaced counts no more.
//!
//! *Migrations:* see `migrations/run.rs`.

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
pub use self::model::{AdoptError, CqlReadModel, Writer, WriterStats};
pub use self::options::{Consistency, Credentials, Options, Secret};
pub use self::session::Server;
pub use self::stats::{ClaimStats, KeptStats, LATENCY_BOUNDS_MS, Latencies, LinkStats};
pub use self::tls::{Identity, Tls};
