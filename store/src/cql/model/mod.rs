//! The read model in CQL: what records are in it, how they get there, and how they are read.
//!
//! # Constraints
//!
//! 1. A record is rows, by a pure function, and each row has a write timestamp from the record itself. So whoever writes
//!    a record again, or late, or beside somebody else who does, changes nothing.
//! 2. Two writes of one row with one timestamp are the same write. What a record maps to therefore never changes in a
//!    keyspace that has rows: a program that maps it otherwise fills another keyspace.
//! 3. A row is always written with the same columns, and never a null. There are no tombstones.
//! 4. A reader sees a conversion as of one revision, whole: it is one cell, and its timeline, whose entries never change,
//!    is read with it and counted by it.
//! 5. No partition grows without a bound: see [`slots`].
//! 6. A position is written after everything before it, and never goes back.
//!
//! # Order of operations, and what a crash leaves
//!
//! *The writer* maps a batch of records, keeps the newest version of each row, and writes the rows of each partition in one
//! request or a few, partitions side by side: a timeline before the conversion that counts it. When all are written the
//! batch is, and only then its positions are. A crash leaves some of the rows, ahead of the position: they are written
//! again, as they are.
//!
//! *A reader* in the meantime may find a conversion that its list does not have yet, or the other way round. It takes from
//! the list only where a conversion is, holds what the conversion says against the question again, and shows that.
//!
//! # Retries
//!
//! The driver takes another node when one does not answer, if there is another. Beyond that a writer asks again for as long
//! as its caller waits, with pauses, since everything that it writes may be written twice; a reader's caller waits for
//! somebody's answer, and is told at once.

mod batch;
mod columns;
mod conversion;
mod empty;
mod list;
mod mapping;
mod merge;
mod payouts;
mod positions;
mod read;
mod rows;
mod slots;
mod statements;
#[cfg(test)]
mod tests;
mod values;
mod walk;
mod write;

pub use self::positions::AdoptError;
pub use self::read::CqlReadModel;
pub(crate) use self::statements::Statements;
pub use self::write::{Writer, WriterStats};
