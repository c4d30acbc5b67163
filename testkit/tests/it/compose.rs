//! The brokers of `docker/compose.yaml` are those that the tests ran against.

use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn compose_has_the_version_of_the_jars() {
    let pom = read("local/pom.xml");
    let version = pom.split_once("<kafka.version>").and_then(|(_, rest)| rest.split('<').next()).unwrap();
    let image = format!("image: apache/kafka:{version} ");
    assert!(read("compose.yaml").contains(&image), "docker/compose.yaml: write {image}");
}

#[test]
fn compose_has_the_settings_of_the_local_brokers() {
    let (settings, compose) = (read("local/server.properties.in"), read("compose.yaml"));
    // After this line come the sizes for three brokers on two cores, which the image need not have.
    let (shared, _) = settings.split_once("# Small:").unwrap();
    let lines = shared.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let mut compared = 0;
    for (name, value) in lines {
        let name = format!("KAFKA_{}:", name.replace('.', "_").to_uppercase());
        // Addresses and ids are a node's own, and the session's time is the script's default.
        let values: &[&str] = match value {
            "@REPLICATION@" => &["1", "3"],
            "@MIN_ISR@" => &["1", "2"],
            "@SESSION_MS@" => &["3000"],
            _ if value.contains(['@', ':', ','])
                || !value.contains(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) =>
            {
                &[]
            }
            _ => &[value],
        };
        for value in values {
            let is_there = [format!("{name} {value}\n"), format!("{name} \"{value}\"\n")]
                .iter()
                .any(|line| compose.contains(line));
            assert!(is_there, "docker/compose.yaml: write {name} \"{value}\"");
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}
