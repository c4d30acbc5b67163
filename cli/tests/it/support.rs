//! An HTTP server that answers as a test says, and the binary under test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The secret of every test.
pub(crate) const SECRET: &str = "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx";
/// The key of every test.
pub(crate) const KEY: &str = "live_pk_xxxxxxxxxxxxxxxx";

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The request line without the version.
    pub(crate) line: String,
    /// Headers by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Which connection it came over, from 0.
    pub(crate) connection: usize,
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a status, more header lines, and a body.
    Answer(u16, &'static str, String),
    /// Says nothing for so long and hangs up.
    Hang(Duration),
}

type Script = dyn Fn(&Recorded, usize) -> Reply + Send + Sync;

/// A server on a free port, until the test ends.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Recorded>>>,
}

impl Server {
    /// Starts a server. The script sees each request and how many came before it.
    pub(crate) fn start(script: impl Fn(&Recorded, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Arc<Script>) = (Arc::clone(&requests), Arc::new(script));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                thread::spawn(move || serve(stream.expect("a connection"), connection, &log, &*script));
            }
        });
        Server { address, requests }
    }

    /// Its address, for `--to`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().expect("no test thread died").clone()
    }
}

fn serve(mut stream: TcpStream, connection: usize, log: &Mutex<Vec<Recorded>>, script: &Script) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while let Some(request) = read_request(&mut reader, connection) {
        let before = {
            let mut log = log.lock().expect("no test thread died");
            log.push(request.clone());
            log.len() - 1
        };
        match script(&request, before) {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Reply::Hang(time) => {
                thread::sleep(time);
                return;
            }
        }
    }
}

fn read_request(reader: &mut impl BufRead, connection: usize) -> Option<Recorded> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Recorded { line, headers, body, connection })
}

/// Runs the binary with the secret in its environment and this text on stdin.
pub(crate) fn conversions(args: &[&str], stdin: &str) -> Output {
    run(command(args).env("CONVERSIONS_SECRET", SECRET), stdin)
}

/// The binary with these arguments and an environment that a developer's shell has no part in.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conversions"));
    let ours = |name: &OsString| name == "RUST_LOG" || name.to_string_lossy().starts_with("CONVERSIONS_");
    for (variable, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, stdin: &str) -> Output {
    let mut child = command.spawn().expect("the binary starts");
    // It may end before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    child.wait_with_output().expect("the binary ends")
}

/// What a process wrote, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
