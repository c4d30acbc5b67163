//! What the rows are measured with: a broker, installations on it, and single processes.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use streams::Topic;
use streams::kafka::{Connection, Extents};
use tempfile::TempDir;
use testkit::Kafka;

use super::{Common, say};
use crate::edge::Installation;
use crate::peers::Outcome;
use crate::peers::load::Load;
use crate::peers::process::{Process, pin};
use crate::shop::Shops;

/// How long orders may take to be commissioned after the load, and brokers to answer.
pub(super) const WAIT: Duration = Duration::from_secs(300);
/// How long a load is that is not measured.
const WARM: Duration = Duration::from_secs(1);
/// A rate stands still when so many in a row are at most so much above the best before, in percent.
const STILL_LOADS: u32 = 2;
const STILL_PERCENT: u64 = 5;
/// How often it is looked for that at most.
const UNTIL_STILL_MAX: u32 = 12;

/// `conversions`.
pub(super) fn binary(common: &Common) -> PathBuf {
    common.conversions.clone().unwrap_or_else(crate::conversions)
}

/// A runtime of one thread: the generator has a core, and no more.
pub(super) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

/// Who is first in a pair.
pub(super) fn order(pair: u32) -> [bool; 2] {
    if pair.is_multiple_of(2) { [true, false] } else { [false, true] }
}

/// A folder below that of the run, that others may look into.
pub(super) fn folder(common: &Common) -> Outcome<TempDir> {
    tempfile::Builder::new().prefix("run-").tempdir_in(&common.folder).map_err(|error| error.to_string())
}

/// The registry of some shops, as a file; its clicks too if orders name those.
pub(super) fn registry(folder: &Path, shops: Shops, clicks: bool) -> Outcome<PathBuf> {
    let path = folder.join("registry.toml");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::write(&path, shops.registry(clicks)).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(path)
}

/// A broker on the cores of everything else.
pub(super) fn broker(common: &Common) -> Outcome<Kafka> {
    let kafka = Kafka::start_for_benchmark();
    let path = kafka.folder().join("node-1/pid");
    let pid = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    pin(pid.trim().parse().map_err(|_| format!("{} has no id", path.display()))?, &common.other_cores)?;
    Ok(kafka)
}

/// Topics and a registry, and the settings of the edge and processors on them, whose data is in `folder`.
pub(super) fn installation(
    common: &Common,
    kafka: &Kafka,
    prefix: &str,
    registry: &Path,
    folder: &Path,
    more: &[(&str, &str)],
) -> Installation {
    let data = |of: &str| folder.join(format!("{prefix}{of}")).to_str().expect("UTF-8").to_owned();
    let (ingest, processors) = (data("ingest"), data("processors"));
    let settings = [
        ("INGEST_DATA", ingest.as_str()),
        ("PROCESSORS_DATA", processors.as_str()),
        ("PROCESSORS_INSTANCE", "targets"),
        ("PROCESSORS_METRICS_LISTEN", "127.0.0.1:0"),
    ];
    let registry = ["--registry", registry.to_str().expect("UTF-8")];
    Installation::applying(&binary(common), kafka, prefix, &registry, &[&settings[..], more].concat())
}

/// Where a process says that it listens.
pub(super) fn address(process: &Process) -> Outcome<SocketAddr> {
    let address = process.said.split("http://").nth(1).and_then(|address| address.parse().ok());
    address.ok_or_else(|| format!("it said {:?}, and no address", process.said))
}

/// `conversions up` in a folder.
pub(super) fn up(common: &Common, registry: &Path, folder: &Path, cores: &str) -> Outcome<Process> {
    let mut command = Command::new(binary(common));
    command.args(["up", "--listen", "127.0.0.1:0", "--log", "warn"]);
    command.arg("--registry").arg(registry).arg("--data").arg(folder.join("up"));
    Process::start("conversions up", &command, cores)
}

/// Records of a topic, transactions over them having ended; with their markers.
pub(super) fn records(bootstrap: &str, prefix: &str, topic: Topic) -> Outcome<u64> {
    let extents = Extents::open(&Connection::new(bootstrap, prefix), "targets").map_err(|error| error.to_string())?;
    let ends = extents.settled(&[topic], WAIT).map_err(|error| error.to_string())?;
    Ok(ends.values().map(|extent| extent.end).sum())
}

/// Has `conversions verify` look at all that an installation has written: nothing is wrong, and nothing is left to do.
pub(super) fn verify(installation: &Installation, orders: u64) -> Outcome<()> {
    let output = installation.command(&["verify", "--json"]).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&said)
        .map_err(|error| format!("verify: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let is = |field: &str, number: u64| report[field].as_u64() == Some(number);
    let whole = is("judged", orders) && is("pending", 0) && is("ledgerEntriesPending", 0) && is("termsUnknown", 0);
    if output.status.success() && whole {
        return Ok(());
    }
    Err(format!("verify finds what is wrong, or not {orders} orders that are processed: {said}"))
}

/// Has a little of the load taken and commissioned before it is measured: consumers have joined then, and caches are warm.
pub(super) async fn warm(load: &Load<'_>) -> Outcome<()> {
    let run = format!("{}-warm", load.run);
    let load = Load { run: &run, time: WARM.min(load.time), ..*load };
    let sent = load.send().await?;
    load.settle(&sent, deadline()).await.map(drop)
}

/// Repeats what gives a rate until that does not rise any more: a broker's compiler is at work for longer than a pair takes, and
/// what is measured meanwhile is the compiler. `rate` is told how often it was asked before.
pub(super) fn until_still(common: &Common, mut rate: impl FnMut(u32) -> Outcome<u64>) -> Outcome<()> {
    let (mut best, mut still) = (rate(0)?, 0);
    for number in 1..if common.smoke { 1 } else { UNTIL_STILL_MAX } {
        let now = rate(number)?;
        say(&format!("warming up: {now} orders/s, {best} before"));
        still = if now * 100 > best * (100 + STILL_PERCENT) { 0 } else { still + 1 };
        best = best.max(now);
        if still == STILL_LOADS {
            break;
        }
    }
    Ok(())
}

/// The instant by which something has to be.
pub(super) fn deadline() -> Instant {
    Instant::now() + WAIT
}
