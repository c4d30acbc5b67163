//! A merchant's client: keeps its connection, and can go on asking until it is answered.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::up::cluster::Target;
use crate::up::http::open;
pub(crate) use crate::up::http::{
    Answer, CONVERSIONS, Merchant, ONE, ORDER_STATUS, TWO, head, read_answer, unix_seconds,
};

/// What a service shows to record clicks.
pub(crate) const SERVICE_TOKEN: &str = "service_5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
/// What Asha, an administrator, and Bina, a reviewer, show.
pub(crate) const ASHA: &str = "asha_5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
pub(crate) const BINA: &str = "bina_5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
const RETRY_DEADLINE: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(3);

/// One client of one merchant.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    merchant: &'static Merchant,
    stream: Option<BufReader<TcpStream>>,
    /// How many attempts ended without an answer, or with one that asks for another attempt.
    pub(crate) failures: u64,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(target: &Target, merchant: &'static Merchant) -> Client {
        Client { target: target.clone(), merchant, stream: None, failures: 0 }
    }

    /// Reports something, once.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.attempt(&format!("POST {path}"), body, None)
    }

    /// Asks for something, once.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.attempt(&format!("GET {path}"), "", None)
    }

    /// Asks for a conversion, once; anything but an answer is a failure.
    #[track_caller]
    pub(crate) fn conversion(&mut self, order: &str) -> Answer {
        let answer = self.get(&format!("{CONVERSIONS}/{order}"));
        answer.unwrap_or_else(|error| panic!("GET of order {order}: {error}"))
    }

    /// Reports something as the contract says: the same body again, freshly signed, until the answer is not one that
    /// asks for another attempt.
    #[track_caller]
    pub(crate) fn settle(&mut self, path: &str, body: &str, idempotency_key: Option<&str>) -> Answer {
        let begun = Instant::now();
        loop {
            let last = match self.attempt(&format!("POST {path}"), body, idempotency_key) {
                Ok(answer) if answer.status < 500 && answer.status != 429 => return answer,
                Ok(answer) => format!("{answer:?}"),
                Err(error) => error.to_string(),
            };
            self.failures += 1;
            assert!(begun.elapsed() < RETRY_DEADLINE, "no answer within {RETRY_DEADLINE:?} to {body}: {last}");
            thread::sleep(RETRY_PAUSE);
        }
    }

    fn attempt(&mut self, line: &str, body: &str, idempotency_key: Option<&str>) -> io::Result<Answer> {
        let mut head = head(self.merchant, line, body);
        if let Some(key) = idempotency_key {
            head += &format!("x-idempotency-key: {key}\r\n");
        }
        self.send(&head, body)
    }

    /// Sends a head without its last line, and a body, once.
    pub(crate) fn send(&mut self, head: &str, body: &str) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(connect(&self.target)?),
        };
        stream.get_mut().write_all(format!("{head}\r\n{body}").as_bytes())?;
        let answer = read_answer(&mut stream)?;
        if answer.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// A connection to the process, while it is up.
pub(crate) fn connect(target: &Target) -> io::Result<TcpStream> {
    open(target.address().ok_or(io::ErrorKind::NotConnected)?, ANSWER_DEADLINE)
}

/// How many reviewers there are besides Asha and Bina.
pub(crate) const REVIEWERS: usize = 64;

/// The token of one of them.
pub(crate) fn reviewer(number: usize) -> String {
    format!("reviewer_{number}_0123456789abcdef0123456789abcdef")
}

/// The list of administrators that has Asha and Bina, and the other reviewers.
pub(crate) fn admins() -> String {
    let line = |name: &str, role: &str, token: &str| {
        let digest: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name} {role} {digest}\n")
    };
    let others = (0..REVIEWERS).map(|number| line(&format!("reviewer_{number}"), "reviewer", &reviewer(number)));
    [line("asha", "administrator", ASHA), line("bina", "reviewer", BINA)].into_iter().chain(others).collect()
}
