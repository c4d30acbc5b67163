//! The binary `conversions`, run as its users run it.

mod send;
mod support;
mod up;
mod watch;
