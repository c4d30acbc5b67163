//! What processes that listen have in common: the address, the signals, the end.

use std::io;
use std::net::SocketAddr;

use ingest::{Drained, Edge, Readiness};
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;
use crate::threads::Threads;

/// Connections that the system holds for the process to accept.
const BACKLOG: u32 = 1_024;

/// Takes the address, which is a setting's, without letting anybody in yet.
pub(crate) fn bind(address: SocketAddr, setting: &str) -> Result<TcpSocket, CliError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        // The address may be taken again while connections of the process before are still being closed.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    });
    bound.map_err(|error| cannot_listen(address, setting, &error))
}

fn cannot_listen(address: SocketAddr, setting: &str, error: &io::Error) -> CliError {
    CliError::Failed(format!(
        "cannot listen on {address} ({error}): stop what listens there, or choose another address with {setting}"
    ))
}

/// Lets callers in to an address that was taken.
pub(crate) fn listen(
    socket: TcpSocket,
    address: SocketAddr,
    setting: &str,
) -> Result<(TcpListener, SocketAddr), CliError> {
    let listening = socket.listen(BACKLOG).and_then(|listener| listener.local_addr().map(|local| (listener, local)));
    listening.map_err(|error| cannot_listen(address, setting, &error))
}

/// Why a process is to end.
pub(crate) enum End {
    /// It was told to.
    Signalled,
    /// It was told to, and not to come back.
    Retired,
    /// One of its threads failed.
    Failed(String),
}

/// The signals that end a process, heard from when this is made: one that comes while nobody waits is not lost.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    retire: Signal,
}

impl Signals {
    /// Begins to listen. Until then a signal does what the system has it do, which is to end the process at once.
    pub(crate) fn listen(runtime: &Runtime) -> Result<Signals, CliError> {
        let _runtime = runtime.enter();
        let listen = |kind: SignalKind| -> Result<Signal, CliError> {
            signal(kind).map_err(|error| CliError::Failed(format!("cannot wait for signals: {error}")))
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            retire: listen(SignalKind::user_defined1())?,
        })
    }

    /// Waits for what ends a process: a signal, or a thread that fails, which readiness is told of.
    pub(crate) async fn end(&mut self, threads: &Threads, readiness: &Readiness) -> End {
        tokio::select! {
            _ = self.interrupt.recv() => {
                tracing::info!("interrupted: shutting down");
                End::Signalled
            }
            _ = self.terminate.recv() => {
                tracing::info!("terminated: shutting down");
                End::Signalled
            }
            _ = self.retire.recv() => {
                tracing::info!("retired: shutting down for good");
                End::Retired
            }
            reason = threads.failed() => {
                tracing::error!(reason, "a thread stopped: shutting down");
                readiness.failed(reason.as_str());
                End::Failed(reason)
            }
        }
    }
}

/// Serves an edge until the process is to end, and says why.
pub(crate) async fn serve<P: Publisher, C: Claims, R: ReadModel>(
    listener: TcpListener,
    edge: Edge<P, C, R>,
    signals: &mut Signals,
    threads: &Threads,
    readiness: &Readiness,
) -> End {
    let mut why = End::Signalled;
    let drained = ingest::serve(listener, edge, async { why = signals.end(threads, readiness).await }).await;
    match drained {
        Drained::Completely => {}
        Drained::Cut { connections, requests } => {
            tracing::warn!(connections, requests, "the shutdown deadline passed: the senders will retry");
        }
    }
    why
}
