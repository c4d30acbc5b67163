//! Secrets on Kafka: encrypted under a master key, read with it, and encrypted anew.

use std::process::Output;

use schemas::topics::{CATALOGUE, REGISTRY};
use testkit::MASTER_KEY;

use crate::apply::{KEY, SECRET, SHOP, apply, printed};
use crate::installation::Installation;
use crate::support::{run, text};

const OTHER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const VARIABLE: &str = "CONVERSIONS_REGISTRY_MASTER_KEY";

/// Runs a command to its end under these master keys.
fn under(installation: &Installation, master_keys: &str, arguments: &[&str]) -> Output {
    let data = tempfile::tempdir().expect("a folder");
    let mut command = installation.command(arguments);
    command.env("CONVERSIONS_INGEST_LISTEN", "127.0.0.1:0").env("CONVERSIONS_INGEST_DATA", data.path());
    let output = run(command.env(VARIABLE, master_keys), "");
    for said in [&output.stdout, &output.stderr] {
        let said = text(said);
        assert!(!said.contains("5ca1ab1e") && !said.contains(MASTER_KEY) && !said.contains(OTHER), "{said}");
    }
    output
}

#[track_caller]
fn refused(output: &Output, code: i32, says: &[&str]) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(says.iter().all(|part| told.contains(part)), "{says:?} expected in: {told}");
}

/// The id of a master key, as it is told and stands beside what is encrypted.
fn id(master_key: &str) -> String {
    let keys = schemas::registry::MasterKeys::parse(master_key).expect("a master key");
    keys.ids().next().expect("one").to_owned()
}

/// Whether the topic has these bytes anywhere.
fn holds(installation: &Installation, bytes: &str) -> bool {
    installation.read(&REGISTRY).iter().any(|record| {
        let has = |text: &[u8]| text.windows(bytes.len()).any(|window| window == bytes.as_bytes());
        has(&record.key) || has(&record.value)
    })
}

/// Reports an order to an edge under these master keys; whether it was received, and what was said.
fn send(installation: &Installation, master_keys: &str) -> (bool, String) {
    let mut edge = installation.start("ingest", &[("REGISTRY_MASTER_KEY", master_keys)]);
    let url = edge.url();
    let mut command = installation.command(&["send", "--to", &url, "--key", KEY, "--retries", "0", "-"]);
    let body = r#"{"externalOrderId": "O-1", "orderAmount": "10.00"}"#;
    let output = run(command.env("CONVERSIONS_SECRET", SECRET), body);
    (output.status.success(), text(&output.stderr))
}

#[test]
fn no_topic_holds_a_secret_and_an_edge_with_the_master_key_knows_it() {
    let installation = Installation::new();
    printed(&apply(&installation, SHOP, &[]));
    assert!(holds(&installation, KEY) && holds(&installation, &id(MASTER_KEY)), "ids are to be read");
    let (received, told) = send(&installation, MASTER_KEY);
    assert!(received, "{told}");
    for topic in CATALOGUE {
        for record in installation.read(topic) {
            let has = |text: &[u8]| text.windows(8).any(|window| window == b"5ca1ab1e");
            assert!(!has(&record.key) && !has(&record.value), "{}: a secret", topic.name);
        }
    }
}

#[test]
fn an_edge_without_the_master_key_does_not_start() {
    let installation = Installation::new();
    printed(&apply(&installation, SHOP, &[]));
    let needed = format!("the secret of keys/{KEY} is encrypted under master key {}, and ", id(MASTER_KEY));
    for (master_keys, given) in [(OTHER, format!("{} is given", id(OTHER))), ("", "none is given".to_owned())] {
        let output = under(&installation, master_keys, &["ingest"]);
        refused(&output, 2, &[&needed, &given, "registry.master_key_file"]);
    }
    refused(
        &under(&installation, "0123", &["ingest"]),
        1,
        &["registry.master_key has something in place 1", "openssl rand"],
    );
    let (received, told) = send(&installation, &format!("{OTHER},{MASTER_KEY}"));
    assert!(received, "nothing is lost: {told}");
}

#[test]
fn secrets_are_not_written_as_they_are_nor_over_what_cannot_be_read() {
    let installation = Installation::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("registry.toml");
    std::fs::write(&path, SHOP).expect("a file");
    let path = path.to_str().expect("UTF-8");
    for arguments in [&["apply", "--registry", path][..], &["apply", "--demo", "--dry-run"], &["reencrypt"]] {
        let output = under(&installation, "", arguments);
        refused(
            &output,
            2,
            &["secrets are written encrypted only", "openssl rand -hex 32", "registry.master_key_file"],
        );
    }
    assert!(installation.read(&REGISTRY).is_empty());
    refused(&under(&installation, MASTER_KEY, &["reencrypt"]), 1, &["there is no registry to encrypt"]);

    printed(&apply(&installation, SHOP, &[]));
    let records = installation.read(&REGISTRY).len();
    for arguments in [&["apply", "--registry", path][..], &["reencrypt"]] {
        let output = under(&installation, OTHER, arguments);
        refused(&output, 1, &[&id(MASTER_KEY), "nothing was written", "apply --reencrypt"]);
    }
    assert_eq!(installation.read(&REGISTRY).len(), records);
    // The master key is lost, and the file is there.
    let anew = printed(&under(&installation, OTHER, &["apply", "--registry", path, "--reencrypt"]));
    assert!(anew.contains("1 key changed: version 2"), "{anew}");
    let (received, told) = send(&installation, OTHER);
    assert!(received, "{told}");
}

#[test]
fn secrets_are_encrypted_anew_while_edges_run() {
    let installation = Installation::new();
    printed(&apply(&installation, SHOP, &[]));
    let mut edge = installation.start("ingest", &[]);
    edge.url();
    let both = format!("{OTHER},{MASTER_KEY}");
    let preview = printed(&under(&installation, &both, &["reencrypt", "--dry-run"]));
    assert!(preview.contains(&format!("~ keys/{KEY}\n1 key changed: would be version 2")), "{preview}");
    assert!(!holds(&installation, &id(OTHER)));
    let anew = printed(&under(&installation, &both, &["reencrypt"]));
    assert!(anew.contains("1 key changed: version 2"), "{anew}");
    assert!(holds(&installation, &id(OTHER)));
    // One that was not given the new master key goes on under what it has.
    edge.wait_for_log("registry not taken: version 2 of the registry cannot be read");
    let again = printed(&under(&installation, OTHER, &["reencrypt"]));
    assert!(again.contains("nothing changes: version 2 of the registry stands"), "{again}");
    let (received, told) = send(&installation, OTHER);
    assert!(received, "{told}");
    refused(&under(&installation, MASTER_KEY, &["ingest"]), 2, &[&id(OTHER)]);
}
