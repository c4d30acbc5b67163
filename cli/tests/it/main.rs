//! The binary `conversions`, run as its users run it.

mod send;
mod settings;
mod support;
mod topics;
mod up;
mod watch;
