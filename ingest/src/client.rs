//! From where a request comes.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of whoever sent a request: the peer's or, behind so many proxies that are trusted, the one that the
/// farthest of them took it from. Whoever sends can write what they like into the header, but only before what the
/// proxies append to it.
pub(crate) fn address(head: &Parts, trusted_proxies: usize) -> Option<IpAddr> {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let Some(before) = trusted_proxies.checked_sub(1) else { return peer.map(|address| address.to_canonical()) };
    let lines = head.headers.get_all(FORWARDED_FOR).iter();
    let mut forwarded: Vec<&str> = Vec::new();
    for line in lines {
        forwarded.extend(line.to_str().ok()?.split(','));
    }
    let farthest = forwarded.len().checked_sub(1 + before).map(|index| forwarded[index].trim())?;
    let address = farthest.parse().ok().or_else(|| farthest.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    #[track_caller]
    fn check(trusted_proxies: usize, headers: &[&[u8]], expected: Option<&str>) {
        let mut request = Request::builder();
        for value in headers {
            request = request.header(FORWARDED_FOR, *value);
        }
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        head.extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4_000))));
        let expected = expected.map(|text| text.parse().expect("an address"));
        assert_eq!(address(&head, trusted_proxies), expected, "{trusted_proxies} {headers:?}");
    }

    #[test]
    fn only_what_trusted_proxies_wrote_counts() {
        check(0, &[], Some("10.0.0.1"));
        check(0, &[b"203.0.113.7"], Some("10.0.0.1"));
        check(1, &[b"203.0.113.7"], Some("203.0.113.7"));
        check(1, &[b"198.51.100.1, 203.0.113.7"], Some("203.0.113.7"));
        check(2, &[b"198.51.100.1, 203.0.113.7"], Some("198.51.100.1"));
        check(2, &[b"1.1.1.1,198.51.100.1", b"203.0.113.7"], Some("198.51.100.1"));
        check(1, &[b"203.0.113.7:4711"], Some("203.0.113.7"));
        check(1, &[b"[2001:db8::7]:4711"], Some("2001:db8::7"));
        check(1, &[b"::ffff:203.0.113.7"], Some("203.0.113.7"));
        // Who is behind the proxies is not known: then nobody is.
        let lines: [&[u8]; 4] = [b"unknown", b"", b"203.0.113.7,", b"\xe9"];
        check(1, &[], None);
        for line in lines {
            check(1, &[line], None);
        }
        check(2, &[b"203.0.113.7"], None);
    }
}
