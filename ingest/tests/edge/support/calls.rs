use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::Sha256;

use super::NOW_S;

/// A key and its secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) key: &'static str,
    pub(crate) secret: &'static str,
}

/// Merchant one, live, in NPR.
pub(crate) const ONE: Sender = Sender { key: "live_pk_one", secret: "sk_live_one_00000000000000000000" };
/// Merchant one, test mode.
pub(crate) const ONE_TEST: Sender = Sender { key: "test_pk_one", secret: "sk_test_one_00000000000000000000" };
/// Merchant two, live, in JPY.
pub(crate) const TWO: Sender = Sender { key: "live_pk_two", secret: "sk_live_two_00000000000000000000" };

impl Sender {
    pub(crate) fn sign(self, timestamp: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A request to make; signed by [`ONE`] at the bench's time unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    sender: Option<Sender>,
    timestamp: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    peer: IpAddr,
}

impl Call {
    pub(crate) fn get(path: &str) -> Call {
        Call {
            method: Method::GET,
            path: path.to_owned(),
            sender: Some(ONE),
            timestamp: NOW_S.to_string(),
            headers: Vec::new(),
            body: Vec::new(),
            peer: IpAddr::from([127, 0, 0, 1]),
        }
    }

    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Call {
        let headers = vec![("content-type", b"application/json".to_vec())];
        Call { method: Method::POST, headers, body: body.into(), ..Call::get(path) }
    }

    pub(crate) fn conversion(body: impl Into<Vec<u8>>) -> Call {
        Call::post("/api/v1/conversions", body)
    }

    pub(crate) fn batch(items: &[impl AsRef<str>]) -> Call {
        let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
        Call::post("/api/v1/conversions/batch", format!("{{\"conversions\":[{}]}}", items.join(",")))
    }

    pub(crate) fn status(body: impl Into<Vec<u8>>) -> Call {
        Call::post("/api/v1/order-status", body)
    }

    pub(crate) fn test_clock(body: impl Into<Vec<u8>>) -> Call {
        Call::post("/api/v1/test/clock", body).by(ONE_TEST)
    }

    pub(crate) fn method(self, method: Method) -> Call {
        Call { method, ..self }
    }

    pub(crate) fn by(self, sender: Sender) -> Call {
        Call { sender: Some(sender), ..self }
    }

    pub(crate) fn at(self, timestamp: impl ToString) -> Call {
        Call { timestamp: timestamp.to_string(), ..self }
    }

    /// As if it came over a connection from there.
    pub(crate) fn from(self, peer: &str) -> Call {
        Call { peer: peer.parse().unwrap(), ..self }
    }

    pub(crate) fn unsigned(self) -> Call {
        Call { sender: None, ..self }
    }

    /// Sets a header, in place of one of that name, the signature's included.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Call {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without(self, name: &'static str) -> Call {
        self.header(name, "\0")
    }

    pub(crate) fn headers(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut headers = Vec::new();
        if let Some(sender) = self.sender {
            headers.push(("x-api-key", sender.key.as_bytes().to_vec()));
            headers.push(("x-timestamp", self.timestamp.as_bytes().to_vec()));
            headers.push(("x-signature", sender.sign(&self.timestamp, &self.body).into_bytes()));
        }
        headers.retain(|(name, _)| self.headers.iter().all(|(other, _)| other != name));
        headers.extend(self.headers.iter().filter(|(_, value)| value != b"\0").cloned());
        headers
    }

    /// The method, the path with its query, and the body.
    pub(crate) fn line(&self) -> (&Method, &str, &[u8]) {
        (&self.method, &self.path, &self.body)
    }

    pub(crate) fn into_request(self) -> Request<Body> {
        let body = Body::from(self.body.clone());
        self.into_request_with(body)
    }

    /// The same request with a body that comes in another way.
    pub(crate) fn into_request_with(self, body: Body) -> Request<Body> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        request.extension(ConnectInfo(SocketAddr::from((self.peer, 4_711)))).body(body).unwrap()
    }

    /// The request as it goes over a wire.
    pub(crate) fn into_wire(self) -> Vec<u8> {
        let mut wire = format!("{} {} HTTP/1.1\r\nhost: edge\r\n", self.method, self.path).into_bytes();
        for (name, value) in self.headers() {
            wire.extend_from_slice(&[name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
        wire.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        wire.extend_from_slice(&self.body);
        wire
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) async fn of(response: Response<Body>) -> Reply {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The messages of an error that must have this status and code, and the one form of all errors.
    #[track_caller]
    pub(crate) fn error(&self, status: u16, code: &str) -> Vec<String> {
        let json = self.json();
        assert_eq!((self.status.as_u16(), json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(json["statusCode"], status);
        assert_eq!(json["error"].as_str(), self.status.canonical_reason());
        assert_eq!(json["requestId"].as_str(), self.header("x-request-id"));
        assert_eq!(json.as_object().unwrap().len(), 5, "{}", self.text);
        let messages = json["message"].as_array().unwrap();
        assert!(!messages.is_empty());
        messages.iter().map(|message| message.as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn accepted(&self, status: &str) {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{}", self.text);
        assert_eq!(self.json()["status"], status, "{}", self.text);
        assert_eq!(self.json()["duplicate"], status == "DUPLICATE", "{}", self.text);
    }
}
