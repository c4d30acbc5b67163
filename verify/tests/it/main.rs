//! The verifier against the production state machines, and against logs that no right run leaves.

#[path = "../../../oracle/tests/it/merchants.rs"]
mod merchants;
#[path = "../../../oracle/tests/it/registry.rs"]
mod registry;
mod runs;
mod tampering;
#[path = "../../../oracle/tests/it/world.rs"]
mod world;
