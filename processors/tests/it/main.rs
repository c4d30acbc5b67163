//! The state machines, run by the production driver over a log in memory.

mod convergence;
mod coupons;
mod dead_letters;
mod derivation;
mod explaining;
mod flow;
mod registry;
mod world;
