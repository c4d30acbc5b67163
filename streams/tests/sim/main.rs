//! The driver and the session on the model of Kafka.

#[path = "../it/toy.rs"]
mod toy;

mod counting;
mod machines;
mod passing;
mod publishing;
mod races;
mod world;
