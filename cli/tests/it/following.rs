//! Edges that run, while the registry is changed under them.

use std::time::{Duration, Instant};

use crate::apply::{KEY, SECRET, SHOP, apply, printed};
use crate::installation::Installation;
use crate::support::{run, text};

/// Reports an order; whether it was received, and what was said.
fn send(installation: &Installation, url: &str, order: &str) -> (bool, String) {
    let body = format!(r#"{{"externalOrderId": "{order}", "orderAmount": "10.00", "clickId": "clk_everest_1"}}"#);
    let mut command = installation.command(&["send", "--to", url, "--key", KEY, "--retries", "0", "-"]);
    let output = run(command.env("CONVERSIONS_SECRET", SECRET), &body);
    (output.status.success(), text(&output.stderr))
}

#[test]
fn an_edge_waits_for_a_registry_and_refuses_a_revoked_key_within_a_second() {
    let installation = Installation::new();
    let mut edge = installation.start("ingest", &[]);
    edge.wait_for_log("no registry in topic");
    printed(&apply(&installation, SHOP, &[]));
    let url = edge.url();
    let (received, told) = send(&installation, &url, "O-1");
    assert!(received, "{told}");

    let revoked = SHOP.replace("5ca1ab1e\"\n", "5ca1ab1e\"\nstatus = \"revoked\"\n");
    printed(&apply(&installation, &revoked, &[]));
    let begun = Instant::now();
    while send(&installation, &url, "O-2").0 {
        assert!(begun.elapsed() < Duration::from_secs(1), "the key is still taken");
    }
    let (received, told) = send(&installation, &url, "O-3");
    assert!(!received && told.contains("API_KEY_REVOKED"), "{told}");
}

#[test]
fn what_is_no_registry_is_not_taken() {
    let installation = Installation::new();
    printed(&apply(&installation, SHOP, &[]));
    let mut edge = installation.start("ingest", &[]);
    let url = edge.url();
    let seal = schemas::registry::Entries::demo().seal(2, schemas::Timestamp(0));
    let sealed = schemas::registry::SEALED_KEY;
    installation.write(&schemas::topics::REGISTRY, sealed, &schemas::encode(&seal));
    edge.wait_for_log("registry not taken: version 2 of the registry was sealed over");
    let (received, told) = send(&installation, &url, "O-1");
    assert!(received, "the one before stays in force: {told}");
    installation.write(&schemas::topics::REGISTRY, b"keys/stray", b"not avro");
    edge.wait_for_log("records of the registry were refused, the first at offset");
    printed(&apply(&installation, &SHOP.replace("Everest Gear", "Everest"), &[]));
    edge.wait_for_log("registry in force version=3");
}

#[test]
fn the_demo_is_for_edges_that_nobody_else_reaches() {
    let installation = Installation::new();
    let told = installation.run(&["apply", "--demo"]);
    assert!(printed(&told).contains("2 merchants added"), "{told:?}");
    let mut edge = installation.start("ingest", &[]);
    assert!(edge.url().starts_with("http://127.0.0.1:"));
    // Refused before it listens.
    let mut open = installation.command(&["ingest"]);
    let data = tempfile::tempdir().expect("a folder");
    let open = open.env("CONVERSIONS_INGEST_LISTEN", "0.0.0.0:0").env("CONVERSIONS_INGEST_DATA", data.path());
    let refused = run(open, "");
    let told = text(&refused.stderr);
    assert!(refused.status.code() == Some(2) && told.contains("the registry has the demo's keys"), "{told}");
}
