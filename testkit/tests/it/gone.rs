//! That nothing is left of what was started.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Tells a test that it is the process to be killed.
const VICTIM: &str = "TESTKIT_VICTIM";

/// Processes with `folder` in their arguments: what was started there, and its watchdog.
pub(crate) fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(folder)).collect()
}

/// Waits until nothing is left of what was started in `folder`.
pub(crate) fn assert_gone(folder: &Path, within: Duration) {
    let start = Instant::now();
    loop {
        let left = processes_of(folder);
        if left.is_empty() && !folder.exists() {
            return;
        }
        assert!(start.elapsed() < within, "after {within:?} there are {left:?}; folder: {}", folder.exists());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs the test that calls this as a process of its own, has that start something, and kills it.
pub(crate) fn with_its_owner<T>(test: &str, start: impl FnOnce() -> (PathBuf, T)) {
    if env::var_os(VICTIM).is_some() {
        let (folder, _started) = start();
        let _ = writeln!(std::io::stdout(), "\nfolder {}", folder.display());
        thread::sleep(Duration::from_secs(600));
        return;
    }
    let mut victim = Command::new(env::current_exe().unwrap());
    victim.args(["--exact", test, "--nocapture"]).env(VICTIM, "1");
    let mut victim = victim.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
    let folder = lines.find_map(|line| line.strip_prefix("folder ").map(str::to_owned));
    let folder = folder.expect("the victim starts what it is asked for");
    let folder = Path::new(&folder);
    let before = processes_of(folder);
    // Not reaped at first: a zombie counts as gone.
    victim.kill().unwrap();
    assert_eq!(before.len(), 2, "server and watchdog: {before:?}");
    assert_gone(folder, Duration::from_secs(10));
    victim.wait().unwrap();
}
