//! The sender of webhooks: does what the topic `webhook-attempts` says, and writes what came of it to `webhook-outcomes`.
//!
//! When a delivery is attempted, how often and in which order is decided by the state machine
//! [`processors::webhooks`]; the sender keeps nothing. An attempt that it leaves, since it has too much to do, the attempt
//! is too old or the process ends, is written again by the state machine, as one whose outcome does not come is.
//!
//! **Architecture Invariant:** nothing is sent to an address that [`address::is_public`] does not call one, unless the
//! configuration says so: looked at for every connection, after the name was resolved. No redirect is followed, and no proxy
//! is asked.
//!
//! **Architecture Invariant:** one endpoint has a bounded part of what is sent and waits at once, so that one that is slow
//! holds no other.
//!
//! **Architecture Invariant:** no log line, metric, error or outcome has a secret, or what an endpoint answered in its body.

pub mod address;
pub mod signature;

mod client;
mod metrics;
mod resolver;
mod sender;
mod source;

pub use client::{Client, ClientError, ClientOptions};
pub use metrics::Metrics;
pub use sender::{Parts, Sender, SenderOptions};
pub use source::{SourceError, run_embedded, run_kafka};
