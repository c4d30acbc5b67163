//! Who may use the admin API: where the list comes from.

use std::path::{Path, PathBuf};

use ingest::Admins;

use crate::error::CliError;
use crate::secret_file;
use crate::settings::Settings;

/// That of the settings; none if they name none.
///
/// # Errors
/// They name a file that cannot be read, or that is no such list.
pub(crate) fn of_settings(settings: &Settings) -> Result<Option<Admins>, CliError> {
    settings.find::<PathBuf>("ingest.admin_tokens_file").map(|path| of_file(&path)).transpose()
}

/// That of a file.
///
/// # Errors
/// As [`of_settings`].
pub(crate) fn of_file(path: &Path) -> Result<Admins, CliError> {
    let text = secret_file::read_list(path, "list of administrators")?;
    let shown = path.display();
    Admins::parse(&text).map_err(|error| CliError::Usage(format!("the list of administrators in {shown} {error}")))
}
