//! The reference page, `docs/SETTINGS.md`. The tests say when it or `examples/conversions.toml` does not follow the table.

use std::fmt::Write;

use super::table::{Preset, Setting, TABLE};

/// The page, as Markdown.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Settings\n\nOf the commands that run on Kafka. Made from `cli/src/settings/table.rs`; `UPDATE_SETTINGS=1 cargo test -p cli \
         settings` writes it.\n\nA value comes from its environment variable, else from the TOML file of `--config FILE` (or \
         `CONVERSIONS_CONFIG`), else it is the default. An empty variable counts as not set. Whatever is unknown, of a \
         wrong type or out of its range is told at once, with its line or variable, and nothing runs. `conversions \
         settings --config FILE` prints what is in force and where it comes from. \
         [examples/conversions.toml](../examples/conversions.toml) is a file with every setting.\n\nDurations are written \
         `25ms`, `10s`, `2m`, `1h`, `1d`; bytes `65536`, `64KiB`, `4MiB`, `1GiB`.\n",
    );
    let mut section = "";
    for setting in TABLE {
        if setting.parts().0 != section {
            section = setting.parts().0;
            write!(text, "\n## {section}\n\n| setting | variable | value | default | what |\n|---|---|---|---|---|\n")
                .expect("a string takes it");
        }
        row(&mut text, setting);
        if setting.name == "kafka.prefix" {
            text.push_str(
                "| `kafka.client.*` | `CONVERSIONS_KAFKA_CLIENT_*` | text in quotes, whole number, true or false | | Any \
                 [setting of librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md), such as \
                 `security.protocol`, but those that exactly-once rests on and those that a setting here decides. In a \
                 variable's name `_` stands for `.`: `CONVERSIONS_KAFKA_CLIENT_SASL_PASSWORD`. Values of names with \
                 `password`, `secret`, `key` and the like are never shown. |\n",
            );
        }
    }
    text
}

fn row(text: &mut String, setting: &Setting) {
    let preset = match setting.preset {
        Preset::Value("") => "empty".to_owned(),
        Preset::Value(value) => format!("`{value}`"),
        Preset::HostName => "the machine's name".to_owned(),
        Preset::Nothing => "none".to_owned(),
    };
    let decides: Vec<String> = setting.client.iter().map(|name| format!("`{name}`")).collect();
    let client =
        if decides.is_empty() { String::new() } else { format!(" Decides {} of the client.", decides.join(", ")) };
    let (name, variable, kind, doc) = (setting.name, setting.variable(), setting.kind.description(), setting.doc);
    writeln!(text, "| `{name}` | `{variable}` | {kind} | {preset} | {doc}{client} |").expect("a string takes it");
}

#[cfg(test)]
mod tests {
    use super::super::{Origin, Settings};
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SETTINGS.md");
    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/conversions.toml");

    #[test]
    fn the_settings_page_is_the_table() {
        if std::env::var_os("UPDATE_SETTINGS").is_some() {
            std::fs::write(PAGE, page()).expect("the page can be written");
        }
        let written = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert_eq!(written, page(), "docs/SETTINGS.md is not up to date: UPDATE_SETTINGS=1 cargo test -p cli settings");
    }

    /// The example with every setting that it has commented out (`#name = …`) in force.
    fn example() -> String {
        let text = std::fs::read_to_string(EXAMPLE).expect("the example is there");
        let is_setting = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = ");
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if is_setting(rest) => rest,
            Some(_) | None => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_has_every_setting_and_its_default() {
        let raw = std::fs::read_to_string(EXAMPLE).expect("the example is there");
        let mut values = example();
        if !cfg!(feature = "tls") {
            let faults = Settings::parse(&values, [], "edge-1").expect_err("it asks for TLS, and there is none");
            assert!(faults.lines().all(|fault| fault.contains("--features tls")), "{faults}");
            values = without_tls(&values);
        }
        let settings = Settings::parse(&values, [], "edge-1").expect("the example is right");
        for setting in TABLE {
            if setting.name.starts_with("cql.tls_") && !cfg!(feature = "tls") {
                continue;
            }
            let found = &settings.values[setting.name];
            assert_ne!(found.origin, Origin::Default, "{} is not in the example", setting.name);
            let is_commented = raw.contains(&format!("\n#{} = ", setting.parts().1));
            if let (true, Preset::Value(preset)) = (is_commented, setting.preset) {
                let preset = setting.kind.parse(preset).expect("a default");
                assert_eq!(found.value.as_ref(), Some(&preset), "{} is not the default in the example", setting.name);
            }
        }
    }

    /// The text without the settings that a build without TLS refuses.
    fn without_tls(text: &str) -> String {
        let (before, client) = text.split_once("[kafka.client]").expect("the example has it");
        let (_, after) = client.split_once("\n[").expect("another section follows");
        let text = format!("{before}[{after}");
        text.lines().filter(|line| !line.starts_with("tls_")).collect::<Vec<_>>().join("\n")
    }
}
