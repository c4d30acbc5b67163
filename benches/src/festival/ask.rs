//! Questions to the server before the load: is it ready, and does it have what the scenario needs?

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The status that a server says of its health.
pub(super) fn health(address: SocketAddr) -> io::Result<u16> {
    ask(address, "GET /health/ready HTTP/1.1\r\nhost: festival\r\nconnection: close\r\n\r\n")
}

/// Fails if a service with this token cannot record clicks.
pub(super) fn records_clicks(address: SocketAddr, token: &str) -> Result<(), String> {
    // A click without anything is refused as such where clicks are taken.
    let asked = ask(
        address,
        &format!(
            "POST /internal/v1/clicks HTTP/1.1\r\nhost: festival\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        ),
    );
    match asked.map_err(|error| format!("{address} does not answer: {error}"))? {
        400 => Ok(()),
        401 => Err("the server has another service token than --service-token-file".to_owned()),
        404 => Err(
            "the scenario has late clicks, and the server has no POST /internal/v1/clicks to record them: it needs a \
                    version with that route and a service token, or a scenario whose shares.late_click is 0"
                .to_owned(),
        ),
        other => Err(format!("POST /internal/v1/clicks of an empty click was answered {other}, and not 400")),
    }
}

/// The status of the answer to a request with nothing after it.
fn ask(address: SocketAddr, request: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let head = String::from_utf8_lossy(&answer);
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.ok_or_else(|| io::Error::other("it does not speak HTTP/1.1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 1024]).expect("a request");
            stream.write_all(answer.as_bytes()).expect("it is heard");
        });
        address
    }

    #[test]
    fn what_a_server_has() {
        assert_eq!(health(server("HTTP/1.1 503 Service Unavailable\r\n\r\n")).expect("an answer"), 503);
        assert!(health(server("SSH-2.0\r\n")).is_err());
        let clicks = |answer| records_clicks(server(answer), "token");
        assert_eq!(clicks("HTTP/1.1 400 Bad Request\r\n\r\n{}"), Ok(()));
        for (answer, said) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "no POST /internal/v1/clicks"),
            ("HTTP/1.1 401 Unauthorized\r\n\r\n", "--service-token-file"),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "503"),
        ] {
            assert!(clicks(answer).is_err_and(|error| error.contains(said)), "{answer}");
        }
    }
}
