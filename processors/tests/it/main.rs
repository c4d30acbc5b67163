//! The state machines, run by the production driver over a log in memory.

mod convergence;
mod coupons;
mod dead_letters;
mod derivation;
mod flow;
mod registry;
mod reviews;
mod world;
