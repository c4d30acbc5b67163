//! What processes that listen have in common: the address, the signals, the end.

use std::io;
use std::net::SocketAddr;

use ingest::{Drained, Edge, Readiness};
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::net::{TcpListener, TcpSocket};
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

/// Waits for what ends a process: a signal, or a thread that fails, which readiness is told of.
pub(crate) async fn end(threads: &Threads, readiness: &Readiness) -> Result<End, CliError> {
    let wait = |kind: SignalKind| -> Result<Signal, CliError> {
        signal(kind).map_err(|error| CliError::Failed(format!("cannot wait for signals: {error}")))
    };
    let mut interrupt = wait(SignalKind::interrupt())?;
    let mut terminate = wait(SignalKind::terminate())?;
    let mut retire = wait(SignalKind::user_defined1())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => {
            tracing::info!("interrupted: shutting down");
            End::Signalled
        }
        _ = terminate.recv() => {
            tracing::info!("terminated: shutting down");
            End::Signalled
        }
        _ = retire.recv() => {
            tracing::info!("retired: shutting down for good");
            End::Retired
        }
        reason = threads.failed() => {
            tracing::error!(reason, "a thread stopped: shutting down");
            readiness.failed(reason.as_str());
            End::Failed(reason)
        }
    })
}

/// Serves an edge until the process is to end, and says why.
pub(crate) async fn serve<P: Publisher, C: Claims, R: ReadModel>(
    listener: TcpListener,
    edge: Edge<P, C, R>,
    threads: &Threads,
    readiness: &Readiness,
) -> Result<End, CliError> {
    let mut why = Ok(End::Signalled);
    let drained = ingest::serve(listener, edge, async { why = end(threads, readiness).await }).await;
    match drained {
        Drained::Completely => {}
        Drained::Cut { connections, requests } => {
            tracing::warn!(connections, requests, "the shutdown deadline passed: the senders will retry");
        }
    }
    why
}
