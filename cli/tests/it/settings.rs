//! `conversions settings`: what is in force, and what is refused.

use std::fs;

use crate::support::{command, run, text};

#[test]
fn what_is_in_force_is_printed_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("conversions.toml");
    fs::write(&file, "[kafka]\nbootstrap = \"kafka:9092\"\n\n[kafka.client]\nsasl.password = \"hunter2\"\n")
        .expect("a file");
    let path = file.to_str().expect("UTF-8");
    let output = run(command(&["settings", "--config", path]).env("CONVERSIONS_PROCESSORS_WORKERS", "3"), "");
    let (printed, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    let line = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {printed}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("kafka.bootstrap"), "kafka.bootstrap \"kafka:9092\" line 2");
    assert_eq!(line("kafka.client.sasl.password"), "kafka.client.sasl.password (hidden) line 5");
    assert_eq!(line("processors.workers"), "processors.workers \"3\" CONVERSIONS_PROCESSORS_WORKERS");
    assert!(!printed.contains("hunter2") && !told.contains("hunter2"));
}

#[test]
fn faults_end_it_with_the_code_of_a_wrong_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("conversions.toml");
    fs::write(&file, "[kafka]\nbotstrap = \"kafka:9092\"\n").expect("a file");
    let path = file.to_str().expect("UTF-8");
    let output = run(command(&["settings"]).env("CONVERSIONS_CONFIG", path).env("CONVERSIONS_INGEST_LINGER", "5"), "");
    let told = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
    assert!(told.contains("line 2: there is no setting \"kafka.botstrap\": must be one of kafka.bootstrap"), "{told}");
    assert!(told.contains("CONVERSIONS_INGEST_LINGER: ingest.linger \"5\" must be a duration"), "{told}");
    let output = run(&mut command(&["settings", "--config", "no/such/file"]), "");
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("cannot read the settings no/such/file"), "{told}");
}
