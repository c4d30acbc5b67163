//! The registry that `up` runs under.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use schemas::registry::FILE_BYTES_MAX;
use schemas::registry::Registry;

use super::args::UpArgs;
use crate::error::CliError;

/// The demo's registry, or the file's; one with the demo's keys, which everybody knows, only for a loopback address.
pub(super) fn load(args: &UpArgs) -> Result<Registry, CliError> {
    let registry = match &args.registry {
        Some(path) => read(path)?,
        None => Registry::demo(),
    };
    if registry.has_demo_key() && !args.listen.ip().is_loopback() {
        return Err(CliError::Usage(format!(
            "the registry has the demo's keys, which everybody knows, and {} can be reached from elsewhere: listen on \
             127.0.0.1, or use --registry with keys of your own",
            args.listen
        )));
    }
    Ok(registry)
}

fn read(path: &Path) -> Result<Registry, CliError> {
    let shown = path.display();
    let cannot = |error: std::io::Error| CliError::Failed(format!("cannot read the registry {shown}: {error}"));
    let mut text = String::new();
    // One byte past the bound is enough for the parser to refuse the file by its size.
    let file = File::open(path).map_err(cannot)?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(cannot)?;
    Registry::parse(&text).map_err(|faults| CliError::Failed(format!("the registry {shown} has faults:\n{faults}")))
}
