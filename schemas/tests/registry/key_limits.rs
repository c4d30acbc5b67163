//! What a key may be limited to: addresses, and requests in a time.

use schemas::registry::{IpRange, RateLimit, Registry};

use crate::faults::BASE;

#[track_caller]
fn check(range: &str, inside: &[&str], outside: &[&str]) {
    let found = IpRange::parse(range).expect(range);
    for (addresses, expected) in [(inside, true), (outside, false)] {
        for address in addresses {
            assert_eq!(found.contains(address.parse().expect("an address")), expected, "{address} in {range}");
        }
    }
}

#[test]
fn addresses_in_ranges() {
    check("203.0.113.7", &["203.0.113.7", "::ffff:203.0.113.7"], &["203.0.113.6", "203.0.113.8", "::cb00:7107"]);
    check("203.0.113.0/24", &["203.0.113.0", "203.0.113.255"], &["203.0.112.255", "203.0.114.0"]);
    check("203.0.113.8/31", &["203.0.113.8", "203.0.113.9"], &["203.0.113.7", "203.0.113.10"]);
    check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], &["::", "2001:db8::1"]);
    check("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db7:ffff::", "2001:db9::", "32.1.13.184"]);
    check("2001:db8::7", &["2001:db8::7"], &["2001:db8::6", "2001:db8::8"]);
    check("::/0", &["::", "ffff::"], &["1.2.3.4", "::ffff:1.2.3.4"]);
    check("128.0.0.0/1", &["128.0.0.0", "255.0.0.1"], &["127.255.255.255"]);
    assert_eq!(IpRange::parse("203.0.113.7").expect("an address").to_string(), "203.0.113.7/32");
}

#[test]
fn what_is_no_range() {
    for text in
        ["", "203.0.113", "203.0.113.0/33", "203.0.113.0/-1", "203.0.113.0/+8", "203.0.113.0/", "2001:db8::/129", "a"]
    {
        assert!(IpRange::parse(text).is_err_and(|error| error.starts_with("must be IP addresses")), "{text}");
    }
    let error = |text| IpRange::parse(text).expect_err(text);
    assert_eq!(error("203.0.113.7/24"), "must have no bits beyond its prefix: 203.0.113.0/24");
    assert_eq!(error("2001:db8::1/32"), "must have no bits beyond its prefix: 2001:db8::/32");
    assert_eq!(error("::ffff:203.0.113.7"), "must have the IPv4 address 203.0.113.7 written as such");
}

/// A registry with a key that has these fields.
fn with(fields: &str) -> Option<Registry> {
    let key = "[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nsecret = \"sk_live_fedcba9876543210\"\n";
    Registry::parse(&format!("{BASE}{key}{fields}")).ok()
}

#[test]
fn a_list_of_addresses_has_a_bound() {
    let list = |count| with(&format!("allowed_ips = \"{}\"", vec!["1.2.3.4"; count].join(", ")));
    let ranges = |registry: Registry| registry.key("live_pk_x").expect("the key").allowed_ips.len();
    assert_eq!((list(1).map(ranges), list(100).map(ranges)), (Some(1), Some(100)));
    assert!(list(101).is_none());
    assert_eq!(with("").map(ranges), Some(0));
}

#[test]
fn rates() {
    let limit = |fields: &str| with(fields).map(|registry| registry.key("live_pk_x").expect("the key").rate_limit);
    let rate = |rate: &str| limit(&format!("rate_limit = \"{rate}\""));
    let of = |per_minute, burst| Some(Some(RateLimit { per_minute, burst }));
    assert_eq!(rate("50/s"), of(3_000, 50));
    assert_eq!(rate("600/m"), of(600, 600));
    assert_eq!(rate("1/m"), of(1, 1));
    assert_eq!(rate("1000000/s"), of(60_000_000, 1_000_000));
    assert_eq!(limit("rate_limit = \"50/s\"\nrate_burst = \"1000000\""), of(3_000, 1_000_000));
    assert_eq!(limit(""), Some(None));
    for text in ["", "50", "/s", "0/s", "50/h", "1000001/m", "-1/s", "+1/s", "1.5/s", "50 /s", "50/s ", "\u{665}/s"] {
        assert_eq!(rate(text), None, "{text}");
    }
    assert_eq!(limit("rate_limit = \"50/s\"\nrate_burst = \"1000001\""), None);
}
