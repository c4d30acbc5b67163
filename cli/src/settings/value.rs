//! Values: read from text, held in their range, and written as they are read.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::faults::HIDDEN;
use super::table::Kind;

/// Most characters of a name: the names of topics, which it is a part of, have at most 249.
const NAME_CHARACTERS_MAX: usize = 100;

/// Most characters of a keyspace's name.
const KEYSPACE_CHARACTERS_MAX: usize = 48;

/// The value of a setting.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A duration, in whole milliseconds.
    Duration(Duration),
    /// Bytes.
    Bytes(u64),
    /// A number.
    Count(u64),
    /// An IP address and a port.
    Address(SocketAddr),
    /// A file or a folder.
    Path(PathBuf),
    /// Anything that is text.
    Text(String),
    /// A text that is not shown.
    Secret(String),
}

/// A type that settings are read as.
pub(crate) trait FromValue: Sized {
    /// The value, if it is of this type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $($variant:ident)|+ => $read:expr;)+) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $(Value::$variant(found) => $read(found),)+
                    _ => None,
                }
            }
        }
    )+};
}

from_value! {
    Duration: Duration => |found: &Duration| Some(*found);
    u64: Bytes | Count => |found: &u64| Some(*found);
    u16: Bytes | Count => |found: &u64| u16::try_from(*found).ok();
    u32: Bytes | Count => |found: &u64| u32::try_from(*found).ok();
    usize: Bytes | Count => |found: &u64| usize::try_from(*found).ok();
    SocketAddr: Address => |found: &SocketAddr| Some(*found);
    PathBuf: Path => |found: &PathBuf| Some(found.clone());
    String: Text | Secret => |found: &String| Some(found.clone());
}

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const BYTES: &[(&str, u64)] = &[("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Duration(duration) => {
                write_with_unit(f, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATIONS)
            }
            Value::Bytes(bytes) => write_with_unit(f, *bytes, BYTES),
            Value::Count(count) => write!(f, "{count}"),
            Value::Address(address) => write!(f, "{address}"),
            Value::Path(path) => write!(f, "{}", path.display()),
            Value::Text(text) => f.write_str(text),
            Value::Secret(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Writes with the largest unit that divides the number.
fn write_with_unit(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |(_, each): &&(&str, u64)| number.is_multiple_of(*each) && number >= *each;
    let (unit, each) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    write!(f, "{}{unit}", number / each)
}

/// A whole number and one of the units, in the smallest; a number too long for 64 bits is the largest there is.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, each) = units.iter().find(|(name, _)| *name == unit)?;
    (digits > 0).then(|| number.parse().unwrap_or(u64::MAX).saturating_mul(*each))
}

fn bounds(min: &str, max: &str, units: &[(&str, u64)]) -> RangeInclusive<u64> {
    let bound = |text| with_unit(text, units).expect("the table's bounds are of its kinds");
    bound(min)..=bound(max)
}

impl Kind {
    /// Reads a value; the error is the remedy.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, String> {
        let ranged = |number: Option<u64>, range: RangeInclusive<u64>| number.filter(|number| range.contains(number));
        let value = match self {
            Kind::Duration(min, max) => ranged(with_unit(text, DURATIONS), bounds(min, max, DURATIONS))
                .map(|millis| Value::Duration(Duration::from_millis(millis))),
            Kind::Bytes(min, max) => ranged(with_unit(text, BYTES), bounds(min, max, BYTES)).map(Value::Bytes),
            Kind::Count(min, max) => ranged(text.parse().ok(), *min..=*max).map(Value::Count),
            Kind::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Kind::Address => text.parse().ok().map(Value::Address),
            Kind::Path => (!text.is_empty()).then(|| Value::Path(PathBuf::from(text))),
            Kind::Hosts(_) => {
                let fits = text.split(',').all(|host| is_host(host.trim()));
                fits.then(|| Value::Text(text.to_owned()))
            }
            Kind::Name => is_name(text).then(|| Value::Text(text.to_owned())),
            Kind::Prefix => (text.is_empty() || is_name(text)).then(|| Value::Text(text.to_owned())),
            Kind::Keyspace => is_keyspace(text).then(|| Value::Text(text.to_owned())),
            Kind::Text => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
            Kind::Secret => (!text.is_empty()).then(|| Value::Secret(text.to_owned())),
        };
        value.ok_or_else(|| format!("must be {}", self.description()))
    }

    /// What a value is, with its range: completes "must be".
    pub(crate) fn description(&self) -> String {
        match self {
            Kind::Duration(min, max) => format!("a duration from {min} to {max}, with one of the units ms, s, m, h, d"),
            Kind::Bytes(min, max) => {
                format!("bytes from {min} to {max}: a whole number, alone or with one of the units KiB, MiB, GiB")
            }
            Kind::Count(min, max) => format!("a whole number from {min} to {max}"),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Address => "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::Hosts(example) => format!("host:port, several with commas, such as {example}"),
            Kind::Name => format!("1 to {NAME_CHARACTERS_MAX} characters of A to Z, a to z, 0 to 9, '.', '_' and '-'"),
            Kind::Prefix => {
                format!("empty, or up to {NAME_CHARACTERS_MAX} characters of A to Z, a to z, 0 to 9, '.', '_' and '-'")
            }
            Kind::Keyspace => {
                format!(
                    "1 to {KEYSPACE_CHARACTERS_MAX} characters of a to z, 0 to 9 and '_', of which the first is a letter"
                )
            }
            Kind::Text | Kind::Secret => "a text that is not empty".to_owned(),
        }
    }
}

fn is_keyspace(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= KEYSPACE_CHARACTERS_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(fits)
}

fn is_host(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_name = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    is_name && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, text: &str, expected: Option<&str>) {
        let shown = kind.parse(text).ok().map(|value| value.to_string());
        assert_eq!(shown.as_deref(), expected, "{kind:?} {text:?}");
    }

    #[test]
    fn values_are_read_and_written() {
        let duration = Kind::Duration("0ms", "1h");
        for (text, expected) in
            [("0ms", "0ms"), ("25ms", "25ms"), ("1000ms", "1s"), ("90s", "90s"), ("60m", "1h"), ("1500ms", "1500ms")]
        {
            check(duration, text, Some(expected));
        }
        for text in ["", "1", "ms", "1.5s", "-1s", "1 s", "61m", "1S", "99999999999999999999s", "1é"] {
            check(duration, text, None);
        }
        let bytes = Kind::Bytes("1KiB", "1GiB");
        for (text, expected) in [("1024", "1KiB"), ("1025", "1025"), ("64MiB", "64MiB"), ("1024MiB", "1GiB")] {
            check(bytes, text, Some(expected));
        }
        for text in ["1023", "2GiB", "64MB", "64 MiB", "-1"] {
            check(bytes, text, None);
        }
        check(Kind::Count(1, 64), "64", Some("64"));
        for text in ["0", "65", "1.0", "one", ""] {
            check(Kind::Count(1, 64), text, None);
        }
        check(Kind::Choice(&["none", "lz4"]), "lz4", Some("lz4"));
        check(Kind::Choice(&["none", "lz4"]), "LZ4", None);
        check(Kind::Address, "[::1]:80", Some("[::1]:80"));
        check(Kind::Address, "localhost:80", None);
        let hosts = Kind::Hosts("a:1");
        check(hosts, "kafka-1:9092, 10.0.0.1:9093,[::1]:9094", Some("kafka-1:9092, 10.0.0.1:9093,[::1]:9094"));
        for text in ["", "kafka", "kafka:", "kafka:0", "kafka:65536", ":9092", "a:1,,b:2", "http://kafka:9092", "a:+1"]
        {
            check(hosts, text, None);
        }
        check(Kind::Name, "edge-1.eu_west", Some("edge-1.eu_west"));
        check(Kind::Name, "", None);
        check(Kind::Name, &"a".repeat(101), None);
        check(Kind::Prefix, "", Some(""));
        check(Kind::Prefix, "a/b", None);
        check(Kind::Keyspace, "conversions_2", Some("conversions_2"));
        for text in ["", "2", "_a", "Conversions", "a-b", "a\"", &"a".repeat(49)] {
            check(Kind::Keyspace, text, None);
        }
        check(Kind::Text, "a b", Some("a b"));
        check(Kind::Secret, "hunter2", Some("(hidden)"));
        check(Kind::Secret, "", None);
    }
}
