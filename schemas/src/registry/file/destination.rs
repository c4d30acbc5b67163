//! Where links and webhooks lead: URLs strict enough to go into a `Location` header with parameters appended.
//!
//! By hand, because a URL crate repairs what it reads (spaces, backslashes, international hosts, with tables for these)
//! where a declarative file should be refused with its line instead.

use std::net::Ipv6Addr;

/// Most characters of a destination: what browsers and proxies take everywhere.
const DESTINATION_CHARACTERS_MAX: usize = 2_048;
const HOST_CHARACTERS_MAX: usize = 253;
const LABEL_CHARACTERS_MAX: usize = 63;
/// The parameters that the redirect appends.
const APPENDED: [&str; 2] = ["affiliate_click_id", "aff_id"];

/// Checks an absolute `http` or `https` URL that the redirect appends parameters to; the error is the remedy.
pub(super) fn check_destination(text: &str) -> Result<(), &'static str> {
    check_url(text)?;
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or(pair));
    if names.into_iter().any(|name| APPENDED.contains(&name)) {
        return Err("must not have affiliate_click_id or aff_id: the redirect appends them");
    }
    Ok(())
}

/// Checks an absolute `http` or `https` URL (RFC 3986); the error is the remedy.
pub(super) fn check_url(text: &str) -> Result<(), &'static str> {
    if text.len() > DESTINATION_CHARACTERS_MAX {
        return Err("must have at most 2048 characters");
    }
    let rest = strip_scheme(text).ok_or("must be an absolute URL that begins with http:// or https://")?;
    if !text.bytes().all(is_url_character) || !escapes_are_whole(text) {
        return Err("must have only characters of a URL, others percent-encoded, such as %20 for a space");
    }
    if text.contains('#') {
        return Err("must have no #fragment: what follows a # never reaches a server");
    }
    let authority_ends = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = &rest[..authority_ends];
    if authority.contains('@') {
        return Err("must have no user or password");
    }
    let (host, port) = split_port(authority);
    if !is_host(host) || !port.is_none_or(is_port) {
        return Err("must have a host name or address and at most a port from 1 to 65535");
    }
    Ok(())
}

fn strip_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// RFC 3986's reserved and unreserved characters, and `%`.
fn is_url_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

/// The host and the port, if there is one; the colons inside `[…]` are an IPv6 address's.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        (1..=LABEL_CHARACTERS_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= HOST_CHARACTERS_MAX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(check_destination(text).is_ok(), fits, "{text}");
    }

    #[test]
    fn destinations() {
        for text in [
            "https://shop.example",
            "http://shop.example/",
            "HTTPS://Shop.Example/Sale?page=2&q=red%20shoes",
            "https://shop.example?page=2",
            "https://shop.example:8443/a",
            "http://127.0.0.1:8080/",
            "http://[::1]:8080/a",
            "http://[::1]",
            "http://localhost",
            "https://xn--bcher-kva.example/",
            "https://shop.example/mail@host?x=my_aff_id&y=aff_id",
            "https://shop.example/a:b",
        ] {
            check(text, true);
        }
        for text in [
            "",
            "shop.example",
            "/sale",
            "//shop.example",
            "ftp://shop.example/",
            "javascript:alert(1)",
            "https:/shop.example",
            "https://",
            "https:///sale",
            "https://?x=1",
            "https://shop..example",
            "https://-shop.example",
            "https://shop.example:",
            "https://shop.example:0",
            "https://shop.example:65536",
            "https://shop.example:80:80",
            "https://shop.example:+80",
            "https://[::1",
            "https://[shop]",
            "https://me@shop.example/",
            "https://me:secret@shop.example/",
            "https://shop.example/#top",
            "https://shop.example/red shoes",
            "https://shop.example/a\\b",
            "https://shop.example/a\r\nSet-Cookie: a=b",
            "https://shop.example/%",
            "https://shop.example/%2",
            "https://shop.example/%2x",
            "https://bücher.example/",
            "https://shop.example/é",
            "https://shop.example/?aff_id=me",
            "https://shop.example/?a=1&affiliate_click_id",
            &format!("https://{}.example/", "a".repeat(64)),
            &format!("https://shop.example/{}", "a".repeat(2_048)),
        ] {
            check(text, false);
        }
    }
}
