//! Names resolved, without the addresses that nothing may be sent to.

use std::error::Error;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::address::is_public;

/// Most lookups under way: far fewer than the threads that may block, so that some are left for what else needs them.
const LOOKUPS_MAX: usize = 64;

/// None of a host's addresses may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host has no public address")]
pub(crate) struct NotPublic;

/// The runtime has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the lookup was cut off")]
struct LookupLost;

/// The system's resolver. What it answers is what the connection is made to, so a name cannot lead elsewhere in between.
///
/// A lookup blocks a thread, which nothing can end: also that of an attempt that waits no longer holds its place.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    allow_private: bool,
    places: Arc<Semaphore>,
}

impl Resolver {
    pub(crate) fn new(allow_private: bool) -> Resolver {
        Resolver { allow_private, places: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    /// Has a lookup run in a place, which it keeps until it has ended.
    async fn in_place<T: Send + 'static>(self, look: impl FnOnce() -> T + Send + 'static) -> Result<T, LookupLost> {
        let place = self.places.acquire_owned().await.map_err(|_| LookupLost)?;
        let looked = tokio::task::spawn_blocking(move || {
            let found = look();
            drop(place);
            found
        });
        looked.await.map_err(|_| LookupLost)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let allow_private = resolver.allow_private;
            let found = resolver.in_place(move || (name.as_str(), 0).to_socket_addrs()).await??;
            let allowed: Vec<SocketAddr> = found.filter(|address| allow_private || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The address that a URL's host is itself; no resolver is asked for one.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    address.parse().ok()
}

/// Whether an error is of a host without a public address.
pub(crate) fn is_not_public(error: &reqwest::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = source {
        if error.is::<NotPublic>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn lookups_that_nobody_waits_for_any_more_keep_their_places() {
        let resolver = Resolver::new(false);
        let (ends, all_end): (Vec<_>, Vec<_>) = (0..LOOKUPS_MAX).map(|_| mpsc::sync_channel::<()>(0)).unzip();
        let mut looking = tokio::task::JoinSet::new();
        for end in all_end {
            looking.spawn(resolver.clone().in_place(move || end.recv()));
        }
        while resolver.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        looking.shutdown().await;
        assert_eq!(resolver.places.available_permits(), 0);
        let another = resolver.clone().in_place(|| ());
        assert!(tokio::time::timeout(Duration::from_millis(20), another).await.is_err());
        drop(ends);
        assert_eq!(resolver.in_place(|| 7).await.ok(), Some(7), "once they have ended there is room");
    }
}
