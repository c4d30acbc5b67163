//! The materializer: between a real Kafka and a real CQL server.

#[path = "../common/mod.rs"]
mod common;
#[path = "../model/dump.rs"]
mod dump;
#[path = "../model/server.rs"]
mod server;

mod filled;
mod hung;
mod world;
