//! The rehearsal itself, against `conversions up`: orders that are right are found right, and wrong ones
//! wrong.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use toml::Table;

fn festival(arguments: &[&str], report: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_festival"));
    command.args(arguments).arg("--report").arg(report).output().expect("it starts")
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn report(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("festival.json")).expect("a report");
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
    assert!(
        report["codes"]["202 DUPLICATE"].as_u64() > Some(0)
            && report["codes"]["401 INVALID_SIGNATURE"].as_u64() > Some(0)
    );
    assert!(report["latencies"]["202 to commission"]["count"].as_u64() > Some(0));
    assert!(report["memory_kib"]["up"].as_u64() > Some(0) && report["memory_kib"]["generator 2"].as_u64() > Some(0));
    let page = fs::read_to_string(folder.path().join("festival.html")).expect("a page");
    assert!(page.contains("<svg"));
    // Neither secrets nor data are left.
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").map(|it| it.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

/// `conversions up` on a registry, until it is dropped.
struct Up {
    child: Child,
    url: String,
}

impl Up {
    fn start(registry: &Path, data: &Path) -> Up {
        let binary = Path::new(env!("CARGO_BIN_EXE_festival")).with_file_name("conversions");
        let mut command = Command::new(binary);
        command.args(["up", "--listen", "127.0.0.1:0", "--registry"]).arg(registry).arg("--data").arg(data);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("listening on ").expect("where it listens").to_owned();
        Up { child, url }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_that_pays_otherwise_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let mut scenario: Table = include_str!("../scenarios/smoke.toml").parse().expect("TOML");
    scenario["phases"] =
        "phases = [{ name = \"short\", seconds = 2, from = 60, to = 60 }]".parse::<Table>().expect("TOML")["phases"]
            .clone();
    scenario["check"]["settle_seconds"] = 5.into();
    fs::write(path("short.toml"), scenario.to_string()).expect("it is written");
    let scenario = path("short.toml");
    let [scenario, registry] = [&scenario, &path("registry.toml")].map(|path| path.to_str().expect("UTF-8").to_owned());
    let written =
        Command::new(env!("CARGO_BIN_EXE_festival")).args(["registry", &scenario, "--out", &registry]).output();
    assert!(written.as_ref().is_ok_and(|output| output.status.success()), "{written:?}");
    let text = fs::read_to_string(&registry).expect("a registry");
    let generous = text.replace("percent = \"12\"", "percent = \"13\"");
    assert_ne!(text, generous);
    fs::write(path("generous.toml"), generous).expect("it is written");
    for (of_server, code, said) in
        [("generous.toml", 1, "WRONG: commission"), ("registry.toml", 0, "120 orders are what")]
    {
        let up = Up::start(&path(of_server), &path(&format!("data of {of_server}")));
        let output = festival(&["run", &scenario, "--url", &up.url, "--registry", &registry], &path("report"));
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
        assert!(shown(&output).contains(said), "{}", shown(&output));
    }
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
