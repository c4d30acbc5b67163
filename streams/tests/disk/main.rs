//! The driver on the embedded log on a simulated disk: what kills, power losses, failed syncs and full disks leave.
//!
//! One seed decides everything, on one thread. `CONVERSIONS_SEED` runs a single one, `CONVERSIONS_ROUNDS` says how
//! many.

mod campaign;
mod claims;
mod faults;
mod model;
mod names;
mod process;
mod workers;
mod world;
