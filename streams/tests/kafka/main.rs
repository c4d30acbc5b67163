//! The log on Kafka, against a real broker.

mod admin;
mod reader;
mod support;
