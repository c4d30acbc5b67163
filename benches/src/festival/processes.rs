//! The generator's processes: started, listened to, and killed if this one gives up.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::generator::{Line, Task};

/// Lines that wait to be looked at.
const LINES_MAX: usize = 256;

/// What came from a process.
#[derive(Debug)]
pub(super) enum Said {
    Line(Line),
    /// It says no more, for this reason if it was not asked to end.
    Ended(Option<String>),
}

/// Running processes, which end with this.
#[derive(Debug)]
pub(super) struct Processes {
    children: Vec<Child>,
    said: Receiver<(usize, Said)>,
}

impl Processes {
    /// Starts one for each task.
    pub(super) fn start(tasks: &[Task]) -> Result<Processes, String> {
        let (sender, said) = sync_channel(LINES_MAX);
        let mut processes = Processes { children: Vec::new(), said };
        for (number, task) in tasks.iter().enumerate() {
            processes.children.push(start(number, task, sender.clone())?);
        }
        Ok(processes)
    }

    pub(super) fn said(&self) -> &Receiver<(usize, Said)> {
        &self.said
    }

    /// Their process ids, by name.
    pub(super) fn pids(&self) -> Vec<(String, u32)> {
        self.children
            .iter()
            .enumerate()
            .map(|(number, child)| (format!("generator {}", number + 1), child.id()))
            .collect()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that has ended cannot be killed, and needs not be.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(number: usize, task: &Task, sender: SyncSender<(usize, Said)>) -> Result<Child, String> {
    let failed = |error: std::io::Error| format!("generator {}: {error}", number + 1);
    let program = env::current_exe().map_err(failed)?;
    let mut child =
        Command::new(program).arg("generate").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let task = serde_json::to_string(task).map_err(|error| format!("generator {}: {error}", number + 1))?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    let stdout = child.stdout.take().expect("it was asked for");
    // A process that does not start says why on stderr, and its output ends.
    let _ = writeln!(stdin, "{task}");
    thread::spawn(move || listen(number, BufReader::new(stdout), &sender));
    Ok(child)
}

fn listen(number: usize, stdout: impl BufRead, sender: &SyncSender<(usize, Said)>) {
    let mut ended = Some("it ended before it had said how the load went: see above".to_owned());
    for line in stdout.lines() {
        let said: Result<Line, String> = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|error| format!("it said {line:?}: {error}")));
        match said {
            Ok(line) => {
                if let Line::End(_) = line {
                    ended = None;
                }
                if sender.send((number, Said::Line(line))).is_err() {
                    return;
                }
            }
            Err(error) => {
                ended = Some(error);
                break;
            }
        }
    }
    let _ = sender.send((number, Said::Ended(ended)));
}
