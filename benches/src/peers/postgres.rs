//! A PostgreSQL server of the machine's package, in a folder of its own, on loopback, and the service that works on it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Outcome;
use super::process::{Process, pin};

/// Where Debian puts its versions.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Whom a server runs as if this process is root, which PostgreSQL refuses.
const UNPRIVILEGED: &str = "postgres";
const START_DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// As one tunes a server of a few gigabytes for many small writes. What makes a commit durable stays on: `fsync`,
/// `full_page_writes` and `synchronous_commit`. A checkpoint is left to its time, and not forced by the size of the WAL.
const CONFIGURATION: &str = "\
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 512MB
effective_cache_size = 2GB
wal_buffers = 16MB
wal_compression = lz4
max_wal_size = 8GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
max_connections = 64
autovacuum_naptime = 10s
autovacuum_vacuum_cost_limit = 2000
bgwriter_delay = 20ms
jit = off
";

/// A running server, which ends with this.
#[derive(Debug)]
pub struct Postgres {
    /// Its postmaster.
    pid: u32,
    port: u16,
    /// Last, so that it is there until the server is gone.
    _folder: TempDir,
}

impl Postgres {
    /// Makes a database in a new folder below `below`, which is on the disk that is measured, and starts it on these cores.
    ///
    /// # Errors
    /// The package is not installed, or the server does not start.
    pub fn start(below: &Path, cores: &str) -> Outcome<Postgres> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir_in(below);
        let folder = folder.map_err(|error| format!("{}: {error}", below.display()))?;
        give_away(folder.path())?;
        let data = folder.path().join("data");
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-U",
            UNPRIVILEGED,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-instructions",
        ]);
        let made = initdb.output().map_err(|error| format!("initdb: {error}"))?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let port = free_port()?;
        // Its socket is where nobody else's is.
        let own =
            format!("listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n{CONFIGURATION}");
        let configuration = data.join("postgresql.auto.conf");
        fs::write(&configuration, own).map_err(|error| format!("{}: {error}", configuration.display()))?;
        let log = fs::File::create(folder.path().join("log")).map_err(|error| format!("the log: {error}"))?;
        let mut server = unprivileged(&programs.join("postgres"));
        server.arg("-D").arg(&data).stdout(Stdio::null()).stderr(log);
        server.spawn().map_err(|error| format!("postgres: {error}"))?;
        let server = Postgres { pid: postmaster(&folder)?, port, _folder: folder };
        pin(server.pid, cores)?;
        Ok(server)
    }

    /// Where it is, as its clients are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgresql://{UNPRIVILEGED}@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the service on it, with a registry file, on these cores.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve(&self, registry: &Path, cores: &str) -> Outcome<Process> {
        let here = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(here.with_file_name("peer_postgres"));
        command.args(["--database", &self.url()]).arg("--registry").arg(registry);
        Process::start("the service on PostgreSQL", &command, cores)
    }

    /// What the memory of all of its processes is, shared pages once each: in bytes.
    ///
    /// # Errors
    /// They cannot be looked at.
    pub fn bytes(&self) -> Outcome<u64> {
        let mut sum = 0;
        for entry in fs::read_dir("/proc").map_err(|error| error.to_string())?.flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let parent =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            if pid == self.pid || parent == Some(self.pid) {
                // The proportional size has what is shared by n processes n times, a part of it each.
                let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
                let kib = rollup
                    .lines()
                    .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
                sum += kib.unwrap_or(0) << 10;
            }
        }
        Ok(sum)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: what it has is not needed any more, and it is waited for, so that its folder can go.
        let _ = Command::new("kill").args(["-QUIT", &self.pid.to_string()]).status();
        let begun = Instant::now();
        while Path::new(&format!("/proc/{}/cwd", self.pid)).exists() && begun.elapsed() < START_DEADLINE {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// The folder of the newest version's programs.
fn programs() -> Outcome<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| {
        let number = version.file_name().to_string_lossy().parse::<u32>().ok()?;
        let programs = version.path().join("bin");
        programs.join("initdb").is_file().then_some((number, programs))
    });
    newest.max().map(|(_, programs)| programs).ok_or_else(|| format!("{DEBIAN} has no server: apt install postgresql"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A program as a user that is not root, which ends when this process does, however that ends.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", UNPRIVILEGED, "--regid", UNPRIVILEGED, "--init-groups"]);
    }
    command.arg("--").arg(program).stdin(Stdio::null()).current_dir("/");
    command
}

fn give_away(folder: &Path) -> Outcome<()> {
    if !is_root() {
        return Ok(());
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let line = users.lines().find(|line| line.split(':').next() == Some(UNPRIVILEGED));
    let ids: Vec<u32> =
        line.map_or("", |line| line).split(':').skip(2).take(2).filter_map(|id| id.parse().ok()).collect();
    let [user, group] = ids[..] else { return Err(format!("there is no user {UNPRIVILEGED}: apt install postgresql")) };
    chown(folder, Some(user), Some(group)).map_err(|error| format!("{}: {error}", folder.display()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}

fn free_port() -> Outcome<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// The postmaster's id, once it takes connections.
fn postmaster(folder: &TempDir) -> Outcome<u32> {
    let begun = Instant::now();
    while begun.elapsed() < START_DEADLINE {
        let text = fs::read_to_string(folder.path().join("data/postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        if lines.last() == Some(&"ready")
            && let Some(pid) = lines.first().and_then(|pid| pid.parse().ok())
        {
            return Ok(pid);
        }
        thread::sleep(LOOK_EVERY);
    }
    let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    Err(format!("PostgreSQL does not start: {log}"))
}
