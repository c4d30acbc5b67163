//! The read model and the claims in a state store of this process, fed from the log: from the embedded one, or from all
//! partitions of any other.
//!
//! # Constraints
//!
//! 1. Everything here is in the log as well: deleting the store costs a replay, never an answer that was given.
//! 2. Of all who claim the same thing exactly one is first, whichever of them the feeder is faster than.
//! 3. What was answered 202 can be read by its id at once, and the feeder is never waited for. A list has a conversion once
//!    its first transition was fed, which is milliseconds later.
//! 4. Feeding is idempotent: records fed again, and rows that the edge wrote before the feeder came, change nothing.
//! 5. Nothing is synced. The positions applied are rows, in the batch that applied them, and the stamp is their sum.
//! 6. A record that makes no sense is passed over and counted: it is in the dead letters, and the feeder goes on.
//!
//! # Format
//!
//! One store, [`STORE_NAME`]`-0`, of version [`ROWS_VERSION`]. All numbers are big-endian. Every value begins with the
//! byte 1, the version of its own layout; a value of another version or length is refused, never guessed at.
//!
//! | key | | value, after its version | |
//! |---|---|---|---|
//! | 1, conversion id (16) | claim | partition (4), offset (8), fingerprint whole (8), of each field (8 × 4), length of the event id (4), event id | who was first with an order |
//! | 2, digest (16) | claim | | a status update that is known |
//! | 3, merchant, 0, livemode (1), key | idempotency key | instant in ms (8), digest of the body (16) | its latest use |
//! | 4, instant in ms (8), key of the row before without its 3 | index | | the same by time, for expiry |
//! | 5, conversion id (16), seq (4) | timeline entry | the entry as JSON | |
//! | 6, conversion id (16) | conversion | revision (8), last seq as of it (4), `ConversionTransitioned` with no timeline in Avro's single-object encoding | the one of the highest revision |
//! | 7, merchant, 0, livemode (1), receivedAt in ms (8) and conversion id (16) with every bit turned over | list | state and confidence as JSON | of a merchant's conversions, newest first |
//! | 8, topic's number (2), partition (4) | position | next offset (8) | topic and partition 0: the embedded log's |
//! | 9 | identity | text | which log the positions are of |
//! | 10, livemode (1), the end of a key of 7 | list | as of 7 | of what waits for a reviewer |
//! | 11, digest of the payout's id (16), 1 or 2 | payout | `PayoutChanged` in Avro's single-object encoding | that it was made, and what became of it |
//! | 12, cut-off in ms (8) and digest (16) with every bit turned over | list | 1 or 2, state as JSON | of payouts, the latest cut-off first |
//!
//! # Order of operations, and what a crash leaves
//!
//! *The edge* publishes, and when that is durable it claims: a lock on the row, a look, and one unstamped write, or for a
//! conversion an entry in memory whose row the feeder writes. A crash before the write leaves a record without a claim,
//! which the feeder makes good before the next edge answers anybody. A crash after it leaves a row ahead of the stamp, and
//! the feeder finds it as it would have written it.
//!
//! *The feeder* reads a batch of records, locks the rows that it would change and the edge might, looks again, and
//! applies rows and positions as one. A crash leaves all of it or nothing.
//!
//! *The feeder before the edge.* Both learn at the same instant that a record is durable. A claim that the feeder made
//! first is remembered in memory as unanswered with its event, and goes to the caller whose event it is.
//!
//! *Several edges on one log* have a store each. A report that another edge accepted is known here once it was fed; until
//! then this edge may accept the order as well, and both say RECEIVED. The first in the log has the claim in every store
//! in the end: reports of one order are in one partition, so which is first does not depend on what else was fed.
//!
//! *Two reports of one order at once:* the one whose edge claims first is answered RECEIVED, and the first in the log
//! is the order's report. If these differ the feeder moves the claim to the first in the log, which was answered DUPLICATE
//! then or never; so the claims are the same however they were made.
//!
//! *Expiry* deletes an idempotency key's row and index entry in one write, under the row's lock.
//!
//! *Opening* takes the store if its positions are positions of the log with its identity. Rows of another log are emptied.
//! Over the embedded log rows that end before the log begins are emptied too and filled from the snapshot, and the feeder
//! goes on from there, or from the log's first byte. Any other log has no snapshots: rows that end before it begins are
//! kept, and the gap is a loss to be accepted. A partition that is new is read from its beginning.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use schemas::Timestamp;
use streams::StoreError;
use streams::retention::Keeper;
use streams::snapshot::Snapshot;
use streams::store::FjallStore;
use tokio::sync::Semaphore;

use self::ahead::Ahead;
use self::filter::Filter;
use self::locks::{Locks, Unanswered};
use self::stats::{Applied, Counters};
use crate::received::ReportReader;

mod ahead;
mod claims;
pub mod feed;
mod filter;
mod fold;
mod kafka;
mod list;
mod local;
mod locks;
mod open;
mod payouts;
mod places;
mod read;
mod rows;
mod source;
mod stats;

pub use self::feed::{FeedError, Feeder};
pub use self::kafka::KafkaFeed;
pub use self::open::{Loss, OpenError};
pub use self::source::{Feed, Positions, Reports, Source};
pub use self::stats::Stats;

/// The name of the store in its folder, and of its snapshot, before the number of its only partition.
pub const STORE_NAME: &str = "read";

/// The version of the rows: one more whenever their format changes in a way that old rows do not fit. Rows and
/// snapshots of another version are not read but made again from the log.
pub const ROWS_VERSION: u32 = 4;

/// The claims and the read model of one process. Clones are handles of the same store.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

/// What the handles and the feeder share.
#[derive(Debug)]
struct Shared {
    /// For reading, and for what is written ahead of the stamp; the stamp is the feeder's.
    rows: FjallStore,
    reports: ReportReader,
    /// Pages of lists that may be under way.
    pages: Arc<Semaphore>,
    /// Of a store over the embedded log only.
    snapshot: Option<Snapshot>,
    /// Held by whoever looks at a row and then writes it.
    locks: Locks,
    ahead: Ahead,
    filter: Filter,
    unanswered: Unanswered,
    /// No idempotency key was used before this that has not been swept.
    swept: Mutex<Timestamp>,
    applied: Applied,
    counters: Counters,
}

impl EmbeddedStore {
    /// The log position up to which everything can be read: of a log with partitions, the sum of their next offsets.
    #[must_use]
    pub fn applied_position(&self) -> u64 {
        self.shared.applied.get()
    }

    /// Waits until everything before `position` can be read; `false` if it cannot by `deadline`.
    ///
    /// It blocks its thread: it is for start-up, tools and tests. No request waits for the feeder.
    #[must_use]
    pub fn wait_applied(&self, position: u64, deadline: Instant) -> bool {
        self.shared.applied.wait(position, deadline)
    }

    /// Removes idempotency keys that have expired at `now`, a bounded number; returns how many, with keys that were
    /// used again counted too. The feeder calls it; whoever needs them gone sooner may as well.
    ///
    /// # Errors
    /// The store failed.
    pub fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.shared.sweep(now)
    }

    /// What was done since the store was opened, for metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot(self.applied_position())
    }
}

impl Keeper for EmbeddedStore {
    fn consumer(&self) -> Option<&str> {
        None
    }

    fn kept(&self) -> Result<Option<u64>, StoreError> {
        self.shared.snapshot.as_ref().map_or(Ok(None), Snapshot::position)
    }

    fn keep(&self) -> Result<Option<u64>, StoreError> {
        self.shared.snapshot.as_ref().map_or(Ok(None), |snapshot| snapshot.write(&self.shared.rows))
    }
}
