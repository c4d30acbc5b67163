//! Models that production code runs on in a simulation: one thread, no real I/O, and what a seed decides.

pub mod disk;
