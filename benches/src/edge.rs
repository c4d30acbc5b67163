//! The product's own processes, and whoever reports orders to them.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use testkit::{Kafka, MASTER_KEY};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::sign::{self, Signer};

/// A merchant of the demo's registry.
const KEY: &str = "live_pk_xxxxxxxxxxxxxxxx";
const SECRET: &str = "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx";
/// Partitions of every topic that is read by key.
const PARTITIONS: &str = "6";

/// The program that was built beside this one.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn conversions() -> PathBuf {
    let here = env::current_exe().expect("this program has a path");
    let path = here.with_file_name("conversions");
    assert!(path.is_file(), "{} is missing: cargo build --release -p cli", path.display());
    path
}

/// Topics and a registry on a broker, and what every process on them is told.
#[derive(Debug)]
pub struct Installation {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

impl Installation {
    /// Makes topics whose names begin so, and the demo's registry. `more` are settings as variables, without what these begin
    /// with.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn new(binary: &Path, kafka: &Kafka, prefix: &str, more: &[(&str, &str)]) -> Installation {
        Installation::applying(binary, kafka, prefix, &["--demo"], more)
    }

    /// The same, with the registry that these arguments of `conversions apply` name.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn applying(
        binary: &Path,
        kafka: &Kafka,
        prefix: &str,
        registry: &[&str],
        more: &[(&str, &str)],
    ) -> Installation {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let ours = [
            ("KAFKA_BOOTSTRAP", kafka.bootstrap()),
            ("KAFKA_PREFIX", prefix),
            ("REGISTRY_MASTER_KEY", MASTER_KEY),
            ("TOPICS_PARTITIONS", PARTITIONS),
            ("TOPICS_REPLICATION_FACTOR", "1"),
            ("TOPICS_MIN_INSYNC_REPLICAS", "1"),
            ("INGEST_LISTEN", "127.0.0.1:0"),
            ("INGEST_DATA", data.to_str().expect("UTF-8")),
        ];
        let settings =
            ours.iter().chain(more).map(|(name, value)| (format!("CONVERSIONS_{name}"), (*value).to_owned()));
        let installation = Installation { binary: binary.to_owned(), settings: settings.collect(), folder };
        installation.run(&["topics", "--create"]);
        installation.run(&[&["apply"], registry].concat());
        installation
    }

    /// A command of the product in this installation, not started yet.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(self.settings.iter().cloned()).args(arguments);
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it fails, with what it said.
    pub fn run(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().expect("the program starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts an edge, and waits until it serves.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn start_edge(&self) -> EdgeProcess {
        let mut command = self.command(&["ingest"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        // Ended with what it is part of, also if what follows panics.
        let mut edge = EdgeProcess { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().split_once(" on http://").and_then(|(_, address)| address.parse().ok());
        edge.address = address.unwrap_or_else(|| panic!("the edge announced {line:?}"));
        edge
    }
}

/// An edge, killed when it is dropped.
#[derive(Debug)]
pub struct EdgeProcess {
    child: Child,
    address: SocketAddr,
}

impl Drop for EdgeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl EdgeProcess {
    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The sum of the samples of a metric.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn metric(&self, name: &str) -> u64 {
        let (status, body) = Caller::connect(self.address).await.ask("GET /metrics", "").await;
        assert_eq!(status, 200, "{body}");
        let samples = body.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// A merchant's connection to an edge, with one request at a time.
#[derive(Debug)]
pub struct Caller {
    stream: tokio::io::BufReader<TcpStream>,
    key: String,
    signer: Signer,
}

impl Caller {
    /// Connects, as a merchant of the demo's registry.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn connect(address: SocketAddr) -> Caller {
        Caller::connect_as(address, KEY.to_owned(), Signer::new(SECRET)).await
    }

    /// Connects, as the merchant of this key.
    pub(crate) async fn connect_as(address: SocketAddr, key: String, signer: Signer) -> Caller {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a connection");
        Caller { stream: tokio::io::BufReader::new(stream), key, signer }
    }

    /// Reports an order; the status of the answer.
    ///
    /// # Panics
    /// If there is none.
    pub async fn report(&mut self, order: &str) -> u16 {
        let body = format!(
            r#"{{"externalOrderId":"{order}","orderAmount":"2999.00","currency":"NPR","orderStatus":"confirmed"}}"#
        );
        self.ask("POST /api/v1/conversions", &body).await.0
    }

    /// Sends a signed request, and reads the answer's status and body.
    pub(crate) async fn ask(&mut self, line: &str, body: &str) -> (u16, String) {
        let request = format!("{}{body}", self.head(line, body));
        self.stream.get_mut().write_all(request.as_bytes()).await.expect("it takes requests");
        let status = self.line().await;
        let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let mut length = 0;
        loop {
            let line = self.line().await;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("a whole body");
        (status.expect("an HTTP answer"), String::from_utf8_lossy(&body).into_owned())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.expect("an answer");
        assert!(read > 0, "the edge hung up");
        line.trim_end().to_owned()
    }

    fn head(&self, line: &str, body: &str) -> String {
        let timestamp = u64::try_from(sign::now().0).expect("after 1970") / 1_000;
        let (key, signature) = (&self.key, self.signer.sign(timestamp, body.as_bytes()));
        format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-api-key: {key}\r\n\
             x-timestamp: {timestamp}\r\nx-signature: {signature}\r\n\r\n",
            body.len(),
        )
    }
}
