//! Processes that are measured: on cores of their own, with what they took of them and of memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;

/// How long a process may take to say that it is there, also on a machine that is busy otherwise.
const START_DEADLINE: Duration = Duration::from_secs(600);
/// How long it may take to end in good order.
const END_DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The kernel's unit of processor time, `USER_HZ`, which is the same on every Linux.
const TICK_MICROS: u64 = 10_000;

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// The first line that it said.
    pub said: String,
}

impl Process {
    /// Starts a command on these cores, such as `0` or `0,1`, and waits for its first line.
    ///
    /// # Errors
    /// It does not start, or ends before it has said anything.
    pub fn start(name: &str, command: &Command, cores: &str) -> Outcome<Process> {
        // Ends with this process, however that ends.
        let mut pinned = Command::new("setpriv");
        pinned
            .args(["--pdeathsig", "KILL", "--", "taskset", "-c"])
            .arg(cores)
            .arg(command.get_program())
            .args(command.get_args());
        // A command says what was changed of the environment, and not whether it was emptied: nothing of ours is needed.
        pinned.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            pinned.current_dir(folder);
        }
        pinned.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = pinned.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let stdout = child.stdout.take().expect("it was asked for");
        let mut process = Process { name: name.to_owned(), child, said: String::new() };
        let (sender, first) = sync_channel(1);
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            // A pipe that nobody reads could stop the process.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let line = first.recv_timeout(START_DEADLINE).unwrap_or_default();
        if line.is_empty() {
            return Err(format!("{name} did not start: see what it said above"));
        }
        process.said = line.trim_end().to_owned();
        Ok(process)
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// It does not end, or says by its code that something is wrong.
    pub fn stop(mut self) -> Outcome<()> {
        let failed = |error: std::io::Error| error.to_string();
        Command::new("kill").arg(self.pid().to_string()).status().map_err(failed)?;
        let begun = Instant::now();
        while begun.elapsed() < END_DEADLINE {
            if let Some(status) = self.child.try_wait().map_err(failed)? {
                // 143 is what a JVM says that was asked to end.
                let fine = status.success() || status.code() == Some(143);
                return if fine { Ok(()) } else { Err(format!("{} ended with {status}", self.name)) };
            }
            thread::sleep(LOOK_EVERY);
        }
        Err(format!("{} does not end", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and needs not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts a process that runs, with all its threads, on these cores.
///
/// # Errors
/// It is not there.
pub fn pin(pid: u32, cores: &str) -> Outcome<()> {
    let pinned = Command::new("taskset").args(["-acp", cores, &pid.to_string()]).stdout(Stdio::null()).status();
    match pinned {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the process {pid} was not put on {cores}: {status}")),
        Err(error) => Err(format!("taskset cannot be run: {error}")),
    }
}

/// The time of processors that a process has taken so far, in microseconds, to a hundredth of a second.
///
/// # Errors
/// It is not there.
pub fn cpu_micros(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // The second field is a name in brackets, which may have anything in it; user and system time are fields 14 and 15.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok((user + system) * TICK_MICROS),
        _ => Err(format!("{path} is not understood")),
    }
}

/// The most memory that a process has had, in bytes.
///
/// # Errors
/// It is not there.
pub fn peak_bytes(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| format!("{path} is not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_what_it_took() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo here; while :; do :; done"]);
        let process = Process::start("a loop", &command, "0").expect("it starts");
        assert_eq!(process.said, "here");
        let begun = Instant::now();
        while cpu_micros(process.pid()).expect("it runs") == 0 {
            assert!(begun.elapsed() < START_DEADLINE, "it takes no time");
            thread::sleep(LOOK_EVERY);
        }
        assert!(peak_bytes(process.pid()).expect("it runs") > 100_000);
        pin(process.pid(), "0").expect("it is there");
        assert!(process.stop().is_err_and(|error| error.contains("a loop ended with")));
    }
}
