//! The read model: what is read from it on both stores, and what is written to a real CQL server.

#[path = "../common/mod.rs"]
mod common;

mod dump;
mod killed;
mod lists;
mod logs;
mod payouts;
mod positions;
mod reads;
mod seed;
mod server;
mod side;
mod writes;
