//! What `conversions up` says when it cannot start.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::support::text;
use crate::up::client::{CONVERSIONS, Client, Merchant};
use crate::up::cluster::Cluster;
use crate::up::embedded::{Embedded, refused};

/// Checks a refusal: its exit code, and that its message says all of this.
#[track_caller]
fn assert_refusal(output: &Output, code: i32, says: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(says.iter().all(|part| stderr.contains(part)), "{says:?} expected in: {stderr}");
    assert_eq!(text(&output.stdout), "", "it has announced nothing");
}

#[test]
fn a_folder_has_one_process() {
    let mut cluster = Embedded::start();
    let (data, owner) = (cluster.data(), format!("(process {})", cluster.pid()));
    let data = data.to_str().expect("UTF-8");
    let args = ["up", "--demo", "--data", data, "--listen", "127.0.0.1:0"];
    assert_refusal(&refused(&args), 1, &[data, "is in use", &owner, "--data"]);
    let live = Client::new(&cluster.target(), &crate::up::client::ONE).get("/health/live").expect("the first goes on");
    assert_eq!(live.status, 200, "{live:?}");
    // A process that was killed holds nothing back.
    cluster.kill();
    cluster.restart();
}

#[test]
fn a_port_has_one_process() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let cluster = Embedded::stopped();
    let data = cluster.data();
    let args = ["up", "--demo", "--data", data.to_str().expect("UTF-8"), "--listen", &address];
    assert_refusal(&refused(&args), 1, &[&format!("cannot listen on {address}"), "--listen"]);
    assert!(!data.exists(), "nothing was begun");
}

#[test]
fn published_keys_stay_on_this_machine() {
    let cluster = Embedded::stopped();
    let data = cluster.data();
    let data = data.to_str().expect("UTF-8");
    for address in ["0.0.0.0:0", "[::]:0"] {
        let args = ["up", "--demo", "--data", data, "--listen", address];
        assert_refusal(&refused(&args), 2, &[address, "127.0.0.1", "--registry"]);
    }
    let example = example();
    let args = ["up", "--registry", &example, "--data", data, "--listen", "0.0.0.0:0"];
    assert_refusal(&refused(&args), 2, &["0.0.0.0:0", "--registry"]);
}

const FAULTY: &str = r#"[policies]
click_wait = "soon"

[[merchants]]
id = "shop one"
name = "Shop One"
currency = "RUPEES"

[[keys]]
id = "live_pk_shop"
merchant = "nobody"
secret = "sk_live_0123456789abcdef01234567"

[[rules]]
id = "rul_all"
level = "platform"
percent = "101"
colour = "red"
"#;

#[test]
fn every_fault_of_a_registry_is_told() {
    let cluster = Embedded::stopped();
    let folder = tempfile::tempdir().expect("a folder");
    let (data, file) = (cluster.data(), folder.path().join("registry.toml"));
    fs::write(&file, FAULTY).expect("written");
    let (data, file) = (data.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    let output = refused(&["up", "--registry", file, "--data", data, "--listen", "127.0.0.1:0"]);
    let lines = ["line 2: ", "line 5: ", "line 7: ", "line 11: ", "line 17: ", "line 18: "];
    assert_refusal(&output, 1, &[&[file][..], &lines].concat());
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().filter(|line| line.starts_with("line ")).count(), lines.len(), "{stderr}");
    assert!(!stderr.contains("0123456789abcdef"), "a secret is never shown: {stderr}");
    assert!(!Path::new(data).exists(), "nothing was begun");

    let missing = refused(&["up", "--registry", "/no/such/file", "--data", data]);
    assert_refusal(&missing, 1, &["cannot read the registry /no/such/file"]);
    let none = refused(&["up", "--data", data]);
    assert_refusal(&none, 2, &["--demo", "--registry"]);
}

static HIMAL: Merchant = Merchant {
    id: "himal-outdoor",
    key: "live_pk_himal_2026_01",
    secret: "sk_live_replace_me_himal_2026_01",
    click: "clk_7Tn3x9b2qa",
};

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/registry.toml");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_example_starts() {
    let mut cluster = Embedded::stopped();
    cluster.restart_with(&["--registry", &example()]);
    let mut client = Client::new(&cluster.target(), &HIMAL);
    let body = json!({"externalOrderId": "EXAMPLE-1", "orderAmount": "4500.00"});
    let answer = client.settle(CONVERSIONS, &body.to_string(), None);
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("RECEIVED")), "{body}: {answer:?}");
    let shown = client.conversion("EXAMPLE-1");
    assert_eq!((shown.status, &shown.json()["currency"]), (200, &json!("NPR")), "{body}: {shown:?}");
}
