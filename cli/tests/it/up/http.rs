//! HTTP as a merchant speaks it: signed requests, whole answers.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// Where orders are reported.
pub(crate) const CONVERSIONS: &str = "/api/v1/conversions";
/// Where statuses of orders are reported.
pub(crate) const ORDER_STATUS: &str = "/api/v1/order-status";

/// One of the demo's merchants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merchant {
    /// Its id in the registry.
    pub(crate) id: &'static str,
    /// Its key.
    pub(crate) key: &'static str,
    /// The key's secret.
    pub(crate) secret: &'static str,
    /// A recorded click of its own.
    pub(crate) click: &'static str,
}

/// The demo's first merchant.
pub(crate) static ONE: Merchant = Merchant {
    id: "mer_one",
    key: "live_pk_xxxxxxxxxxxxxxxx",
    secret: "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
    click: "clk_8Q2c0r7m4w",
};
/// The demo's second merchant.
pub(crate) static TWO: Merchant = Merchant {
    id: "mer_two",
    key: "live_pk_yyyyyyyyyyyyyyyy",
    secret: "sk_live_yyyyyyyyyyyyyyyyyyyyyyyy",
    click: "clk_9Zq4m2n8xk",
};

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as text.
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A connection on which every read and write is done within the deadline.
pub(crate) fn open(address: SocketAddr, deadline: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, deadline)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(deadline))?;
    stream.set_write_timeout(Some(deadline))?;
    Ok(stream)
}

/// The request line and headers of a signed request, without the empty line that ends them.
pub(crate) fn head(merchant: &Merchant, line: &str, body: &str) -> String {
    let timestamp = unix_seconds();
    let mut mac = Hmac::<Sha256>::new_from_slice(merchant.secret.as_bytes()).expect("any length");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-api-key: {}\r\n\
         x-timestamp: {timestamp}\r\nx-signature: {signature}\r\n",
        body.len(),
        merchant.key,
    )
}

#[allow(clippy::disallowed_methods, reason = "a merchant signs at the time of its own clock")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Reads one answer; anything but a whole one is an error.
pub(crate) fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP answer: {what:?}"));
    let line = read_line(stream)?;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| malformed(&line))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: String::new() };
    let length =
        answer.header("content-length").map_or(Ok(0), |length| length.parse().map_err(|_| malformed(length)))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    answer.body = String::from_utf8(body).map_err(|_| malformed("a body that is not UTF-8"))?;
    Ok(answer)
}

fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
