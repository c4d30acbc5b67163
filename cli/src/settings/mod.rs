//! Settings of the commands that run on Kafka: a TOML file, environment variables over it, and defaults under it.
//!
//! [`table::TABLE`] is what there is; names under `kafka.client` are passed on to librdkafka. Everything that is wrong
//! is told at once, and no fault shows the value of a setting that may be a secret.

pub(crate) mod command;

mod environment;
mod faults;
mod file;
mod reference;
mod relations;
mod shared_store;
mod table;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use streams::kafka::{Connection, SettingError};

use self::faults::{FaultList, shown_client};
use self::table::{CLIENT, Preset, TABLE};
use self::value::{FromValue, Value};
use crate::error::CliError;

/// Most bytes of a settings file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the settings are.
#[derive(Args, Debug)]
pub(crate) struct ConfigArg {
    /// The settings, as TOML; environment variables override it. `conversions settings` shows what comes out.
    #[arg(long, value_name = "FILE", env = "CONVERSIONS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// Nothing was said.
    Default,
    /// The file: the byte and the line, from 1.
    File { at: usize, line: usize },
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { line, .. } => write!(f, "line {line}"),
            Origin::Environment(variable) => f.write_str(variable),
        }
    }
}

/// A setting as it was found.
struct Found<V> {
    value: V,
    origin: Origin,
}

/// The settings in force, all of them in their ranges.
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Found<Option<Value>>>,
    client: BTreeMap<String, Found<String>>,
}

impl Settings {
    /// Reads the file, if one is named, and the environment.
    ///
    /// # Errors
    /// The file cannot be read, or all that is wrong with the settings, a line each.
    pub(crate) fn load(arg: &ConfigArg) -> Result<Settings, CliError> {
        let text = arg.config.as_deref().map(read).transpose()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Settings::parse(text.as_deref().unwrap_or_default(), env::vars_os(), &host).map_err(|faults| {
            let file = arg.config.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default();
            CliError::Usage(format!("the settings{file} have faults:\n{faults}"))
        })
    }

    /// Settings from the text of a file, an environment, and the machine's name; the error is one line a fault.
    fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        host: &str,
    ) -> Result<Settings, String> {
        let mut settings = Settings { values: BTreeMap::new(), client: BTreeMap::new() };
        let mut faults = FaultList::new(text);
        file::read(text, &mut settings, &mut faults);
        environment::read(environment, &mut settings, &mut faults);
        settings.fill(host, &mut faults);
        settings.check_client(&mut faults);
        relations::check(&settings, &mut faults);
        faults.finish(settings)
    }

    /// Gives what was not said its default.
    fn fill(&mut self, host: &str, faults: &mut FaultList<'_>) {
        for setting in TABLE {
            if self.values.contains_key(setting.name) {
                continue;
            }
            let value = match setting.preset {
                Preset::Value(text) => {
                    Some(setting.kind.parse(text).expect("the table's defaults are in their ranges"))
                }
                Preset::HostName => {
                    let parsed = setting.kind.parse(host);
                    if let Err(remedy) = &parsed {
                        let message = format!(
                            "{} must be given, since the machine's name {host:?} cannot be one: it {remedy}",
                            setting.name
                        );
                        faults.add(&Origin::Default, message);
                    }
                    parsed.ok()
                }
                Preset::Nothing => None,
            };
            self.values.insert(setting.name, Found { value, origin: Origin::Default });
        }
    }

    fn check_client(&self, faults: &mut FaultList<'_>) {
        let mut connection = Connection::new("", "");
        for (name, found) in &self.client {
            let owner = TABLE.iter().find(|setting| setting.client.contains(&name.as_str()));
            let fault = match (owner, connection.set(name, &found.value)) {
                (Some(owner), _) => format!("cannot be given: give {} instead", owner.name),
                (None, Err(SettingError::NeedsTls)) => relations::needs_tls(),
                (None, Err(error)) => error.to_string(),
                (None, Ok(())) => continue,
            };
            faults.add(&found.origin, format!("{CLIENT}{name} {} {fault}", shown_client(name, &found.value)));
        }
    }

    /// The value of a setting that has a default.
    ///
    /// # Panics
    /// If the table has no such setting, or it is of another type.
    pub(crate) fn get<T: FromValue>(&self, name: &str) -> T {
        let value = self.value(name).unwrap_or_else(|| panic!("{name} has no default"));
        T::from_value(value).unwrap_or_else(|| panic!("{name} is of another type"))
    }

    /// The value of a setting, if it has one.
    ///
    /// # Panics
    /// If the table has no such setting.
    pub(crate) fn find<T: FromValue>(&self, name: &str) -> Option<T> {
        self.value(name).and_then(T::from_value)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).unwrap_or_else(|| panic!("there is no setting {name}")).value.as_ref()
    }
}

impl fmt::Debug for Settings {
    /// Without values: there are passwords among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("client", &self.client.keys()).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    let shown = path.display();
    let cannot = |error: std::io::Error| CliError::Failed(format!("cannot read the settings {shown}: {error}"));
    let mut text = String::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(CliError::Usage(format!("the settings {shown} must have at most {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
