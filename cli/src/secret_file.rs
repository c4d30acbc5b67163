//! Files that hold a secret.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::CliError;

/// Most bytes of one: a longer file is some other file.
const BYTES_MAX: u64 = 4_096;
/// Most bytes of a list of administrators.
const LIST_BYTES_MAX: u64 = 65_536;
/// What of a file's mode lets others than its owner and its group read it, or its group write it.
const TOO_OPEN: u32 = 0o027;

/// Reads the file of a secret, which is `what`. The error never repeats what was read.
///
/// # Errors
/// It cannot be read, is too long, or can be read by anybody.
pub(crate) fn read(path: &Path, what: &str) -> Result<String, CliError> {
    read_up_to(path, what, BYTES_MAX)
}

/// The same of a file with a line for each of many.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_list(path: &Path, what: &str) -> Result<String, CliError> {
    read_up_to(path, what, LIST_BYTES_MAX)
}

fn read_up_to(path: &Path, what: &str, bytes_max: u64) -> Result<String, CliError> {
    let shown = path.display();
    let cannot = |error: std::io::Error| CliError::Failed(format!("cannot read the {what} in {shown}: {error}"));
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        return Err(CliError::Failed(format!(
            "the {what} in {shown} can be read or changed by others, as its mode is {mode:03o}: chmod 600 {shown}"
        )));
    }
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > bytes_max {
        return Err(CliError::Failed(format!("the {what} in {shown} must have at most {bytes_max} bytes")));
    }
    Ok(text)
}

/// Whether others than the owner and the group can read a file.
pub(crate) fn is_open(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.mode() & 0o007 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "hunter2").expect("a file");
        for (mode, fits) in
            [(0o600, true), (0o400, true), (0o440, true), (0o644, false), (0o604, false), (0o660, false)]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
            let read = read(&path, "master key");
            assert_eq!(read.is_ok(), fits, "{mode:o}");
            let told = read.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(
                fits || told.ends_with(&format!("as its mode is {mode:03o}: chmod 600 {}", path.display())),
                "{told}"
            );
            assert!(!told.contains("hunter2"), "{told}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        fs::write(&path, "x".repeat(4_097)).expect("a file");
        assert!(read(&path, "master key").is_err_and(|error| error.to_string().ends_with("at most 4096 bytes")));
        assert!(read(&folder.path().join("none"), "master key").is_err());
    }
}
