//! Choices of tests that can be made again.

use std::env;
use std::io::{self, Write};

/// What a test makes its choices by: another each time, or that of `CONVERSIONS_SEED`. A test that fails shows it.
pub(crate) fn seed() -> u64 {
    let given = env::var("CONVERSIONS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    let _ = writeln!(io::stderr(), "CONVERSIONS_SEED={seed}");
    seed
}
