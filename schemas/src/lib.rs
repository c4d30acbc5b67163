//! The contract of the topics: Avro schemas and their Rust types, the topic catalogue, ids and keys, money, time,
//! and the registry that says what merchants, campaigns and rules there are.
//!
//! **Architecture Invariant:** no I/O and no async. A clock value or a random id is always passed in.
//!
//! **Architecture Invariant:** an amount is an integer number of minor units with a currency; a float never holds money.

pub mod codec;
pub mod ids;
pub mod money;
pub mod rate;
pub mod records;
pub mod registry;
pub mod state;
pub mod time;
pub mod topics;
pub mod view;

pub use codec::{AvroRecord, DecodeError, decode, encode};
pub use money::{AmountError, Balance, Currency};
pub use rate::Rate;
pub use time::Timestamp;
