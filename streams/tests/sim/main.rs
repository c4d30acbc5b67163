//! The driver and the session on the model of Kafka.

#[path = "../it/toy.rs"]
mod toy;

mod counting;
