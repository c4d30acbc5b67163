//! A folder of data, which one process uses at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::error::CliError;

/// Locks the folder for this process. The system lets go of it however the process ends.
pub(crate) fn lock(folder: &Path, setting: &str) -> Result<File, CliError> {
    let path = folder.join("LOCK");
    let cannot = |error: std::io::Error| CliError::Failed(format!("cannot lock {}: {error}", path.display()));
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(CliError::Failed(format!(
                "the data in {} is in use by another `conversions` (process {}): stop it, or give this one a folder of \
                 its own with {setting}",
                folder.display(),
                owner.trim()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(cannot)?;
    Ok(file)
}
