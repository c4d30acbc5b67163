//! A merchant that goes on until it is answered: the same request again, to either edge, as API.md asks.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::facts::{Facts, Span, now_ms};
use crate::http::{Answer, CONVERSIONS, Merchant, ORDER_STATUS, head, open, read_answer};
use crate::random::Random;

/// An impatient merchant waits so long for an answer: shorter than an edge's own deadline, so that answers are cut off.
pub(crate) const IMPATIENT: Duration = Duration::from_secs(2);
const GIVE_UP: Duration = Duration::from_secs(150);

/// Where an edge is; nowhere while it is down, since its port may then be somebody else's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target(Arc<Mutex<Option<SocketAddr>>>);

impl Target {
    /// The address, while there is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is from now on.
    pub(crate) fn set(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An order.
    Report,
    /// A status of one.
    Status,
}

/// One caller, with a connection to each edge.
#[derive(Debug)]
pub(crate) struct Caller {
    edges: Vec<(Target, Option<BufReader<TcpStream>>)>,
    /// How long it waits for an answer.
    patience: Duration,
    random: Random,
    facts: Arc<Facts>,
    /// Attempts that had no answer, or one that asks for another.
    pub(crate) failures: u64,
    /// Requests that were answered in the end.
    pub(crate) answered: u64,
}

impl Caller {
    /// A caller that has not connected yet.
    pub(crate) fn new(edges: &[Target], patience: Duration, random: Random, facts: &Arc<Facts>) -> Caller {
        let edges = edges.iter().map(|target| (target.clone(), None)).collect();
        Caller { edges, patience, random, facts: Arc::clone(facts), failures: 0, answered: 0 }
    }

    /// Reports something until it is answered 202, first to this edge, and notes it.
    #[track_caller]
    pub(crate) fn settle(&mut self, merchant: &Merchant, kind: Kind, body: &Value, edge: usize) {
        let (begun, sent_ms) = (Instant::now(), now_ms());
        let mut edge = edge;
        loop {
            let last = match self.post(merchant, kind, body, edge) {
                Ok(answer) if answer.status == 202 => {
                    self.note(merchant, kind, body, sent_ms, Some(&answer));
                    return;
                }
                Ok(answer) if answer.status >= 500 => format!("{answer:?}"),
                Ok(answer) => panic!("{body} was refused: {answer:?}"),
                Err(error) => error.to_string(),
            };
            self.failures += 1;
            assert!(begun.elapsed() < GIVE_UP, "no answer within {GIVE_UP:?} to {body}: {last}");
            thread::sleep(Duration::from_millis(20 + self.random.below(180)));
            edge = self.random.index(self.edges.len());
        }
    }

    /// Reports something once, and notes it whatever the answer: what was not answered 202 may be in the log.
    pub(crate) fn once(&mut self, merchant: &Merchant, kind: Kind, body: &Value) -> io::Result<Answer> {
        let sent_ms = now_ms();
        let answer = self.post(merchant, kind, body, 0);
        let accepted = answer.as_ref().ok().filter(|answer| answer.status == 202);
        self.note(merchant, kind, body, sent_ms, accepted);
        answer
    }

    fn post(&mut self, merchant: &Merchant, kind: Kind, body: &Value, edge: usize) -> io::Result<Answer> {
        let path = match kind {
            Kind::Report => CONVERSIONS,
            Kind::Status => ORDER_STATUS,
        };
        self.attempt(merchant, &format!("POST {path}"), &body.to_string(), edge)
    }

    fn note(&mut self, merchant: &Merchant, kind: Kind, body: &Value, sent_ms: i64, answer: Option<&Answer>) {
        self.answered += u64::from(answer.is_some());
        let kind = match kind {
            Kind::Report => "report",
            Kind::Status => "status",
        };
        let span = Span { sent_ms, acked_ms: answer.map(|_| now_ms()) };
        self.facts.sent(kind, merchant.id, body, span, &answer.map_or(Value::Null, Answer::json));
    }

    /// Follows a link until it is redirected; the click's id.
    #[track_caller]
    pub(crate) fn click(&mut self, merchant: &Merchant, link: &str) -> String {
        let begun = Instant::now();
        loop {
            let (sent_ms, edge) = (now_ms(), self.random.index(self.edges.len()));
            let answer = self.attempt(merchant, &format!("GET /c/{link}"), "", edge);
            if let Ok(answer) = &answer
                && let Some(click_id) = click_id(answer)
            {
                let span = Span { sent_ms, acked_ms: Some(now_ms()) };
                self.facts.click(link, span, Some(click_id));
                return click_id.to_owned();
            }
            self.facts.click(link, Span { sent_ms, acked_ms: None }, None);
            self.failures += 1;
            assert!(begun.elapsed() < GIVE_UP, "no redirect within {GIVE_UP:?} from {link}: {answer:?}");
            thread::sleep(Duration::from_millis(20 + self.random.below(180)));
        }
    }

    fn attempt(&mut self, merchant: &Merchant, line: &str, body: &str, edge: usize) -> io::Result<Answer> {
        let (target, kept) = &mut self.edges[edge];
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => BufReader::new(open(target.address().ok_or(io::ErrorKind::NotConnected)?, self.patience)?),
        };
        let request = format!("{}\r\n{body}", head(merchant, line, body));
        stream.get_mut().write_all(request.as_bytes())?;
        let answer = read_answer(&mut stream)?;
        if answer.header("connection") != Some("close") {
            *kept = Some(stream);
        }
        Ok(answer)
    }
}

fn click_id(answer: &Answer) -> Option<&str> {
    let (_, rest) = answer.header("location")?.split_once("affiliate_click_id=")?;
    rest.split('&').next()
}
