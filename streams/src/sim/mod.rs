//! A model of Kafka in memory, for the driver and the session that run in production. What the embedded log stands on is
//! modelled by itself, in [`disk`].
//!
//! # Constraints
//!
//! 1. A client sees of the model what it may see of Kafka, the worst of it included; where that is a claim about the
//!    real thing, a test asserts the same of both (`tests/claims`).
//! 2. One thread, virtual time, no I/O, no dice: what happens follows from the calls that are made and from what
//!    [`Faults`] decides. Two runs with the same choices have the same history.
//! 3. What is simulated is [`KafkaSession`](crate::kafka::KafkaSession) itself, over clients that stand for librdkafka:
//!    its retries within a call's time, its queue, its background, its fatal errors.
//!
//! # What there is
//!
//! A [`Cluster`] is topics, a transaction coordinator and a group coordinator, as one broker that never loses what it
//! acknowledged: of replication a client sees errors, time-outs and a new leader that does not know yet how far its
//! partition goes. A [`Process`] is what dies together: sessions, publishers and a clock. A [`Disk`] outlives
//! processes.
//!
//! # Order of operations
//!
//! *A request.* (1) [`Faults::before`]; (2) half the latency passes; (3) the broker acts, or does not, or will later;
//! (4) [`Faults::after`]; (5) the other half; (6) the client has its answer, or notices that there is none. Time passes
//! in
//! (1) and (4) as well if the simulator lets it, and others do their steps there: a process is then in the middle of a
//! call, as one that is stopped there.
//!
//! *A transaction's end* is answered once the coordinator has decided it. A marker for each partition, and one for the
//! group's offsets, follow, each in its own time ([`Faults::marker_delay`]): so a last stable offset lags, and offsets
//! may be decided before records are.
//!
//! *A crash.* The process is taken out of the cluster first: none of its clients does anything from then on, also not
//! while it is unwound. Then the call that it is in unwinds, up to [`Process::run`].
//!
//! # What it leaves out
//!
//! Connections and their order: a late request is late by the simulator's word. Broker-side memory of producers expires
//! never. Members are static and use the range assignor, and transactions are those of clients that keep their epoch,
//! as librdkafka's.

mod broker;
mod call;
mod clients;
mod clock;
mod cluster;
pub mod disk;
mod faults;
mod history;
mod member;
mod options;
mod process;
mod producer;
mod publisher;
mod reader;
mod rejoin;
mod requests;
mod stores;

pub use self::broker::{Entry, EntryKind, Generation, RecordFate};
pub use self::clients::SimClients;
pub use self::clock::{SimClock, SimTime};
pub use self::cluster::{Cluster, SeeRecord};
pub use self::faults::{Api, Call, Fate, Faults, NoFaults};
pub use self::member::SimMember;
pub use self::options::{Cleanup, ClusterOptions, TopicOptions};
pub use self::process::{Crashed, Process};
pub use self::producer::SimProducer;
pub use self::publisher::SimPublisher;
pub use self::reader::SimReader;
pub use self::stores::{Disk, SimStores};
