//! The exactly-once runtime: a [`Processor`] is a pure state machine, the [`driver`] runs it, a log carries it.
//!
//! One step is one transaction: the outputs, the state changes and the input offsets of a batch of records commit
//! together or not at all, and the state store is written only after the log has said "committed". The driver that
//! runs over the embedded log is the one that runs over any other log: a log is a [`log::Session`] for the driver
//! and a [`log::Publisher`] for the edge.
//!
//! **Architecture Invariant:** this crate knows nothing of conversions. Topics, keys, values and state rows are
//! bytes here; what they mean is the business of the crates above.
//!
//! **Architecture Invariant:** the state store is a cache of the log. It is never fsynced on the commit path, it is
//! stamped with the position applied to it, and it may be deleted at any time.
//!
//! **Architecture Invariant:** nothing here waits without a bound or holds a queue without one.

pub mod background;
pub mod disk;
pub mod driver;
pub mod embedded;
pub mod kafka;
pub mod log;
pub mod processor;
pub mod retention;
pub mod sim;
pub mod snapshot;
pub mod store;

pub use driver::{Clock, Driver, DriverError, Progress, Stores, SystemClock};
pub use log::{Ack, Commit, LogError, Message, Polled, PublishError, Publisher, Record, Session, Step, Topic};
pub use processor::{Context, DeadLetter, Failure, Input, Processor, Refusal};
pub use store::{Change, StateStore, StoreError};
