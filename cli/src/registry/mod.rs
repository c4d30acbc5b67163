//! The registry on Kafka: how it is read from its topic, and followed while a command runs.

pub(crate) mod follower;

mod reading;
