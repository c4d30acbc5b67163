//! An HTTP server whose paths are kinds of receivers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or_else(|| panic!("no {name} in {:?}", self.headers), |(_, value)| value)
    }
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    requests: Vec<Request>,
}

/// A receiver that runs until the test ends.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let receiver = Receiver { address, seen: Arc::default() };
        let accepting = receiver.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                accepting.seen.lock().expect("no test panics with the lock").connections += 1;
                tokio::spawn(accepting.clone().serve(connection));
            }
        });
        receiver
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().expect("no test panics with the lock").connections
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().expect("no test panics with the lock").requests.clone()
    }

    /// How many requests of a path there were.
    pub(crate) fn arrived(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }

    async fn serve(self, mut connection: TcpStream) {
        while let Some(request) = read(&mut connection).await {
            let path = request.path.clone();
            self.seen.lock().expect("no test panics with the lock").requests.push(request);
            if !self.answer(&mut connection, &path).await {
                return;
            }
        }
    }

    /// Answers as the path says; whether the connection goes on.
    async fn answer(&self, connection: &mut TcpStream, path: &str) -> bool {
        let answer = match path {
            "/ok" => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
            }
            "/busy" => "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "/gone" => "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "/redirect" => "HTTP/1.1 307 Elsewhere\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "/nonsense" => "what?\r\n\r\n".to_owned(),
            "/huge" => {
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await;
                // Until the other side has had enough.
                while connection.write_all(&[b'x'; 65_536]).await.is_ok() {}
                return false;
            }
            "/unfinished" => {
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx").await;
                tokio::time::sleep(Duration::from_secs(60)).await;
                return false;
            }
            "/hang" => {
                // The other side closes when it has waited long enough.
                let _ = connection.read(&mut [0; 1]).await;
                return false;
            }
            _ => return false,
        };
        connection.write_all(answer.as_bytes()).await.is_ok()
    }
}

async fn read(connection: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).expect("a head of ASCII");
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = bytes.split_off(head + 4);
    while body.len() < length.unwrap_or(0) {
        if connection.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { path, headers, body: String::from_utf8(body).expect("a body of UTF-8") })
}
