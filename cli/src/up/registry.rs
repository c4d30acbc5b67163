//! The registry that `up` runs under.

use schemas::registry::Registry;

use super::args::UpArgs;
use crate::error::CliError;
use crate::registry::file;

/// The demo's registry, or the file's; one with the demo's keys, which everybody knows, only for a loopback address.
pub(super) fn load(args: &UpArgs) -> Result<Registry, CliError> {
    let registry = match &args.registry {
        Some(path) => file::read(path, Registry::parse)?,
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
