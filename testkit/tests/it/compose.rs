//! `docker/compose.yaml` starts the brokers that the tests ran against, and says so of the CQL server that they did not.

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

#[test]
fn compose_has_one_small_scylladb_on_loopback() {
    let compose = read("compose.yaml");
    let (_, service) = compose.split_once("\n  scylla:\n").expect("docker/compose.yaml: write the service `scylla`");
    let (service, _) = service.split_once("\n\n").unwrap();
    let lines: Vec<&str> = service.lines().map(str::trim).collect();
    for wanted in [
        "ports: [\"127.0.0.1:9042:9042\"]",
        "command: [--smp, \"1\", --memory, 750M, --overprovisioned, \"1\", --developer-mode, \"1\"]",
        "mem_limit: 1536m",
        "healthcheck:",
        "test: [CMD, cqlsh, -e, SELECT release_version FROM system.local]",
    ] {
        assert!(lines.contains(&wanted), "docker/compose.yaml: write {wanted} for scylla");
    }
    let version = lines.iter().find_map(|line| line.strip_prefix("image: scylladb/scylla:")).unwrap();
    assert!(
        version.starts_with(|first: char| first.is_ascii_digit()),
        "a version, so that it is the same tomorrow: {version}"
    );
}

/// Every port that is opened on the machine is opened to it alone.
#[test]
fn compose_opens_ports_to_this_machine_only() {
    let compose = read("compose.yaml");
    let ports: Vec<&str> = compose.lines().map(str::trim).filter(|line| line.starts_with("ports:")).collect();
    assert_eq!(ports.len(), 5, "{ports:?}");
    assert!(ports.iter().all(|line| line.starts_with("ports: [\"127.0.0.1:")), "{ports:?}");
}

#[test]
fn documents_say_which_server_was_tested() {
    let pom = read("local/cassandra/pom.xml");
    let version = pom.split_once("<cassandra.version>").and_then(|(_, rest)| rest.split('<').next()).unwrap();
    let (major, _) = version.rsplit_once('.').unwrap();
    assert!(read("local/README.md").contains(&format!("Apache Cassandra {major}, one node")), "{version}");
    assert!(read("compose.yaml").contains("have run on that Cassandra and not on this"));
}
