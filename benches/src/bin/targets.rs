//! `targets`: the product against its peers. See `benches::targets`.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::targets::main()
}
