//! The oracle against the production state machines, and against records that no right run has.

mod differential;
mod explanations;
mod merchants;
mod registry;
mod tampering;
mod world;
