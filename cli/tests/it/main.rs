//! The binary `conversions`, run as its users run it.

mod apply;
mod dead_letters;
mod following;
mod installation;
mod master_keys;
mod send;
mod settings;
mod shared_store;
mod support;
mod topics;
mod up;
mod watch;
