//! Settings from environment variables, which override the file.

use std::ffi::OsString;

use schemas::registry::shown;

use super::faults::FaultList;
use super::table::{TABLE, VARIABLE};
use super::{Found, Origin, Settings};

/// What the variables of settings that are passed on begin with. The client's names have dots and no underscores, so
/// that the one stands for the other.
const CLIENT_VARIABLE: &str = "CONVERSIONS_KAFKA_CLIENT_";

/// Reads the environment's settings. An empty variable counts as not set, except of a setting that is passed on.
pub(super) fn read(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    settings: &mut Settings,
    faults: &mut FaultList<'_>,
) {
    let mut variables: Vec<(String, OsString)> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| is_ours(name))
        .collect();
    variables.sort();
    for (variable, value) in variables {
        let origin = Origin::Environment(variable.clone());
        let Ok(value) = value.into_string() else {
            faults.add(&origin, "the value must be UTF-8".to_owned());
            continue;
        };
        if let Some(client) = variable.strip_prefix(CLIENT_VARIABLE) {
            settings.client.insert(client.to_ascii_lowercase().replace('_', "."), Found { value, origin });
        } else if let Some(setting) = TABLE.iter().find(|setting| setting.variable() == variable) {
            if value.is_empty() {
                continue;
            }
            let parsed = setting.kind.parse(&value);
            if let Err(remedy) = &parsed {
                faults.add(&origin, format!("{} {} {remedy}", setting.name, shown(&value)));
            }
            settings.values.insert(setting.name, Found { value: parsed.ok(), origin });
        } else {
            let message = "there is no such setting: `conversions settings` lists them with their variables";
            faults.add(&origin, message.to_owned());
        }
    }
}

/// Whether a variable begins with one of our sections, and is none that Kubernetes makes for a service of such a name.
fn is_ours(variable: &str) -> bool {
    let Some(rest) = variable.strip_prefix(VARIABLE) else { return false };
    let in_section =
        |section: &str| rest.strip_prefix(&section.to_ascii_uppercase()).is_some_and(|field| field.starts_with('_'));
    let is_service = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|link| rest.ends_with(link))
        || ["_SERVICE_PORT_", "_PORT_"].iter().any(|link| rest.contains(link));
    !is_service && TABLE.iter().any(|setting| in_section(setting.parts().0))
}
