//! The clients of a process, for the session that runs in production.

use std::time::Duration;

use super::broker::{Code, Generation};
use super::call::{Answered, Request};
use super::clock::SimTime;
use super::member::SimMember;
use super::process::Process;
use super::producer::SimProducer;
use super::reader::SimReader;
use crate::kafka::SessionOptions;
use crate::kafka::client::{Clients, Identity};
use crate::kafka::errors::transient;
use crate::log::LogError;

/// Between two attempts at what a broker could not do yet.
const BACKOFF: Duration = Duration::from_millis(10);

/// Makes the clients of a process.
#[derive(Clone, Debug)]
pub struct SimClients(Process);

impl SimClients {
    pub(super) fn new(process: &Process) -> SimClients {
        SimClients(process.clone())
    }
}

impl Clients for SimClients {
    type Member = SimMember;
    type Producer = SimProducer;
    type Reader = SimReader;
    type Group = Generation;
    type Time = SimTime;

    fn time(&self) -> SimTime {
        SimTime::new(&self.0)
    }

    fn name(&self, name: &str) -> String {
        name.to_owned()
    }

    fn member(&self, identity: &Identity, topics: &[&str], options: &SessionOptions) -> Result<SimMember, LogError> {
        Ok(SimMember::join(&self.0, identity, topics, options))
    }

    fn producer(&self, id: &str, options: &SessionOptions) -> Result<SimProducer, LogError> {
        Ok(SimProducer::new(&self.0, id, options))
    }

    fn reader(&self, _worker: &str, changelog: &str) -> Result<SimReader, LogError> {
        Ok(SimReader::new(&self.0, changelog))
    }
}

/// Whether the client asks again by itself.
pub(super) fn passes(code: Code) -> bool {
    let of_writing = [Code::ConcurrentTransactions, Code::NotEnoughReplicas, Code::NotEnoughReplicasAfterAppend];
    transient(code) || of_writing.contains(&code)
}

/// Asks until there is an answer, or no more time for one.
pub(super) fn ask<R: Request>(process: &Process, request: &R, wait: Duration) -> Result<R::Answer, Code> {
    let cluster = process.cluster();
    let deadline = cluster.now().saturating_add(wait);
    let mut attempt = 0;
    loop {
        match cluster.ask(process, request, attempt, deadline) {
            Answered::With(Ok(answer)) => return Ok(answer),
            Answered::With(Err(code)) if passes(code) => {
                cluster.idle(process, cluster.now().saturating_add(BACKOFF).min(deadline));
            }
            Answered::With(Err(code)) => return Err(code),
            Answered::Not => {}
        }
        if cluster.now() >= deadline {
            return Err(Code::OperationTimedOut);
        }
        attempt += 1;
    }
}
