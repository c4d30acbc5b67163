//! The log on Kafka, against a real broker.

mod admin;
mod group;
mod members;
mod metadata;
mod partitions;
mod publisher;
mod reader;
mod records;
mod support;
mod write;
