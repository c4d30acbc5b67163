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

/// The number of requests for metadata.
const METADATA: u16 = 3;

/// What a rule does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Fault(Fault),
    /// The answer names no broker.
    NameNoBroker,
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

/// What was asked for.
#[derive(Debug)]
struct Rule {
    api: u16,
    client: String,
    deed: Deed,
    held_off: Duration,
    /// Until when further requests are lost, once the fault has happened or was withdrawn.
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
        self.add(Rule {
            api: api as u16,
            client: client.to_owned(),
            deed: Deed::Fault(fault),
            held_off,
            until: None,
            hits: 0,
        })
    }

    /// Has answers about metadata to such a client name no broker until [`Proxy::withdraw`], as those of one do that has just
    /// come back and is still fenced. The client has to ask in version 11 to 13. Returns what [`Proxy::hits`] wants.
    #[must_use]
    pub fn name_no_broker(&self, client: &str) -> usize {
        let (client, deed) = (client.to_owned(), Deed::NameNoBroker);
        self.add(Rule { api: METADATA, client, deed, held_off: Duration::ZERO, until: None, hits: 0 })
    }

    /// Does nothing to any further request for this fault.
    pub fn withdraw(&self, fault: usize) {
        lock(&self.shared.rules)[fault].until = Some(Instant::now());
    }

    fn add(&self, rule: Rule) -> usize {
        let mut rules = lock(&self.shared.rules);
        rules.push(rule);
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
            match self.deed(&frame) {
                None => {}
                Some(Deed::Fault(Fault::LoseRequest)) => return Ok(()),
                Some(Deed::NameNoBroker) => {
                    let version = frame.get(6..8).map(|it| u16::from_be_bytes([it[0], it[1]]));
                    lock(&marked.nameless).extend(correlation.zip(version));
                }
                Some(Deed::Fault(Fault::LoseAnswer)) => lock(&marked.lost).extend(correlation),
                Some(Deed::Fault(Fault::Repeat)) => {
                    lock(&marked.repeated).extend(correlation.map(|id| (id, (frame.clone(), Duration::ZERO))));
                }
                Some(Deed::Fault(Fault::RepeatLate(after))) => {
                    lock(&marked.repeated).extend(correlation.map(|id| (id, (frame.clone(), after))));
                }
            }
            broker.write_all(&frame)?;
        }
    }

    /// Hands answers on until one is to be lost.
    fn answers(&self, mut broker: &TcpStream, mut client: &TcpStream, marked: &Marked) -> io::Result<()> {
        loop {
            let mut frame = read_frame(&mut broker)?;
            let correlation = frame.get(4..8).unwrap_or_default();
            let nameless = lock(&marked.nameless).remove(correlation);
            if let Some(version) = nameless {
                frame =
                    without_brokers(&frame, version).expect("metadata are answered in a version that is known here");
            }
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
    fn deed(&self, frame: &[u8]) -> Option<Deed> {
        let body = frame.get(4..)?;
        let api = u16::from_be_bytes([*body.first()?, *body.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*body.get(8)?, *body.get(9)?]));
        let client = String::from_utf8_lossy(body.get(HEADER_BYTES..HEADER_BYTES + length).unwrap_or_default());
        let (mut rules, now) = (lock(&self.rules), Instant::now());
        rules.iter_mut().filter(|rule| rule.api == api && client.contains(&rule.client)).find_map(|rule| {
            let deed = match rule.until {
                None => rule.deed,
                Some(until) if now < until => Deed::Fault(Fault::LoseRequest),
                Some(_) => return None,
            };
            match rule.deed {
                Deed::Fault(_) => drop(rule.until.get_or_insert(now + rule.held_off)),
                Deed::NameNoBroker => {}
            }
            rule.hits += 1;
            Some(deed)
        })
    }
}

/// Requests under way whose answers mean something, by their correlation ids.
#[derive(Debug, Default)]
struct Marked {
    lost: Mutex<BTreeSet<Vec<u8>>>,
    /// And the version of their request.
    nameless: Mutex<BTreeMap<Vec<u8>, u16>>,
    repeated: Mutex<BTreeMap<Vec<u8>, Repeated>>,
}

/// A request that comes again, and how much later.
type Repeated = (Vec<u8>, Duration);

/// An answer about metadata in this version without its list of brokers, and with each of its topics many times, so that a
/// client is busy with it for longer than another of its threads waits for a processor.
///
/// After the correlation id (4 bytes) and the tags of its header: the throttle time (4); the brokers, each with its id (4),
/// host, port (4), rack and tags; the cluster's id; the controller (4); the topics; from version 13 on an error (2); tags.
/// Lengths are varints, one more than what they count.
fn without_brokers(frame: &[u8], version: u16) -> Option<Vec<u8>> {
    const NO_TAGS: u8 = 0;
    const NONE: u8 = 1;
    const TIMES: usize = 60;
    let tail = match version {
        11 | 12 => 1,
        13 => 3,
        _ => return None,
    };
    let mut rest = frame.get(8..)?.strip_prefix(&[NO_TAGS])?.get(4..)?;
    let mut answer = frame[..frame.len() - rest.len()].to_vec();
    for _ in 0..length(&mut rest)? {
        rest = rest.get(4..)?;
        let host = length(&mut rest)?;
        rest = rest.get(host + 4..)?;
        let rack = length(&mut rest)?;
        rest = rest.get(rack..)?.strip_prefix(&[NO_TAGS])?;
    }
    answer.push(NONE);
    let mut behind = rest;
    let cluster = length(&mut behind)?;
    behind = behind.get(cluster + 4..)?;
    answer.extend(&rest[..rest.len() - behind.len()]);
    let mut count = length(&mut behind)? * TIMES + 1;
    while count >= 0x80 {
        answer.push(u8::try_from(count & 0x7f).ok()? | 0x80);
        count >>= 7;
    }
    answer.push(u8::try_from(count).ok()?);
    let (topics, tail) = behind.split_at(behind.len().checked_sub(tail)?);
    (0..TIMES).for_each(|_| answer.extend(topics));
    answer.extend(tail);
    let size = u32::try_from(answer.len() - 4).ok()?;
    answer[..4].copy_from_slice(&size.to_be_bytes());
    Some(answer)
}

/// A length of up to 127, as no test has more brokers, more topics or a longer name; nothing, which is 0, is as long as an
/// empty one.
fn length(rest: &mut &[u8]) -> Option<usize> {
    let (first, behind) = rest.split_first().filter(|(first, _)| **first < 0x80)?;
    *rest = behind;
    Some(usize::from(*first).saturating_sub(1))
}

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
