//! Over real connections: what is sent, cut and finished.

use std::net::SocketAddr;
use std::time::Duration;

use ingest::{Config, Drained, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{Bench, Call, LogMode};

const BODY: &str = r#"{"externalOrderId":"A","orderAmount":"1"}"#;

/// An edge that listens.
pub(crate) struct Served {
    pub(crate) bench: Bench,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Served {
    let bench = Bench::with(change);
    bench.readiness.caught_up();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, bench.edge.clone(), async move { drop(stopped.await) }));
    Served { bench, address, stop, task }
}

pub(crate) async fn open(served: &Served, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Everything until the connection closes.
pub(crate) async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.expect("the connection is closed");
    String::from_utf8(bytes).unwrap()
}

pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    timeout(Duration::from_secs(10), async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it comes about");
}

fn closing(call: Call) -> Vec<u8> {
    call.header("connection", "close").into_wire()
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let served = start(|_| {}).await;
    let wire = [Call::conversion(BODY).into_wire(), closing(Call::conversion(BODY))].concat();
    let text = rest(open(&served, &wire).await).await;
    let (first, second) = (text.find("RECEIVED").unwrap(), text.find("DUPLICATE").unwrap());
    assert!(first < second, "{text}");
    served.stop.send(()).unwrap();
    assert_eq!(served.task.await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn oversized_and_lying_bodies_are_answered_and_cut() {
    let served = start(|_| {}).await;
    for head in ["content-length: 100000", "transfer-encoding: chunked", "content-length: 99999999999"] {
        let head = format!("POST /api/v1/conversions HTTP/1.1\r\nhost: edge\r\n{head}\r\n\r\n");
        let mut stream = open(&served, head.as_bytes()).await;
        if head.contains("chunked") {
            let chunk = format!("{:x}\r\n{}\r\n", 70_000, "x".repeat(70_000));
            stream.write_all(format!("{chunk}0\r\n\r\n").as_bytes()).await.unwrap();
        } else if head.contains("100000") {
            stream.write_all(&vec![b'x'; 100_000]).await.unwrap();
        }
        let text = rest(stream).await;
        assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("BODY_TOO_LARGE"), "{text}");
    }
}

#[tokio::test]
async fn slow_senders_are_cut() {
    let served = start(|config| {
        config.body_deadline = Duration::from_millis(100);
        config.idle_deadline = Duration::from_millis(200);
    })
    .await;
    let half_head = open(&served, b"POST /api/v1/conversions HTTP/1.1\r\nhost:").await;
    let idle = open(&served, b"").await;
    let half_body = open(&served, b"POST /api/v1/conversions HTTP/1.1\r\ncontent-length: 10\r\n\r\n{").await;
    let text = rest(half_body).await;
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("REQUEST_TIMEOUT"), "{text}");
    rest(half_head).await;
    assert_eq!(rest(idle).await, "");
    // One that idles after an answer is cut as well.
    let text = rest(open(&served, &Call::get("/health/live").unsigned().into_wire()).await).await;
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let served = start(|config| config.connections_max = 1).await;
    let first = open(&served, b"").await;
    let second = tokio::spawn(rest(open(&served, &closing(Call::get("/health/live").unsigned())).await));
    sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    assert!(second.await.unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_disconnect_in_the_middle_loses_nothing() {
    let served = start(|_| {}).await;
    served.bench.log.set(LogMode::Holds);
    let stream = open(&served, &Call::conversion(BODY).into_wire()).await;
    until(|| served.bench.log.count() == 1).await;
    drop(stream);
    sleep(Duration::from_millis(20)).await;
    // The shutdown waits for it too, though it is on no connection.
    served.stop.send(()).unwrap();
    sleep(Duration::from_millis(20)).await;
    assert!(!served.task.is_finished());
    served.bench.log.release();
    assert_eq!(served.task.await.unwrap(), Drained::Completely);
    assert_eq!(served.bench.claims.conversions().len(), 1);
}

#[tokio::test]
async fn a_shutdown_finishes_what_was_accepted() {
    let served = start(|_| {}).await;
    served.bench.log.set(LogMode::Holds);
    let idle = open(&served, b"").await;
    let accepted = open(&served, &Call::conversion(BODY).into_wire()).await;
    until(|| served.bench.log.count() == 1).await;
    served.stop.send(()).unwrap();
    until(|| served.bench.readiness.reasons() == ["draining"]).await;
    assert_eq!(rest(idle).await, "");
    until(|| std::net::TcpStream::connect(served.address).is_err()).await;
    assert!(!served.task.is_finished());
    served.bench.log.release();
    let text = rest(accepted).await;
    assert!(text.starts_with("HTTP/1.1 202 ") && text.contains("RECEIVED"), "{text}");
    assert_eq!(served.task.await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn a_shutdown_has_a_deadline() {
    let served = start(|config| config.shutdown_deadline = Duration::from_millis(50)).await;
    served.bench.log.set(LogMode::Holds);
    let stuck = open(&served, &Call::conversion(BODY).into_wire()).await;
    until(|| served.bench.log.count() == 1).await;
    served.stop.send(()).unwrap();
    assert_eq!(served.task.await.unwrap(), Drained::Cut { connections: 1, requests: 1 });
    assert_eq!(rest(stuck).await, "");
}

#[tokio::test]
async fn who_does_not_read_is_cut() {
    let served = start(|config| config.idle_deadline = Duration::from_millis(200)).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(served.address).await.unwrap();
    let wire = Call::get("/metrics").unsigned().into_wire().repeat(100);
    // Requests go in until the edge takes no more of them, and none of its answers is read.
    let written = timeout(Duration::from_secs(20), async { while stream.write_all(&wire).await.is_ok() {} }).await;
    written.expect("the connection is closed");
    served.stop.send(()).unwrap();
    assert_eq!(served.task.await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_half_a_head() {
    let served = start(|_| {}).await;
    let half = b"POST /api/v1/conversions HTTP/1.1\r\nhost:";
    let fresh = open(&served, half).await;
    // One more after a request, on the same connection.
    let used = open(&served, &[&Call::conversion(BODY).into_wire()[..], half].concat()).await;
    until(|| served.bench.log.count() == 1).await;
    served.bench.log.set(LogMode::Holds);
    let other = Call::conversion(r#"{"externalOrderId":"B","orderAmount":"1"}"#);
    let accepted = open(&served, &other.into_wire()).await;
    until(|| served.bench.log.count() == 2).await;
    let began = tokio::time::Instant::now();
    served.stop.send(()).unwrap();
    rest(fresh).await;
    assert!(rest(used).await.contains("RECEIVED"));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // What has a request under way is waited for, however long it takes.
    sleep(Duration::from_millis(1_200)).await;
    assert!(!served.task.is_finished());
    served.bench.log.release();
    assert!(rest(accepted).await.contains("RECEIVED"));
    assert_eq!(served.task.await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn heads_have_a_bound() {
    let served = start(|_| {}).await;
    for (bytes, status) in [(32_768, "404"), (32_769, "431"), (60_000, "431")] {
        let (start, end) = ("GET /nowhere HTTP/1.1\r\nconnection: close\r\nx: ", "\r\n\r\n");
        let head = format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()));
        let text = rest(open(&served, head.as_bytes()).await).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {text}");
        assert_eq!(text.contains("NOT_FOUND"), status == "404", "what never became a request has no JSON body");
    }
}
