//! The edge through its router, over test doubles of the log, the claims and the read model.

mod support;

mod auth;
mod clicks;
mod concurrency;
mod conversions;
mod errors;
mod idempotency;
mod limits;
mod listing;
mod logging;
mod metrics;
mod order_status;
mod reading;
mod registry;
mod server;
