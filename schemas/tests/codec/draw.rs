//! Values of any record, drawn from bytes by way of the record's own `Deserialize`: a field added to a record is drawn
//! from then on without a line here, and fewer or smaller bytes draw simpler values, so that failures shrink.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::Error;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, SeqAccess, Visitor};

/// Record names with their fields, those that may be absent marked `?`, and enumeration names with their symbols.
pub(crate) type Shapes = BTreeMap<String, Vec<String>>;

/// A value of `R`. Bytes beyond the end of `entropy` are 0.
pub(crate) fn draw<R: DeserializeOwned>(entropy: &[u8]) -> R {
    R::deserialize(Draw { source: &mut Source::new(entropy), place: ("", "") }).expect("every value can be drawn")
}

/// The shape of `R` and of everything in it.
pub(crate) fn shapes<R: DeserializeOwned>() -> Shapes {
    // All ones: every option is there and every list has an element, so that nothing stays unseen.
    let ones = [1; 4_096];
    let mut source = Source::new(&ones);
    R::deserialize(Draw { source: &mut source, place: ("", "") }).expect("every value can be drawn");
    let Source { records, optional, enumerations, .. } = source;
    let mark = |place| if optional.contains(&place) { "?" } else { "" };
    let records = records.into_iter().map(|(name, fields)| {
        let fields = fields.iter().map(|field| format!("{field}{}", mark((name, *field)))).collect();
        (name.to_owned(), fields)
    });
    let symbols = |symbols: &[&str]| symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    records.chain(enumerations.into_iter().map(|(name, list)| (name.to_owned(), symbols(list)))).collect()
}

/// A record and one of its fields.
type Place = (&'static str, &'static str);

struct Source<'a> {
    entropy: &'a [u8],
    records: BTreeMap<&'static str, &'static [&'static str]>,
    optional: BTreeSet<Place>,
    enumerations: BTreeMap<&'static str, &'static [&'static str]>,
}

impl<'a> Source<'a> {
    fn new(entropy: &'a [u8]) -> Source<'a> {
        Source { entropy, records: BTreeMap::new(), optional: BTreeSet::new(), enumerations: BTreeMap::new() }
    }

    fn byte(&mut self) -> u8 {
        match self.entropy.split_first() {
            Some((first, rest)) => {
                self.entropy = rest;
                *first
            }
            None => 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn integer(&mut self) -> i64 {
        match self.byte() % 8 {
            0 => 0,
            1 => i64::from(self.byte()),
            2 => -i64::from(self.byte()),
            3 => i64::MAX,
            4 => i64::MIN,
            5 => i64::from(i32::MAX) + 1,
            _ => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn text(&mut self) -> String {
        const CHARACTERS: [char; 12] =
            ['a', 'Z', '0', ' ', '"', '\\', '\0', '\u{301}', 'é', '東', '\u{1F980}', '\u{10FFFF}'];
        // Lengths around 64 and 128 characters take a second byte of varint.
        let length = match self.byte() {
            length @ 0..200 => usize::from(length % 10),
            length => usize::from(length) - 140,
        };
        (0..length).map(|_| CHARACTERS[self.below(CHARACTERS.len())]).collect()
    }
}

struct Draw<'a, 'e> {
    source: &'a mut Source<'e>,
    place: Place,
}

impl<'de> Deserializer<'de> for Draw<'_, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(format_args!("{:?} has a type that no Avro record has", self.place)))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.source.byte() % 2 == 1)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let wide = self.source.integer();
        visitor.visit_i32(i32::try_from(wide).unwrap_or(if wide < 0 { i32::MIN } else { i32::MAX }))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.source.integer())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Two kinds of text have a grammar, and the same field name in every record.
        visitor.visit_string(match self.place.1 {
            "currency" => ["NPR", "JPY", "KWD", "USD"][self.source.below(4)].to_owned(),
            "conversionId" => format!("cnv_{:032x}", u128::from_le_bytes(std::array::from_fn(|_| self.source.byte()))),
            "balanceMinor" => i128::from_le_bytes(std::array::from_fn(|_| self.source.byte())).to_string(),
            _ => self.source.text(),
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let length = self.source.below(150);
        visitor.visit_byte_buf((0..length).map(|_| self.source.byte()).collect())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.source.optional.insert(self.place);
        if self.source.byte() % 2 == 1 { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let elements = vec![self.place; self.source.below(4)];
        visitor.visit_seq(Elements { source: self.source, places: elements.into_iter() })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.source.records.insert(name, fields);
        let places = fields.iter().map(|field| (name, *field));
        visitor.visit_seq(Elements { source: self.source, places })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.source.enumerations.insert(name, variants);
        let variant: serde::de::value::StrDeserializer<'_, Error> =
            variants[self.source.below(variants.len())].into_deserializer();
        visitor.visit_enum(variant)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes unit unit_struct newtype_struct tuple tuple_struct map
        identifier ignored_any
    }
}

struct Elements<'a, 'e, P> {
    source: &'a mut Source<'e>,
    places: P,
}

impl<'de, P: Iterator<Item = Place>> SeqAccess<'de> for Elements<'_, '_, P> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(place) = self.places.next() else { return Ok(None) };
        seed.deserialize(Draw { source: &mut *self.source, place }).map(Some)
    }
}
