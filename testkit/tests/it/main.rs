//! The kit against the servers it starts.

mod compose;
mod kafka;
mod python;
