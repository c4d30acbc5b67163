//! A whole installation on one thread, with years of traffic and every fault, from one number.
//!
//! What runs is production's: the edge from its router down, the driver, the session with Kafka and the state machines.
//! What does not is what they stand on: Kafka is [`streams::sim`], disks and clocks are its too. An edge's claims are a model of
//! the store that production fills from the log, or, in half of the runs, production's claims and their keepers over a model of
//! the CQL server that all edges share. What has to come out is the [`oracle`]'s to say.
//!
//! A run has three parts. In the first, a random subset of all kinds of faults goes on ([`Kind`]): requests and answers are
//! lost, late and repeated; processes die anywhere, freeze and come back as zombies, lose disks; merchants send again,
//! contradict themselves, and give up. In the second nothing goes wrong, and within a bounded time everything has to come
//! to rest. In the third days pass, and holds with them. Every record that becomes visible is checked at once, and at the
//! end everything against everything.
//!
//! **Architecture Invariant:** all that happens follows from the seed: one thread, virtual time, no I/O, no dice but
//! [`run`]'s, nothing in the order of a hash map or of addresses. Two runs have the same history, line by line.
//!
//! **Architecture Invariant:** it holds no lock while production code runs, since that calls it back.

pub mod campaign;

mod acting;
mod chances;
mod claims;
mod cql;
mod dice;
mod edge;
mod edge_store;
mod http;
mod imports;
mod merchants;
mod observe;
mod plan;
mod random;
mod reviewers;
mod run;
mod schedule;
mod sharing;
mod shrink;
mod sometimes;
mod swarm;
mod tasks;
mod terms;
mod topology;
mod workers;
mod world;

pub use run::{Outcome, Params, run};
pub use shrink::shrink;
pub use sometimes::{Rare, Sometimes};
pub use swarm::Kind;
pub use world::Failure;
