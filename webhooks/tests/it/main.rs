//! The sender against receivers of every kind, over real connections.

mod receiver;
mod sending;
mod world;
