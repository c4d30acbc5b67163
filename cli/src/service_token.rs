//! The token of a service that records clicks: where it comes from.

use std::env;
use std::path::{Path, PathBuf};

use ingest::ServiceToken;

use crate::error::CliError;
use crate::secret_file;
use crate::settings::Settings;

const FILE: &str = "ingest.service_token_file";
const VALUE: &str = "ingest.service_token";
/// Where `conversions up` looks for it when no file is named: a command line is visible to every user of a machine.
pub(crate) const VARIABLE: &str = "CONVERSIONS_SERVICE_TOKEN";

/// That of the settings; none if they name none.
///
/// # Errors
/// They name a file that cannot be read, or something that is no token.
pub(crate) fn of_settings(settings: &Settings) -> Result<Option<ServiceToken>, CliError> {
    match settings.find::<PathBuf>(FILE) {
        Some(path) => of_file(&path).map(Some),
        None => settings.find::<String>(VALUE).map(|text| token(&text, VALUE)).transpose(),
    }
}

/// That of a file, or else of the environment; none if neither is given.
///
/// # Errors
/// As [`of_settings`].
pub(crate) fn of_file_or_variable(file: Option<&Path>) -> Result<Option<ServiceToken>, CliError> {
    match (file, env::var(VARIABLE)) {
        (Some(path), _) => of_file(path).map(Some),
        (None, Ok(text)) if !text.is_empty() => token(&text, VARIABLE).map(Some),
        (None, Ok(_) | Err(env::VarError::NotPresent)) => Ok(None),
        (None, Err(env::VarError::NotUnicode(_))) => Err(CliError::Usage(format!("{VARIABLE} must be UTF-8"))),
    }
}

fn of_file(path: &Path) -> Result<ServiceToken, CliError> {
    token(&secret_file::read(path, "service token")?, &path.display().to_string())
}

fn token(text: &str, from: &str) -> Result<ServiceToken, CliError> {
    ServiceToken::new(text.trim()).map_err(|error| CliError::Usage(format!("the service token in {from} {error}")))
}
