//! The materializer: between a real Kafka and a real CQL server.

#[path = "../common/mod.rs"]
mod common;
#[path = "../model/dump.rs"]
mod dump;
#[path = "../model/server.rs"]
#[allow(dead_code, reason = "no choice is made here")]
mod server;

mod filled;
mod hung;
mod world;
