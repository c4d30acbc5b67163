//! The master keys that secrets on the topic are encrypted under, from the settings.

use std::path::PathBuf;

use ring::rand::{SecureRandom, SystemRandom};
use schemas::registry::{MasterKeys, NONCE_BYTES};

use crate::error::CliError;
use crate::secret_file;
use crate::settings::Settings;

const FILE: &str = "registry.master_key_file";
const VALUE: &str = "registry.master_key";

/// The master keys; none if the settings name none.
///
/// # Errors
/// They name a file that cannot be read, or something that is no master keys.
pub(crate) fn load(settings: &Settings) -> Result<MasterKeys, CliError> {
    let (text, from) = match settings.find::<PathBuf>(FILE) {
        Some(path) => (secret_file::read(&path, "master key")?, format!("{FILE} {}", path.display())),
        None => match settings.find::<String>(VALUE) {
            Some(text) => (text, VALUE.to_owned()),
            None => return Ok(MasterKeys::default()),
        },
    };
    MasterKeys::parse(&text).map_err(|error| {
        CliError::Failed(format!("{from} {error}: a master key is what `openssl rand -hex 32` prints"))
    })
}

/// The master keys of a command that writes secrets.
///
/// # Errors
/// As [`load`], or there are none.
pub(crate) fn needed(settings: &Settings) -> Result<MasterKeys, CliError> {
    let keys = load(settings)?;
    if keys.is_empty() {
        return Err(CliError::Usage(format!(
            "secrets are written encrypted only, and there is no master key: make one with `(umask 077; openssl rand -hex 32 > \
             master.key)`, name its file by {FILE} or CONVERSIONS_REGISTRY_MASTER_KEY_FILE, and keep a copy: without it every \
             secret has to be applied again"
        )));
    }
    Ok(keys)
}

/// A nonce by chance.
///
/// # Panics
/// The system has no chance to offer, as when its device is missing.
pub(crate) fn nonce() -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut nonce).expect("the system offers random bytes");
    nonce
}
