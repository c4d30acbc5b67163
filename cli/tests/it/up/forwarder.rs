//! One address before several edges, as a load balancer has.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::up::cluster::Target;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Gives each connection to the next edge that is up, byte for byte, until it is dropped.
#[derive(Debug)]
pub(crate) struct Forwarder {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Listens on a free port.
    pub(crate) fn start(edges: Vec<Target>) -> Forwarder {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let acceptor = thread::spawn(move || {
            let next = AtomicUsize::new(0);
            for client in listener.incoming() {
                if is_stopped.load(Ordering::Acquire) {
                    return;
                }
                // A client that no edge takes hears of that by the end of its connection.
                if let Ok(client) = client
                    && let Some(edge) = connect(&edges, &next)
                {
                    // It ends with its connection.
                    thread::spawn(move || join(&client, &edge));
                }
            }
        });
        Forwarder { address, stopped, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// A connection to the next edge, or to another if that one is down.
fn connect(edges: &[Target], next: &AtomicUsize) -> Option<TcpStream> {
    let first = next.fetch_add(1, Ordering::Relaxed);
    let in_turn = (0..edges.len()).map(|step| &edges[(first + step) % edges.len()]);
    in_turn.filter_map(Target::address).find_map(|at| TcpStream::connect_timeout(&at, CONNECT_DEADLINE).ok())
}

/// Hands on what either says, until both have said all.
fn join(client: &TcpStream, edge: &TcpStream) {
    for end in [client, edge] {
        let _ = end.set_nodelay(true);
    }
    thread::scope(|scope| {
        scope.spawn(|| hand_on(edge, client));
        hand_on(client, edge);
    });
}

fn hand_on(mut from: &TcpStream, mut to: &TcpStream) {
    let all = io::copy(&mut from, &mut to);
    // What ends in order one way may go on the other way; what was cut off is cut off for both.
    let how = if all.is_ok() { Shutdown::Write } else { Shutdown::Both };
    let _ = to.shutdown(how);
    if all.is_err() {
        let _ = from.shutdown(Shutdown::Both);
    }
}
