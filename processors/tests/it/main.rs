//! The state machines, run by the production driver over a log in memory.

mod convergence;
mod coupons;
mod dead_letters;
mod derivation;
mod explaining;
mod flow;
mod payouts;
mod registry;
mod reviews;
mod self_referral;
mod settlements;
mod simulated;
mod test_clock;
mod webhooks;
mod what_if;
mod world;
