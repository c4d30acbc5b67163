//! A proxy before a broker, on which single requests and answers get lost.
//!
//! Requests and answers of Kafka's protocol are frames: four bytes of size, then a header. A request's has the API's key
//! (2 bytes), its version (2), the correlation id (4) and the client's id (2 of length, then the text); an answer's has
//! the correlation id.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Larger than any frame of a test; what claims to be larger is no Kafka.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// The bytes of a request's header up to the client's id.
const HEADER_BYTES: usize = 10;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the protocol")]
#[repr(u16)]
pub enum Api {
    Produce = 0,
    JoinGroup = 11,
    InitProducerId = 22,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The broker never gets it, and the connection is cut.
    LoseRequest,
    /// The broker gets it, and the connection is cut before its answer.
    LoseAnswer,
    /// The broker answers it, and then gets it once more, as one that was stuck on a connection that has died.
    Repeat,
    /// Likewise, and the second one comes after this long.
    RepeatLate(Duration),
}

/// Stands between the clients of a broker and the broker, and does nothing that it was not told to.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    broker_port: u16,
    rules: Mutex<Vec<Rule>>,
    /// Both ends of what is connected.
    connections: Mutex<BTreeMap<u64, [TcpStream; 2]>>,
    connected: AtomicU64,
    stopped: AtomicBool,
}

/// What was asked for by [`Proxy::inject`].
#[derive(Debug)]
struct Rule {
    api: Api,
    client: String,
    fault: Fault,
    held_off: Duration,
    /// Until when further requests are lost, once the fault has happened.
    until: Option<Instant>,
    hits: usize,
}

impl Proxy {
    pub(crate) fn start(port: u16, broker_port: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listener.unwrap_or_else(|error| panic!("the proxy's port {port} is not free: {error}"));
        let shared = Arc::new(Shared {
            broker_port,
            rules: Mutex::default(),
            connections: Mutex::default(),
            connected: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accepting.accept(&listener));
        Proxy { port, shared, acceptor: Some(acceptor) }
    }

    /// Does this to the next request of this kind from a client whose `client.id` contains `client`. After that, every
    /// further one is lost for as long as `held_off`. Returns what [`Proxy::hits`] wants.
    #[must_use]
    pub fn inject(&self, api: Api, client: &str, fault: Fault, held_off: Duration) -> usize {
        let mut rules = lock(&self.shared.rules);
        rules.push(Rule { api, client: client.to_owned(), fault, held_off, until: None, hits: 0 });
        rules.len() - 1
    }

    /// How many requests a fault has met.
    #[must_use]
    pub fn hits(&self, fault: usize) -> usize {
        lock(&self.shared.rules)[fault].hits
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // It waits for a connection.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        lock(&self.shared.connections).values().for_each(cut);
    }
}

impl Shared {
    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            // A broker that is down refuses: its client hears of that by the end of this connection.
            let connected = client.and_then(|client| Ok((client, self.connect()?)));
            let Ok((client, broker)) = connected else { continue };
            let shared = Arc::clone(self);
            // It ends with its connection, which `drop` cuts.
            thread::spawn(move || shared.serve(&client, &broker));
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, self.broker_port))?;
        broker.set_nodelay(true)?;
        Ok(broker)
    }

    fn serve(&self, client: &TcpStream, broker: &TcpStream) {
        let Ok(ends) = both(client, broker) else { return };
        let number = self.connected.fetch_add(1, Ordering::Relaxed);
        lock(&self.connections).insert(number, ends);
        let marked = Marked::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Whatever ends one direction ends both.
                let _ = self.answers(broker, client, &marked);
                cut_both(client, broker);
            });
            let _ = self.requests(client, broker, &marked);
            cut_both(client, broker);
        });
        lock(&self.connections).remove(&number);
    }

    /// Hands requests on until one is to be lost.
    fn requests(&self, mut client: &TcpStream, mut broker: &TcpStream, marked: &Marked) -> io::Result<()> {
        client.set_nodelay(true)?;
        loop {
            let frame = read_frame(&mut client)?;
            let correlation = frame.get(8..12).map(<[u8]>::to_vec);
            match self.fault(&frame) {
                None => {}
                Some(Fault::LoseRequest) => return Ok(()),
                Some(Fault::LoseAnswer) => lock(&marked.lost).extend(correlation),
                Some(Fault::Repeat) => {
                    lock(&marked.repeated).extend(correlation.map(|id| (id, (frame.clone(), Duration::ZERO))));
                }
                Some(Fault::RepeatLate(after)) => {
                    lock(&marked.repeated).extend(correlation.map(|id| (id, (frame.clone(), after))));
                }
            }
            broker.write_all(&frame)?;
        }
    }

    /// Hands answers on until one is to be lost.
    fn answers(&self, mut broker: &TcpStream, mut client: &TcpStream, marked: &Marked) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut broker)?;
            let correlation = frame.get(4..8).unwrap_or_default();
            if lock(&marked.lost).contains(correlation) {
                return Ok(());
            }
            client.write_all(&frame)?;
            let repeated = lock(&marked.repeated).remove(correlation);
            if let Some((request, after)) = repeated {
                let mut other = self.connect()?;
                let mut repeat = move || -> io::Result<()> {
                    thread::sleep(after);
                    other.write_all(&request)?;
                    read_frame(&mut &other).map(drop)
                };
                if after.is_zero() {
                    repeat()?;
                } else {
                    // Others are answered meanwhile. It ends by itself.
                    thread::spawn(repeat);
                }
            }
        }
    }

    /// What is to happen to a request, by the first rule that it meets.
    fn fault(&self, frame: &[u8]) -> Option<Fault> {
        let body = frame.get(4..)?;
        let api = u16::from_be_bytes([*body.first()?, *body.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*body.get(8)?, *body.get(9)?]));
        let client = String::from_utf8_lossy(body.get(HEADER_BYTES..HEADER_BYTES + length).unwrap_or_default());
        let (mut rules, now) = (lock(&self.rules), Instant::now());
        rules.iter_mut().filter(|rule| rule.api as u16 == api && client.contains(&rule.client)).find_map(|rule| {
            let fault = match rule.until {
                None => rule.fault,
                Some(until) if now < until => Fault::LoseRequest,
                Some(_) => return None,
            };
            rule.until.get_or_insert(now + rule.held_off);
            rule.hits += 1;
            Some(fault)
        })
    }
}

/// Requests under way whose answers mean something, by their correlation ids.
#[derive(Debug, Default)]
struct Marked {
    lost: Mutex<BTreeSet<Vec<u8>>>,
    repeated: Mutex<BTreeMap<Vec<u8>, Repeated>>,
}

/// A request that comes again, and how much later.
type Repeated = (Vec<u8>, Duration);

/// A frame with its size.
fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size)?;
    let length = u32::from_be_bytes(size) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no frame of Kafka is as large"));
    }
    let mut frame = vec![0; size.len() + length];
    frame[..size.len()].copy_from_slice(&size);
    from.read_exact(&mut frame[size.len()..])?;
    Ok(frame)
}

fn both(client: &TcpStream, broker: &TcpStream) -> io::Result<[TcpStream; 2]> {
    Ok([client.try_clone()?, broker.try_clone()?])
}

fn cut(ends: &[TcpStream; 2]) {
    let [client, broker] = ends;
    cut_both(client, broker);
}

fn cut_both(client: &TcpStream, broker: &TcpStream) {
    // It may be cut already.
    let _ = client.shutdown(Shutdown::Both);
    let _ = broker.shutdown(Shutdown::Both);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
