//! `festival generate`: one process of the load. What it does comes as a line on stdin, and what it measures goes out as
//! lines on stdout, so that several are added up by whoever started them.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::header::HeaderValue;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::clock::Clock;
use super::engine::{self, Shared};
use super::plan::Plan;
use super::registry;
use super::scenario::Scenario;
use super::tally::{Recorder, Tick};
use super::verify::{Outcome, verify};
use crate::sign;

const SECOND: Duration = Duration::from_secs(1);

/// What a process is told. It has a secret, so it has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) scenario: Scenario,
    pub(super) epoch: Timestamp,
    pub(super) process: u64,
    pub(super) processes: u64,
    pub(super) address: SocketAddr,
    pub(super) registry: PathBuf,
    pub(super) service_token: Option<String>,
}

/// What a process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    /// What happened in a second.
    Tick(Tick),
    /// So many orders were found right.
    Checked(u64),
    /// The end.
    End(Outcome),
}

/// Runs a task that stands on stdin.
pub(super) fn run() -> Result<(), String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| format!("cannot read the task: {error}"))?;
    // What cannot be read is not shown, for it may have the token.
    let task: Task =
        serde_json::from_str(&line).map_err(|_| "stdin has no task: `festival run` starts this".to_owned())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(work(task))
}

async fn work(task: Task) -> Result<(), String> {
    let shared = Arc::new(prepare(task)?);
    tokio::time::sleep_until(shared.clock.at(0).into()).await;
    let load = engine::run(&shared);
    tokio::pin!(load);
    let mut seconds = tokio::time::interval(SECOND);
    let mut second = 0;
    seconds.tick().await;
    loop {
        tokio::select! {
            () = &mut load => break,
            _ = seconds.tick() => {
                say(&Line::Tick(shared.recorder.take(second, shared.under_way())))?;
                second += 1;
            }
        }
    }
    say(&Line::Tick(shared.recorder.take(second, 0)))?;
    let checked = Arc::new(AtomicU64::new(0));
    let check = verify(&shared, &checked);
    tokio::pin!(check);
    let outcome = loop {
        tokio::select! {
            outcome = &mut check => break outcome,
            _ = seconds.tick() => say(&Line::Checked(checked.load(Ordering::Relaxed)))?,
        }
    };
    say(&Line::End(outcome))
}

fn prepare(task: Task) -> Result<Shared, String> {
    let Task { scenario, epoch, process, processes, address, registry, service_token } = task;
    let keys = registry::read(&scenario, &registry)?;
    let service = service_token.map(|token| HeaderValue::try_from(format!("Bearer {token}")));
    let mut service = service.transpose().map_err(|_| "the service token cannot stand in a header".to_owned())?;
    if let Some(token) = &mut service {
        token.set_sensitive(true);
    }
    let plan = Plan::new(scenario, epoch);
    let book = Book::new(plan.schedule().groups(), plan.scenario().batch.into(), process, processes);
    Ok(Shared {
        plan,
        book,
        clock: Clock::new(epoch, sign::now()),
        recorder: Recorder::default(),
        process,
        processes,
        address,
        keys,
        service,
        under_way: AtomicU64::new(0),
        idle: Mutex::default(),
    })
}

fn say(line: &Line) -> Result<(), String> {
    let text = serde_json::to_string(line).map_err(|error| format!("a line: {error}"))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| format!("nobody listens: {error}"))
}
