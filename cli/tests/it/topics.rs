//! `conversions topics` against a real broker.

use std::process::Output;

use testkit::Kafka;

use crate::support::{command, run, text};

/// Runs `conversions topics` with these arguments and settings.
fn topics(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = command(&[&["topics"], arguments].concat());
    let one_broker = [("TOPICS_REPLICATION_FACTOR", "1"), ("TOPICS_MIN_INSYNC_REPLICAS", "1")];
    for (name, value) in one_broker.iter().chain(settings) {
        command.env(format!("CONVERSIONS_{name}"), value);
    }
    run(&mut command, "")
}

/// The first and the last cells of each line of the table but its head.
fn states(output: &Output) -> Vec<(String, String)> {
    let printed = text(&output.stdout);
    let cells = |line: &str| {
        let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        (cells.next().unwrap_or_default().to_owned(), cells.last().unwrap_or_default().to_owned())
    };
    printed.lines().skip(1).map(cells).collect()
}

#[test]
fn what_is_missing_is_made_and_what_contradicts_is_told() {
    let (kafka, prefix) = (Kafka::shared(), Kafka::unique_prefix());
    let settings = [("KAFKA_BOOTSTRAP", kafka.bootstrap()), ("KAFKA_PREFIX", &prefix), ("TOPICS_PARTITIONS", "2")];
    let before = topics(&[], &settings);
    assert_eq!(before.status.code(), Some(1));
    let before = states(&before);
    assert!(before.len() > 9 && before.iter().all(|(_, state)| state == "missing"), "{before:?}");

    for arguments in [&["--create"][..], &["--create"], &[]] {
        let output = topics(arguments, &settings);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let states = states(&output);
        assert!(states.iter().all(|(name, state)| name.starts_with(&prefix) && state == "as wanted"), "{states:?}");
    }

    let conversions = format!("{prefix}conversions");
    kafka.topics(&["--delete", "--topic", &conversions]);
    kafka.topics(&[
        "--create",
        "--topic",
        &conversions,
        "--partitions",
        "3",
        "--replication-factor",
        "1",
        "--config",
        "retention.ms=3600000",
    ]);
    let output = topics(&["--create"], &settings);
    assert_eq!(output.status.code(), Some(1), "a topic that is there is not changed");
    let states = states(&output);
    let (named, others): (Vec<_>, Vec<_>) = states.iter().partition(|(name, _)| *name == conversions);
    assert!(matches!(&named[..], [(_, state)] if state.starts_with("contradicts in ")), "{named:?}");
    assert!(others.iter().all(|(_, state)| state == "as wanted"), "{others:?}");
    let told = text(&output.stderr);
    for expected in [
        "topic conversions has 3 partitions and must have 2: ",
        "topic conversions: retention.ms is \"3600000\" and must be \"7776000000\": ",
    ] {
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn without_brokers_the_settings_to_look_at_are_named() {
    let unset = topics(&[], &[]);
    let told = text(&unset.stderr);
    assert!(unset.status.code() == Some(2) && told.contains("kafka.bootstrap must be given"), "{told}");
    let login = [
        ("KAFKA_BOOTSTRAP", "127.0.0.1:1"),
        ("KAFKA_CLIENT_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("KAFKA_CLIENT_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_CLIENT_SASL_PASSWORD", "hunter2"),
    ];
    let told = text(&topics(&[], &login).stderr);
    assert!(told.contains("sasl.username and sasl.password must be set") && !told.contains("hunter2"), "{told}");
}
