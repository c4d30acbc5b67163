//! The driver on a real Kafka: exactly once through crashes, rebalances and doubts.

#[path = "../it/toy.rs"]
mod toy;

mod doubt;
mod passing;
mod rebalances;
mod restoring;
mod stores;
mod world;
mod zombies;
