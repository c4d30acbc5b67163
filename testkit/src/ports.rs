//! Free ports, for as long as a cluster or a server lives.

use std::net::{Ipv4Addr, TcpListener};
use std::process;

/// The first port of the range: above what services have, below what the kernel gives to outgoing connections (from
/// 32,768 on), which would take the port of a node that is down.
const FIRST: u16 = 20_000;
/// Ports a slot: three nodes, three controllers, a proxy, a login, TLS, and the guard.
const SLOT: u16 = 10;
/// How many slots there are.
const SLOTS: u16 = 1_200;
/// The guard's place in its slot.
const GUARD: u16 = 9;
/// Where the controllers' ports begin in a slot.
const CONTROLLERS: u16 = 3;
/// Where a CQL server has the port for others of its kind.
const STORAGE: u16 = 1;
/// The proxy's place in its slot.
const PROXY: u16 = 6;
/// Where the one broker lets in who logs in.
const LOGIN: u16 = 7;
/// Where it speaks TLS.
const TLS: u16 = 8;

/// Ports that are this process's until it is dropped, also while no node listens on them.
///
/// The guard is a listening socket on the slot's last port: unlike a lock file it needs no folder that all users may
/// write, and unlike a probe alone it keeps the ports of a killed node, which another test would take.
#[derive(Debug)]
pub(crate) struct Slot {
    first: u16,
    _guard: TcpListener,
}

impl Slot {
    /// Takes a slot of which nothing is in use.
    pub(crate) fn take() -> Slot {
        // Processes that start together begin at different slots.
        let start = process::id() % u32::from(SLOTS);
        let slots = (0..u32::from(SLOTS)).map(|step| (start + step) % u32::from(SLOTS));
        let mut numbers = slots.filter_map(|slot| u16::try_from(slot).ok());
        let found = numbers.find_map(|slot| Slot::try_take(FIRST + slot * SLOT));
        found.unwrap_or_else(|| panic!("no ten ports in a row are free from {FIRST} on: end what listens there"))
    }

    fn try_take(first: u16) -> Option<Slot> {
        let guard = listen(first + GUARD)?;
        let is_free = (first..first + GUARD).all(|port| listen(port).is_some());
        is_free.then_some(Slot { first, _guard: guard })
    }

    /// The port of node 1; node `i` has the `i - 1`th after it.
    pub(crate) fn nodes(&self) -> u16 {
        self.first
    }

    /// The same for the controllers.
    pub(crate) fn controllers(&self) -> u16 {
        self.first + CONTROLLERS
    }

    /// The port at which a CQL server, which is node 1, would meet others.
    pub(crate) fn storage(&self) -> u16 {
        self.first + STORAGE
    }

    /// The port of a proxy before node 1.
    pub(crate) fn proxy(&self) -> u16 {
        self.first + PROXY
    }

    /// The port at which node 1 wants a login.
    pub(crate) fn login(&self) -> u16 {
        self.first + LOGIN
    }

    /// The port at which node 1 speaks TLS.
    pub(crate) fn tls(&self) -> u16 {
        self.first + TLS
    }
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_once_and_given_back() {
        let (one, two) = (Slot::take(), Slot::take());
        assert_ne!(one.first, two.first);
        let first = one.first;
        assert!(Slot::try_take(first).is_none(), "taken");
        drop(one);
        let busy = listen(first + 1).unwrap();
        assert!(Slot::try_take(first).is_none(), "a port of it is in use");
        drop(busy);
        assert!(Slot::try_take(first).is_some(), "free again");
    }
}
