//! The kit against the servers it starts.

mod compose;
mod cql;
mod gone;
mod kafka;
mod python;
