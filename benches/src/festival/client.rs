//! One connection to the server, kept and made again.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::registry::Key;

/// Most bytes of an answer that are read: of a batch's.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// There was no connection, so the server never saw the request.
    NotConnected,
    Timeout,
    Broken,
}

impl Unanswered {
    pub(super) fn name(self) -> &'static str {
        match self {
            Unanswered::NotConnected => "not connected",
            Unanswered::Timeout => "time-out",
            Unanswered::Broken => "connection broken",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Auth<'a> {
    /// A merchant, at these Unix seconds; wrongly signed if it is forged.
    Merchant { key: &'a Key, now: u64, forged: bool },
    /// A service, whose header this is.
    Service(&'a HeaderValue),
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) idempotency_key: Option<String>,
}

impl Call {
    pub(super) fn get(path: String) -> Call {
        Call { method: Method::GET, path, body: Bytes::new(), idempotency_key: None }
    }

    pub(super) fn post(path: &str, body: String, idempotency_key: Option<String>) -> Call {
        Call { method: Method::POST, path: path.to_owned(), body: body.into(), idempotency_key }
    }

    fn request(&self, host: &HeaderValue, auth: Auth<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(&self.method).uri(&self.path).header(HOST, host);
        match auth {
            Auth::Merchant { key, now, forged } => {
                // The signature of another second is not that of this one.
                let signature =
                    if forged { key.signer.sign(now + 1, &self.body) } else { key.signer.sign(now, &self.body) };
                request =
                    request.header("x-api-key", &key.id).header("x-timestamp", now).header("x-signature", signature);
            }
            Auth::Service(token) => request = request.header("authorization", token),
        }
        if self.method == Method::POST {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(key) = &self.idempotency_key {
            request = request.header("x-idempotency-key", key);
        }
        request.body(Full::new(self.body.clone())).expect("paths and headers are of plain characters")
    }
}

/// A connection, which is opened when it is needed.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    host: HeaderValue,
    deadline: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub(super) fn new(address: SocketAddr, deadline: Duration) -> Connection {
        let host = HeaderValue::try_from(address.to_string()).expect("an address is of plain characters");
        Connection { address, host, deadline, sender: None }
    }

    /// Asks once. A connection that did not answer in time is closed, so that its late answer is nobody's.
    pub(super) async fn call(&mut self, call: &Call, auth: Auth<'_>) -> Result<Answer, Unanswered> {
        let mut connected = false;
        let deadline = self.deadline;
        match timeout(deadline, self.ask(call, auth, &mut connected)).await {
            Ok(answered) => answered,
            Err(_) if connected => Err(Unanswered::Timeout),
            Err(_) => Err(Unanswered::NotConnected),
        }
    }

    async fn ask(&mut self, call: &Call, auth: Auth<'_>, connected: &mut bool) -> Result<Answer, Unanswered> {
        // Taken out, and put back by a whole answer only.
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => open(self.address).await?,
        };
        *connected = true;
        let request = call.request(&self.host, auth);
        sender.ready().await.map_err(|_| Unanswered::NotConnected)?;
        let answer = sender.send_request(request).await.map_err(|_| Unanswered::Broken)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Unanswered::Broken)?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status, body })
    }
}

async fn open(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Unanswered> {
    let stream = TcpStream::connect(address).await.map_err(|_| Unanswered::NotConnected)?;
    stream.set_nodelay(true).map_err(|_| Unanswered::NotConnected)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Unanswered::NotConnected)?;
    // It ends when the sender is dropped, or the server closes it.
    tokio::spawn(connection);
    Ok(sender)
}
