//! A Python with other implementations of what we speak.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::script;

/// The path of a Python interpreter that has `confluent-kafka`, `fastavro`, `cassandra` and `schemathesis`, as pinned in
/// `docker/local/requirements.txt`. It is made at first use, once for all test processes.
///
/// # Panics
/// If it cannot be made; the message says what to install.
#[must_use]
pub fn python() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match script::output(&mut script::command("python")) {
        Ok(path) => PathBuf::from(path.trim_end()),
        Err(message) => panic!("{message}"),
    })
}
