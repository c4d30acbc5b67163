//! The rehearsal itself, against `conversions up`: right orders are found right, and a wrong expectation wrong.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn festival(arguments: &[&str], report: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_festival"));
    command.args(arguments).arg("--report").arg(report).output().expect("it starts")
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn report(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("festival.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn smoke_on_the_embedded_log_from_two_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = festival(&["run", "smoke", "--start", "embedded", "--processes", "2"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let report = report(folder.path());
    let count = |name: &str| report["counts"][name].as_u64().expect("a count");
    assert_eq!(count("intended"), 930, "{}", report["counts"]);
    assert!(count("accepted") + count("shed") > 850, "{}", report["counts"]);
    assert!(report["codes"]["202 DUPLICATE"].as_u64() > Some(0) && report["codes"]["401 INVALID_SIGNATURE"].as_u64() > Some(0));
    assert!(report["latencies"]["202 to commission"]["count"].as_u64() > Some(0));
    assert!(report["memory_kib"]["up"].as_u64() > Some(0) && report["memory_kib"]["generator 2"].as_u64() > Some(0));
    let page = std::fs::read_to_string(folder.path().join("festival.html")).expect("a page");
    assert!(page.contains("<svg"));
    // Neither secrets nor data are left.
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").map(|it| it.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn without_what_it_needs_it_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, expected) in [
        (&["run", "broker-loss", "--start", "embedded"][..], "--start kafka"),
        (&["run", "no-such", "--start", "embedded"], "dashain"),
        (&["run", "smoke", "--url", "https://x", "--registry", "none"], "http://127.0.0.1:8080"),
    ] {
        let output = festival(arguments, folder.path());
        assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
        assert!(shown(&output).contains(expected), "{}", shown(&output));
    }
}
