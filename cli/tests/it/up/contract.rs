//! The description of the contract against the edge as it runs: another's program reads it, makes up requests that are as it
//! says and such that are not, and judges every answer.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::text;
use crate::up::client::{CONVERSIONS, Client, ONE, SERVICE_TOKEN};
use crate::up::cluster::Cluster;
use crate::up::embedded::Embedded;

/// What schemathesis makes up follows from it; another one is for whoever looks for more.
const SEED: &str = "20260614";
/// Of the report that examples in the description are about.
const EXAMPLE: &str = r#"{"externalOrderId":"SHOP-100245","orderAmount":"2999.00","clickId":"clk_8Q2c0r7m4w"}"#;

/// The token of an administrator, and the list that has its SHA-256.
const ADMIN_TOKEN: &str = "asha_5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
const ADMINS: &str = "asha administrator e71f40f9fd8d3df7b9cd994ae7efcac376dd812b53f9118694d9c0ec68803189\n";

#[test]
fn the_edge_answers_as_it_is_described() {
    let mut cluster = Embedded::stopped();
    let admins = cluster.folder().join("admins");
    fs::write(&admins, ADMINS).expect("a file");
    fs::set_permissions(&admins, Permissions::from_mode(0o600)).expect("a mode");
    cluster.restart_with(&["--demo", "--admin-tokens-file", admins.to_str().expect("UTF-8")]);
    // So that what is read by id is there.
    let answer = Client::new(&cluster.target(), &ONE).settle(CONVERSIONS, EXAMPLE, None);
    assert_eq!(answer.status, 202, "{answer:?}");
    let seed = std::env::var("CONVERSIONS_SEED").unwrap_or(SEED.to_owned());
    let output = schemathesis(&format!("http://{}", cluster.address()), &seed);
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "CONVERSIONS_SEED={seed}: {said}");
    cluster.quiet("after all requests");
    cluster.stop();
}

fn schemathesis(address: &str, seed: &str) -> Output {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let mut command = Command::new(testkit::python().with_file_name("schemathesis"));
    command
        .current_dir(elsewhere.path())
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs([("CONTRACT_KEY", ONE.key), ("CONTRACT_SECRET", ONE.secret)])
        .envs([("CONTRACT_SERVICE_TOKEN", SERVICE_TOKEN), ("CONTRACT_ADMIN_TOKEN", ADMIN_TOKEN)])
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .args(["run", &format!("{address}/openapi.json"), "--no-color", "--seed", seed]);
    command.output().expect("schemathesis runs")
}
