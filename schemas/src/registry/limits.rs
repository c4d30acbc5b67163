//! What a key may be limited to: addresses, and requests in a time.

use std::fmt;
use std::net::IpAddr;

/// Most ranges of one key.
const RANGES_MAX: usize = 100;
/// Most requests a second or a minute, and the largest burst.
const REQUESTS_MAX: u32 = 1_000_000;

/// A range of addresses, as `203.0.113.0/24` or `2001:db8::7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    address: IpAddr,
    prefix_bits: u8,
}

impl IpRange {
    /// Reads an address, alone or with the bits of its prefix; the error is the remedy.
    ///
    /// # Errors
    /// It is none, or has bits beyond its prefix.
    pub fn parse(text: &str) -> Result<IpRange, String> {
        let unusable = || {
            "must be IP addresses with commas, each alone or with a prefix, such as \"203.0.113.7, 2001:db8::/32\""
                .to_owned()
        };
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| unusable())?;
        if address.to_canonical() != address {
            return Err(format!("must have the IPv4 address {} written as such", address.to_canonical()));
        }
        let bits = width(address);
        let prefix_bits = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(unusable)?
            }
            Some(_) => return Err(unusable()),
        };
        let network = number(address) & mask(bits, prefix_bits);
        if network != number(address) {
            return Err(format!(
                "must have no bits beyond its prefix: {}/{prefix_bits}",
                from_number(address, network)
            ));
        }
        Ok(IpRange { address, prefix_bits })
    }

    /// Whether an address is in it. An IPv4 address in the form of an IPv6 one is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_same_kind = address.is_ipv4() == self.address.is_ipv4();
        is_same_kind && number(address) & mask(width(address), self.prefix_bits) == number(self.address)
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// Reads ranges with commas; the error is the remedy.
pub(super) fn ip_ranges(text: &str) -> Result<Vec<IpRange>, String> {
    let ranges: Vec<IpRange> =
        text.split(',').map(|range| IpRange::parse(range.trim_matches(' '))).collect::<Result<_, _>>()?;
    if ranges.len() > RANGES_MAX {
        return Err(format!("must be at most {RANGES_MAX} addresses, not {}", ranges.len()));
    }
    Ok(ranges)
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn from_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    }
}

/// The first `prefix_bits` of `bits`.
fn mask(bits: u8, prefix_bits: u8) -> u128 {
    let (all, beyond) = (u128::MAX >> (128 - bits), u32::from(bits - prefix_bits));
    all & !(1_u128.checked_shl(beyond).unwrap_or(0).wrapping_sub(1))
}

/// How many requests a key may make: so many in a time in the long run, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a minute.
    pub per_minute: u32,
    /// Requests at once.
    pub burst: u32,
}

/// Reads `50/s` or `600/m`: requests a minute, and the number as it is written.
pub(super) fn rate(text: &str) -> Result<(u32, u32), String> {
    let (digits, minutes) = match text.split_once('/') {
        Some((digits, "s")) => (digits, 60),
        Some((digits, "m")) => (digits, 1),
        Some(_) | None => ("", 0),
    };
    let number = requests(digits).map_err(|_| {
        format!("must be 1 to {REQUESTS_MAX} requests a second or a minute, such as \"50/s\" or \"600/m\"")
    })?;
    Ok((number * minutes, number))
}

/// Reads a number of requests.
pub(super) fn requests(digits: &str) -> Result<u32, String> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| is_number && (1..=REQUESTS_MAX).contains(number));
    number.ok_or_else(|| format!("must be a whole number in quotes, from 1 to {REQUESTS_MAX}"))
}
