//! The registry on Kafka: how a file is applied, how the topic is read, and followed while a command runs.

pub(crate) mod apply;
pub(crate) mod file;
pub(crate) mod follower;
pub(crate) mod master_keys;
pub(crate) mod reencrypt;

mod change;
mod reading;
