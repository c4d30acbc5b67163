//! The driver, its stores, its snapshots and retention, over the log and the database that they run on.

mod exactly_once;
mod faults;
mod folder;
mod memory;
mod refused;
mod retention;
mod scan;
mod sizes;
mod snapshots;
mod timers;
mod toy;
mod world;
