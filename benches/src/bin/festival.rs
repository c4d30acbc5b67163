//! Rehearses a sale festival: see `benches/README.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::festival::main()
}
