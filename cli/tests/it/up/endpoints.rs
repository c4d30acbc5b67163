//! Merchants' endpoints are told of every change, from real processes, though endpoints fail and the senders are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::text;
use crate::up::client::{CONVERSIONS, Client, ONE, ORDER_STATUS};
use crate::up::cluster::{Cluster, Target};
use crate::up::embedded::Embedded;
use crate::up::kafka::OnKafka;
use crate::up::orders::Order;
use crate::up::poll;

const DEMO: &str = include_str!("../../../../schemas/src/registry/demo.toml");
/// The secret, and the one that it is to take the place of.
const SECRETS: [&str; 2] = ["whsec_5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e", "whsec_5ca1ab1e5ca1ab1e5ca1ab1e00000000"];
const ORDERS: usize = 20;
/// What was on its way when a sender was killed comes again in half a minute, and what then fails a few seconds later.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(100);

/// A merchant's server: it fails the first attempt of every third webhook, and takes its time over others.
#[derive(Clone, Debug)]
struct Receiver {
    address: SocketAddr,
    /// Every request that was answered with a 200, as JSON: headers and body.
    taken: Arc<Mutex<Vec<Value>>>,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Receiver {
    fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let receiver = Receiver { address, taken: Arc::default(), seen: Arc::default() };
        let accepting = receiver.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let serving = accepting.clone();
                thread::spawn(move || serving.serve(connection));
            }
        });
        receiver
    }

    fn serve(&self, connection: TcpStream) {
        let mut reader = BufReader::new(connection);
        while let Some(request) = read(&mut reader) {
            let id = request["webhook-id"].as_str().expect("an id").to_owned();
            let (is_new, number) = {
                let mut seen = self.seen.lock().expect("no thread died");
                (seen.insert(id), seen.len())
            };
            thread::sleep(Duration::from_millis(if number % 5 == 0 { 100 } else { 0 }));
            let answer = if is_new && number % 3 == 0 { "500 Oops" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
            if answer.contains("200") {
                self.taken.lock().expect("no thread died").push(request);
            }
        }
    }

    /// The sequence numbers, and the timeline entries, that came of each order.
    fn told(&self) -> BTreeMap<String, BTreeSet<i64>> {
        let mut told: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for request in self.taken.lock().expect("no thread died").iter() {
            let body: Value = serde_json::from_str(request["body"].as_str().expect("a body")).expect("JSON");
            let entries = body["data"]["timeline"].as_array().expect("a timeline").iter();
            let order = body["data"]["externalOrderId"].as_str().expect("an order").to_owned();
            told.entry(order).or_default().extend(entries.filter_map(|entry| entry["seq"].as_i64()));
        }
        told
    }

    /// Signatures and bodies by another implementation, from the libraries of Python alone.
    fn checked_by_python(&self) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("requests.json");
        let requests = self.taken.lock().expect("no thread died").clone();
        fs::write(&file, Value::from(requests).to_string()).expect("a file");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check/webhooks.py");
        let output = Command::new(testkit::python()).arg("-B").arg(script).arg(&file).args(SECRETS).output();
        let output = output.expect("Python runs");
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

/// One request: its headers, and under `body` its body; `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut line = String::new();
    let mut request = json!({});
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        request[name.to_ascii_lowercase()] = value.into();
    }
    let length = request["content-length"].as_str().and_then(|length| length.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request["body"] = String::from_utf8(body).ok()?.into();
    Some(request)
}

fn registry(receiver: &Receiver) -> String {
    let [secret, previous] = SECRETS;
    format!(
        "{DEMO}\n[[endpoints]]\nid = \"shop\"\nmerchant = \"{}\"\nurl = \"http://{}/hooks\"\nsecret = \"{secret}\"\n\
         previous_secret = \"{previous}\"\n",
        ONE.id, receiver.address
    )
}

/// Reports orders from this number on, every other of which is cancelled.
fn report(target: &Target, numbers: std::ops::Range<usize>) {
    let mut client = Client::new(target, &ONE);
    for number in numbers {
        let order = Order::new(&ONE, format!("HOOK-{number}"), 299_900);
        assert_eq!(client.settle(CONVERSIONS, &order.body(), None).status, 202);
        if number % 2 == 0 {
            let update = json!({"externalOrderId": order.id, "status": "cancelled"}).to_string();
            assert_eq!(client.settle(ORDER_STATUS, &update, None).status, 202);
        }
    }
}

/// Waits until every order is at its end, and its endpoint was told of every entry of its timeline.
fn all_told(target: &Target, receiver: &Receiver) {
    let mut client = Client::new(target, &ONE);
    poll(DELIVERY_DEADLINE, || {
        let told = receiver.told();
        for number in 0..ORDERS {
            let id = format!("HOOK-{number}");
            let shown = client.conversion(&id).json();
            let expected = if number % 2 == 0 { "reversed" } else { "payable" };
            if shown["state"] != expected {
                return Err(format!("{id} is {}", shown["state"]));
            }
            let entries: BTreeSet<i64> =
                shown["timeline"].as_array().into_iter().flatten().filter_map(|entry| entry["seq"].as_i64()).collect();
            if told.get(&id) != Some(&entries) {
                return Err(format!("{id}: told of {:?} and not of {entries:?}", told.get(&id)));
            }
        }
        Ok(())
    });
}

#[test]
fn on_the_embedded_log() {
    let receiver = Receiver::start();
    let mut cluster = Embedded::stopped();
    let file = cluster.folder().join("registry.toml");
    fs::write(&file, registry(&receiver)).expect("a file");
    let args = ["--registry", file.to_str().expect("UTF-8"), "--webhooks-allow-private-addresses"];
    cluster.restart_with(&args);
    report(&cluster.target(), 0..ORDERS / 2);
    cluster.kill();
    cluster.restart_with(&args);
    report(&cluster.target(), ORDERS / 2..ORDERS);
    all_told(&cluster.target(), &receiver);
    receiver.checked_by_python();
    // Without the permission nothing is sent to this machine.
    let metrics = |cluster: &Embedded| Client::new(&cluster.target(), &ONE).get("/metrics").expect("metrics").body;
    assert!(metrics(&cluster).contains("webhook_attempts_total{result=\"delivered\"}"));
    let told = metrics(&cluster);
    assert!(told.contains("\nwebhook_pending ") && !told.contains("\"shop\""), "everybody can read it: {told}");
    cluster.stop();
    let count = receiver.taken.lock().expect("no thread died").len();
    cluster.restart_with(&args[..2]);
    report(&cluster.target(), ORDERS..ORDERS + 1);
    poll(DELIVERY_DEADLINE, || {
        let metrics = metrics(&cluster);
        // Each of the order's changes is attempted, so there may be several by now.
        if metrics.contains("webhook_attempts_total{result=\"failed\"} 0") { Err(metrics) } else { Ok(()) }
    });
    assert_eq!(receiver.taken.lock().expect("no thread died").len(), count);
    cluster.stop();
    for (path, bytes) in cluster.folder().files() {
        // All secrets of tests, the service's token too, have this mark; the registry's file is the test's own.
        let has = bytes.windows(8).any(|window| window == b"5ca1ab1e");
        assert!(!has || path == file, "{}: a secret", path.display());
    }
    let topics = cluster.topics();
    assert!(topics.webhook_attempts.len() >= topics.webhook_outcomes.len(), "an outcome is of an attempt");
    assert!(topics.dead_letters.is_empty(), "{:?}", topics.dead_letters);
}

#[test]
fn on_kafka() {
    let receiver = Receiver::start();
    let mut cluster = OnKafka::start();
    cluster.apply(&registry(&receiver));
    let mut sender = cluster.start_webhooks();
    report(&cluster.target(), 0..ORDERS / 2);
    sender.kill();
    drop(sender);
    let sender = cluster.start_webhooks();
    report(&cluster.target(), ORDERS / 2..ORDERS);
    all_told(&cluster.target(), &receiver);
    receiver.checked_by_python();
    sender.terminate();
    sender.wait();
}
