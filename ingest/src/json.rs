//! A JSON object taken apart into known fields, without building a tree and without recursion.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Most characters of anything sent that a message repeats.
const SHOWN_CHARACTERS_MAX: usize = 40;

/// The fields of one JSON object, each as the raw text it was sent as.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    known: &'static [&'static str],
    values: Vec<Option<&'a RawValue>>,
    unknown: BTreeSet<Cow<'a, str>>,
}

impl<'a> Object<'a> {
    /// Reads `body` as one object, sorting out the fields named in `known`.
    ///
    /// # Errors
    /// What is malformed: no UTF-8, no JSON, no object, or a field given twice.
    pub(crate) fn parse(body: &'a [u8], known: &'static [&'static str]) -> Result<Object<'a>, String> {
        let text = std::str::from_utf8(body)
            .map_err(|error| format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))?;
        match text.trim_start_matches([' ', '\t', '\n', '\r']).bytes().next() {
            None => return Err("the body is empty: send a JSON object".to_owned()),
            Some(b'{') => {}
            Some(_) => return Err("the body must be a JSON object, which begins with {".to_owned()),
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = (&mut deserializer)
            .deserialize_map(Fields { known })
            .and_then(|object| deserializer.end().map(|()| object));
        object.map_err(|error| error.to_string())
    }

    /// The value of a known field; `null` counts as absent.
    pub(crate) fn get(&self, name: &'static str) -> Option<&'a RawValue> {
        let index = self.known.iter().position(|known| *known == name).expect("only known fields are asked for");
        self.values[index].filter(|value| value.get() != "null")
    }

    /// The fields it could have.
    pub(crate) fn known(&self) -> &'static [&'static str] {
        self.known
    }

    /// The fields it should not have.
    pub(crate) fn unknown(&self) -> &BTreeSet<Cow<'a, str>> {
        &self.unknown
    }
}

/// A string, borrowed when it holds no escape.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Fields {
    known: &'static [&'static str],
}

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object { known: self.known, values: vec![None; self.known.len()], unknown: BTreeSet::new() };
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            let again = match self.known.iter().position(|known| *known == name) {
                Some(index) => object.values[index].replace(value).is_some(),
                None if object.unknown.contains(&name) => true,
                None => !object.unknown.insert(name.clone()),
            };
            if again {
                return Err(A::Error::custom(format_args!("the field {} is given twice", shown(&quoted(&name)))));
            }
        }
        Ok(object)
    }
}

/// The first `max` items of an array, each as the raw text it was sent as, and how many it has.
///
/// A value that is no array has none.
pub(crate) fn items(value: &RawValue, max: usize) -> Option<(Vec<&RawValue>, usize)> {
    serde_json::Deserializer::from_str(value.get()).deserialize_seq(Items { max }).ok()
}

struct Items {
    max: usize,
}

impl<'de> Visitor<'de> for Items {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut count) = (Vec::new(), 0);
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            count += 1;
            if items.len() < self.max {
                items.push(item);
            }
        }
        Ok((items, count))
    }
}

/// The string that a raw value holds; `None` if it holds an escape that is no character.
///
/// A value that is no string is for [`kind`] to tell.
pub(crate) fn string<'a>(value: &'a RawValue) -> Option<Cow<'a, str>> {
    Text::deserialize(&mut serde_json::Deserializer::from_str(value.get())).ok().map(|Text(text)| text)
}

/// What a raw value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// Tells by its first byte what a raw value is.
pub(crate) fn kind(value: &RawValue) -> Kind {
    match value.get().as_bytes().first() {
        Some(b'"') => Kind::String,
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Boolean => "a JSON boolean",
            Kind::Number => "a JSON number",
            Kind::String => "a JSON string",
            Kind::Array => "a JSON array",
            Kind::Object => "a JSON object",
        })
    }
}

/// A text as a JSON string, so that control characters in it do no harm where it is shown.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// The beginning of a text, short enough for a message.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: Result<(), &str>) {
        let parsed = Object::parse(body, &["a", "b"]).map(|_| ());
        assert_eq!(parsed.as_ref().map_err(String::as_str).copied(), expected, "{}", String::from_utf8_lossy(body));
    }

    #[test]
    fn malformed_bodies_are_told_apart() {
        check(br#"{}"#, Ok(()));
        check(b" \r\n\t{ \"a\" : 1 } \n", Ok(()));
        check(b"", Err("the body is empty: send a JSON object"));
        check(b"  ", Err("the body is empty: send a JSON object"));
        for body in [&b"[]"[..], b"1", b"\"a\"", b"null", b"a=b", "\u{feff}{}".as_bytes()] {
            check(body, Err("the body must be a JSON object, which begins with {"));
        }
        check(b"{", Err("EOF while parsing an object at line 1 column 1"));
        check(b"{\"a\":}", Err("expected value at line 1 column 6"));
        check(b"{\"a\":1,}", Err("trailing comma at line 1 column 8"));
        check(b"{} {}", Err("trailing characters at line 1 column 4"));
        check(b"{\"a\":NaN}", Err("expected value at line 1 column 6"));
        check(b"{\"a\":01}", Err("invalid number at line 1 column 7"));
        check(b"{\"a\xff\":1}", Err("the body is not UTF-8 from byte 3 on"));
        check(b"{\"a\":1,\"a\":1}", Err("the field \"a\" is given twice at line 1 column 13"));
        check(b"{\"a\":null,\"\\u0061\":1}", Err("the field \"a\" is given twice at line 1 column 21"));
        check(b"{\"x\":1,\"y\":1,\"x\":1}", Err("the field \"x\" is given twice at line 1 column 19"));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
        check(deep.as_bytes(), Ok(()));
        assert!(Object::parse(format!("{{\"a\":{}", "{\"a\":".repeat(500_000)).as_bytes(), &["a"]).is_err());
    }

    #[test]
    fn strings_are_borrowed_or_unescaped() {
        let object = Object::parse(br#"{"a":"plain","b":"\u00e9"}"#, &["a", "b"]).expect("an object");
        assert!(matches!(string(object.get("a").expect("given")), Some(Cow::Borrowed("plain"))));
        assert_eq!(string(object.get("b").expect("given")).as_deref(), Some("é"));
        let lone = Object::parse(br#"{"a":"\ud800","b":null}"#, &["a", "b"]).expect("an object");
        assert_eq!(string(lone.get("a").expect("given")), None);
        assert!(lone.get("b").is_none());
        assert_eq!(shown(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
    }
}
