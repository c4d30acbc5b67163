//! The registry file, and what of it goes to other topics than the registry's.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use schemas::registry::{FILE_BYTES_MAX, Faults, Registry};
use schemas::topics::CLICKS;
use streams::Message;

use crate::error::CliError;
use crate::secret_file;

/// Reads the file's text and has it parsed.
///
/// # Errors
/// The file cannot be read, or all its faults with their lines.
pub(crate) fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Faults>) -> Result<T, CliError> {
    let shown = path.display();
    let cannot = |error: std::io::Error| CliError::Failed(format!("cannot read the registry {shown}: {error}"));
    let mut text = String::new();
    // One byte past the bound is enough for the parser to refuse the file by its size.
    let file = File::open(path).map_err(cannot)?;
    if secret_file::is_open(&file) {
        tracing::warn!("others on this machine can read the registry {shown} and the secrets in it: chmod 600 {shown}");
    }
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(cannot)?;
    parse(&text).map_err(|faults| CliError::Failed(format!("the registry {shown} has faults:\n{faults}")))
}

/// The registry's clicks as records; those that are known already change nothing.
pub(crate) fn clicks(registry: &Registry) -> impl Iterator<Item = Message> {
    registry.clicks().iter().map(|click| Message {
        topic: processors::topic(&CLICKS),
        key: click.click_id.clone().into_bytes(),
        value: schemas::encode(click),
    })
}
