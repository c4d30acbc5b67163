//! `conversions send`: signs and sends one conversion or a stream of them.
//!
//! A thread reads the input into a bounded queue; as many tasks as there are connections take objects from it, send
//! each until it is answered, and hand what became of it to the one loop that counts, writes and shows.

mod framing;
mod input;
mod lines;
mod progress;
mod report;
mod results;
mod verdict;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reqwest::Url;
use tokio::sync::{Mutex, mpsc, watch};

use crate::args::Connect;
use crate::client::{Client, Request, monotonic};
use crate::error::CliError;
use framing::Item;
use progress::Progress;
use report::Report;
use results::Results;
use verdict::{Done, Verdict};
pub(crate) use verdict::{error_of, remedy};

/// Arguments of `send`.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    connect: Connect,
    /// Send order statuses (`/api/v1/order-status`) and not conversions.
    #[arg(long)]
    status: bool,
    /// How many requests may be under way at a time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Write what became of each line to this file, as NDJSON.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A file with one JSON object, or with one JSON object a line; `-` for stdin.
    file: PathBuf,
}

/// What all tasks share.
#[derive(Debug)]
struct Shared {
    client: Client,
    url: Url,
    queue: Mutex<mpsc::Receiver<Item>>,
    stop: watch::Receiver<bool>,
    /// How long a request may still be waited for after Ctrl-C.
    grace: Duration,
}

/// Runs `send`. The exit code is 0 when everything was accepted, and 1 otherwise.
///
/// # Errors
/// Nothing could be sent at all, or the input or the results broke off.
pub(crate) async fn run(args: SendArgs) -> Result<ExitCode, CliError> {
    let connections = usize::from(args.connections);
    let client = Client::new(&args.connect, connections)?;
    let endpoint = if args.status { "order-status" } else { "conversions" };
    let url = client.url(&["api", "v1", endpoint])?;
    let input = input::open(&args.file)?;
    let mut results = args.output.as_deref().map(|path| Results::create(path, &args.file)).transpose()?;
    let progress = Progress::start(input.bytes);
    let (queue, thread) = input::spawn(input.reader, connections * 2)
        .map_err(|error| CliError::Failed(format!("cannot start a thread ({error}): raise the limit on processes")))?;
    let stop = stop_on_ctrl_c();
    let shared = Arc::new(Shared { client, url, queue: Mutex::new(queue), stop, grace: args.connect.timeout });
    let begun = monotonic();
    let mut done = start_tasks(&shared, connections);

    let mut report = Report::new();
    let mut only = None;
    while let Some(one) = done.recv().await {
        report.add(&one);
        progress.add(&one, &report);
        if let Some(results) = &mut results {
            results.write(&one);
        }
        only = (report.total() == 1).then_some(one);
    }
    let elapsed = begun.elapsed();
    progress.finish();
    let was_stopped = *shared.stop.borrow();
    if let (Some(Done { answer: Some(answer), .. }), false) = (only, was_stopped) {
        print_answer(&answer.body);
    }
    let _ = write!(io::stderr().lock(), "{}", report.summary(elapsed, shared.client.retried()));
    results.map_or(Ok(()), Results::finish)?;
    if was_stopped {
        return Err(CliError::Failed("stopped by Ctrl-C; sending the same input again is safe".to_owned()));
    }
    // The queue is closed, so the thread has ended or is about to.
    let read = thread.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread died")));
    read.map_err(|error| {
        CliError::Failed(format!("the input broke off ({error}): send it again, which repeats nothing"))
    })?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the tasks that send; the receiver ends when all of them have ended.
fn start_tasks(shared: &Arc<Shared>, connections: usize) -> mpsc::Receiver<Done> {
    let (sender, receiver) = mpsc::channel(connections * 2);
    for _ in 0..connections {
        let (shared, sender) = (Arc::clone(shared), sender.clone());
        tokio::spawn(async move {
            while let Some(item) = shared.take().await {
                let done = shared.send(item).await;
                if sender.send(done).await.is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

impl Shared {
    /// The next object; `None` at the end of the input or after Ctrl-C.
    async fn take(&self) -> Option<Item> {
        let mut queue = self.queue.lock().await;
        tokio::select! {
            biased;
            () = stopped(self.stop.clone()) => None,
            item = queue.recv() => item,
        }
    }

    /// Sends one object until it is answered, or refuses it here when it is none.
    async fn send(&self, item: Item) -> Done {
        let Item { line, text, bytes, is_cut } = item;
        let order = match verdict::check(&text, is_cut) {
            Ok(order) => order,
            Err(verdict) => return Done { line, bytes, order: None, verdict, answer: None },
        };
        let request = Request::post(self.url.clone(), text.into());
        let too_late = async {
            stopped(self.stop.clone()).await;
            tokio::time::sleep(self.grace).await;
        };
        tokio::select! {
            answer = self.client.call(&request) => {
                Done { line, bytes, order, verdict: verdict::judge(&answer), answer: answer.ok() }
            }
            () = too_late => {
                let verdict = Verdict::Failed { message: "not answered before Ctrl-C".to_owned() };
                Done { line, bytes, order, verdict, answer: None }
            }
        }
    }
}

/// Waits until it is time to stop, for ever if that never comes.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The first Ctrl-C stops taking input and lets what is under way finish; the second ends the program.
fn stop_on_ctrl_c() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        sender.send_replace(true);
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    receiver
}

/// Prints the answer to the only object. A closed stdout has nobody to tell.
fn print_answer(body: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(body);
    if !body.ends_with(b"\n") {
        let _ = stdout.write_all(b"\n");
    }
    let _ = stdout.flush();
}
