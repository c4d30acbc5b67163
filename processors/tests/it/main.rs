//! The state machines, run by the production driver over a log in memory.

mod convergence;
mod coupons;
mod dead_letters;
mod derivation;
mod flow;
mod payouts;
mod registry;
mod world;
