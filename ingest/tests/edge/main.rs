//! The edge through its router, over test doubles of the log, the claims and the read model.

mod support;

mod auth;
mod batch;
mod batch_bodies;
mod clicks;
mod concurrency;
mod conversions;
mod errors;
mod idempotency;
mod keys;
mod limits;
mod listing;
mod logging;
mod metrics;
mod openapi;
mod order_status;
mod payouts;
mod rates;
mod reading;
mod registry;
mod replays;
mod reviews;
mod server;
mod service_clicks;
mod test_clock;
mod webhooks;
