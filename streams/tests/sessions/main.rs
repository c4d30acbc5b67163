//! The driver on a real Kafka: exactly once through crashes, rebalances and doubts.

#[path = "../it/toy.rs"]
mod toy;

mod world;

mod smoke;
