//! Members in processes of their own, which are killed and frozen.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use streams::kafka::{Connection, GroupReader, Positions, Turn};
use streams::log::Limits;

use crate::group::options;
use crate::support::{A, Transactions, WAIT, World, bootstrap, keys, world};

const GROUP: &str = "materializer";
const STEP: Duration = Duration::from_millis(50);
const ONE: Limits = Limits { records_max: 1, bytes_max: 1 << 20 };
const FOLDER: &str = "CONVERSIONS_TEST_FOLDER";
const PREFIX: &str = "CONVERSIONS_TEST_PREFIX";
const BROKER: &str = "CONVERSIONS_TEST_BOOTSTRAP";

/// The positions that were written, a file for each partition of `a`.
fn written(folder: &Path) -> Positions {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let read = files.map(|path| {
        let partition = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        ((1, partition), fs::read_to_string(path).unwrap().parse().unwrap())
    });
    read.collect()
}

fn write(folder: &Path, positions: &Positions) {
    for ((_, partition), position) in positions {
        fs::write(folder.join(partition.to_string()), position.to_string()).unwrap();
    }
}

/// Tells what it does a line each, and writes the positions of a batch when it is told to, unless it is told first that
/// the batch is its no longer.
#[test]
#[ignore = "the tests of this file run it, each in a process of its own"]
fn a_member() {
    let var = |name: &str| env::var(name).unwrap();
    let (folder, connection) = (var(FOLDER), Connection::new(&var(BROKER), &var(PREFIX)));
    let folder = Path::new(&folder);
    let (told, orders) = mpsc::sync_channel(16);
    thread::spawn(move || std::io::stdin().lines().try_for_each(|line| told.send(line.unwrap())));
    let say = |text: &str| {
        // Past the test's own capture of what is printed.
        let mut out = std::io::stdout().lock();
        writeln!(out, "member: {text}").and_then(|()| out.flush()).unwrap();
    };
    let mut reader = GroupReader::open(&connection, GROUP, &[A], options()).unwrap();
    let mut held = None;
    loop {
        let turn = if held.is_none() { reader.next(&ONE, STEP) } else { reader.hold(STEP) };
        match turn.unwrap() {
            Turn::Assigned(_) => reader.begin(&written(folder)),
            Turn::Batch(batch) if batch.records.is_empty() => write(folder, &batch.positions),
            Turn::Batch(batch) => {
                say(&format!("took {}", keys(&batch.records)[0]));
                held = Some(batch);
            }
            Turn::Revoked(_) | Turn::Nothing => {}
        }
        if let Some(batch) = held.take_if(|batch| !reader.holds(batch)) {
            say(&format!("lost {}", keys(&batch.records)[0]));
        }
        match orders.try_recv() {
            Ok(_) => {
                if let Some(batch) = held.take() {
                    write(folder, &batch.positions);
                    say(&format!("wrote {}", keys(&batch.records)[0]));
                }
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

/// A member in a process of its own, killed when it is dropped.
struct Member {
    process: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Member {
    fn start(connection: &Connection, folder: &Path) -> Member {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "members::a_member", "--ignored", "--nocapture"])
            .envs([(FOLDER, folder.to_str().unwrap()), (PREFIX, &connection.name("")), (BROKER, &bootstrap())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, said) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Member { process, orders, said }
    }

    /// What it says next.
    fn says(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some((_, said)) = line.split_once("member: ") {
                return said.trim_end().to_owned();
            }
        }
    }

    fn order_to_write(&mut self) {
        self.orders.write_all(b"write\n").unwrap();
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.process.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the next record as another member, which begins where positions were written.
fn take_over(reader: &mut GroupReader, folder: &Path) -> String {
    let deadline = Instant::now() + WAIT;
    loop {
        assert!(Instant::now() < deadline, "nothing was taken over: {reader:?}");
        match reader.next(&ONE, STEP).unwrap() {
            Turn::Assigned(_) => reader.begin(&written(folder)),
            Turn::Batch(batch) if !batch.records.is_empty() => {
                write(folder, &batch.positions);
                return keys(&batch.records)[0].clone();
            }
            Turn::Batch(_) | Turn::Revoked(_) | Turn::Nothing => {}
        }
    }
}

#[test]
fn what_a_killed_member_had_not_written_is_read_by_another() {
    let World { connection, .. } = &world("killed", 1);
    let folder = tempfile::tempdir().unwrap();
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a", "b", "c"]);
    producer.commit();
    let mut member = Member::start(connection, folder.path());
    assert_eq!(member.says(), "took a");
    member.order_to_write();
    assert_eq!([member.says(), member.says()], ["wrote a", "took b"]);
    member.signal("KILL");
    let mut other = GroupReader::open(connection, GROUP, &[A], options()).unwrap();
    assert_eq!([take_over(&mut other, folder.path()), take_over(&mut other, folder.path())], ["b", "c"]);
}

#[test]
fn a_member_that_was_frozen_is_told_that_its_batch_is_lost() {
    let World { connection, .. } = &world("frozen", 1);
    let folder = tempfile::tempdir().unwrap();
    let producer = Transactions::new(connection, "p");
    producer.begin(connection, A, 0, &["a", "b"]);
    producer.commit();
    let mut zombie = Member::start(connection, folder.path());
    assert_eq!(zombie.says(), "took a");
    zombie.signal("STOP");
    let mut other = GroupReader::open(connection, GROUP, &[A], options()).unwrap();
    assert_eq!([take_over(&mut other, folder.path()), take_over(&mut other, folder.path())], ["a", "b"]);
    zombie.signal("CONT");
    // It joins again, for which the other has to hear of it.
    let heard = thread::spawn(move || (zombie.says(), zombie));
    let deadline = Instant::now() + WAIT;
    while !heard.is_finished() {
        assert!(Instant::now() < deadline, "it is told nothing");
        let _ = other.next(&ONE, STEP).unwrap();
    }
    let (said, _zombie) = heard.join().unwrap();
    assert_eq!(said, "lost a");
}
