//! The HTTP edge: authenticates a request, validates it, publishes it to the log, claims it, and answers.
//!
//! A 202 means that the event is durable in the log, and nothing else. What is checked, in this order: the size of
//! the body, the key, the timestamp, the signature over the raw bytes, the key's status, the address, whether the
//! signature came before, the key's rate limit, the media type, the JSON, every field; only then is anything published.
//!
//! Broken HTTP that never becomes a request, such as a head over 32 KiB, is refused by the HTTP library before any of
//! this, with a status of 400 or 431 and without a body; every other error has the contract's one JSON body.
//!
//! **Architecture Invariant:** this crate never computes a commission, and knows no rule.
//!
//! **Architecture Invariant:** the log decides, a claim is courtesy. Publish comes before claim, so a crash between
//! the two costs a caller a second RECEIVED and never an order; without its claim store the edge still accepts.
//!
//! **Architecture Invariant:** nothing here waits without a deadline or holds a queue without a bound: [`Config`]
//! names every one of them.
//!
//! **Architecture Invariant:** a request is let in under one registry as a whole, and goes on under it whatever comes
//! after; reading it takes no lock.
//!
//! **Architecture Invariant:** a body is read once, and what was signed is what is parsed.

pub mod auth;
pub mod config;
pub mod edge;
#[cfg(fuzzing)]
pub mod fuzzing;
#[doc(hidden)]
pub mod measured;
pub mod metrics;
pub mod readiness;
pub mod server;

mod admin;
mod admission;
mod batch;
mod body;
mod claims;
mod clicks;
mod client;
mod clock;
mod code;
mod conversion;
mod cursor;
mod error;
mod explanation;
mod fields;
mod flight;
mod hex;
mod idempotency;
mod json;
mod listing;
mod live;
mod openapi;
mod order_status;
mod payout;
mod places;
mod progress;
mod query;
mod rates;
mod replays;
mod request;
mod review;
mod routes;
mod service_token;
mod submit;
mod test_clock;

pub use admin::{Admins, AdminsError};
pub use auth::AuthTable;
pub use clock::Ids;
pub use config::{Config, ConfigError};
pub use edge::{Edge, Parts};
pub use metrics::Metrics;
pub use openapi::description;
pub use readiness::Readiness;
pub use server::{Drained, serve, serve_status};
pub use service_token::{ServiceToken, ServiceTokenError};
