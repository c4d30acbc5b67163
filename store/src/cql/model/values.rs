//! Values of the records as CQL has them.

use std::fmt;

use schemas::{Balance, Timestamp};
use scylla::deserialize::value::DeserializeValue;
use scylla::deserialize::{DeserializationError, FrameSlice, TypeCheckError};
use scylla::frame::response::result::ColumnType;
use scylla::serialize::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};
use scylla::value::{CqlTimestamp, CqlVarint};
use serde::Serialize;
pub(super) use serde::de::value::Error as WordError;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};

/// A value of an enumeration, or a currency, as text: the word that the schemas have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

impl<T: Serialize> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

impl<T: DeserializeOwned> Word<T> {
    pub(super) fn parse(text: &str) -> Result<Word<T>, WordError> {
        let word: StrDeserializer<'_, WordError> = text.into_deserializer();
        T::deserialize(word).map(Word)
    }
}

impl<T: Serialize> SerializeValue for Word<T> {
    fn serialize<'b>(
        &self,
        typ: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        SerializeValue::serialize(&self.to_string(), typ, writer)
    }
}

impl<'frame, 'metadata, T: DeserializeOwned> DeserializeValue<'frame, 'metadata> for Word<T> {
    fn type_check(typ: &ColumnType<'_>) -> Result<(), TypeCheckError> {
        <&str as DeserializeValue<'_, '_>>::type_check(typ)
    }

    fn deserialize(
        typ: &'metadata ColumnType<'metadata>,
        value: Option<FrameSlice<'frame>>,
    ) -> Result<Word<T>, DeserializationError> {
        let text = <&str as DeserializeValue<'_, '_>>::deserialize(typ, value)?;
        Word::parse(text).map_err(DeserializationError::new)
    }
}

/// A record of many fields as text, in the words of the schemas: nothing is ever asked for by one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> SerializeValue for Json<T> {
    fn serialize<'b>(
        &self,
        typ: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        let text = serde_json::to_string(&self.0).map_err(SerializationError::new)?;
        SerializeValue::serialize(&text, typ, writer)
    }
}

impl<'frame, 'metadata, T: DeserializeOwned> DeserializeValue<'frame, 'metadata> for Json<T> {
    fn type_check(typ: &ColumnType<'_>) -> Result<(), TypeCheckError> {
        <&str as DeserializeValue<'_, '_>>::type_check(typ)
    }

    fn deserialize(
        typ: &'metadata ColumnType<'metadata>,
        value: Option<FrameSlice<'frame>>,
    ) -> Result<Json<T>, DeserializationError> {
        let text = <&str as DeserializeValue<'_, '_>>::deserialize(typ, value)?;
        serde_json::from_str(text).map(Json).map_err(DeserializationError::new)
    }
}

/// A value of a row that never changes, or none: then nothing is written, where a null would be a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given<T>(pub(super) Option<T>);

impl<T: SerializeValue> SerializeValue for Given<T> {
    fn serialize<'b>(
        &self,
        typ: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match &self.0 {
            Some(value) => SerializeValue::serialize(value, typ, writer),
            None => Ok(writer.set_unset()),
        }
    }
}

/// An instant as CQL's `timestamp`, which has milliseconds too.
pub(super) fn instant(at: Timestamp) -> CqlTimestamp {
    CqlTimestamp(at.0)
}

/// A sum as CQL's `varint`, which has no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum(pub(super) Balance);

impl SerializeValue for Sum {
    fn serialize<'b>(
        &self,
        typ: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        CqlVarint::from_signed_bytes_be_slice(shortest(&self.0.0.to_be_bytes())).serialize(typ, writer)
    }
}

/// A number in two's complement without the bytes that only repeat its sign: one number has one form.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, next, ..] = rest
        && matches!((*first, *next >> 7), (0x00, 0) | (0xFF, 1))
    {
        rest = &rest[1..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::Currency;
    use schemas::records::{Account, Confidence, ConversionState};

    use super::*;

    #[test]
    fn words_are_those_of_the_schemas() {
        assert_eq!(Word(ConversionState::CommissionCreated).to_string(), "commission_created");
        assert_eq!(Word(Confidence::High).to_string(), "HIGH");
        assert_eq!(Word(Account::AffiliatePayable).to_string(), "affiliate_payable");
        assert_eq!(Word(Currency::parse("NPR").expect("a currency")).to_string(), "NPR");
        assert_eq!(Word::parse("reversed").expect("a state"), Word(ConversionState::Reversed));
        assert_eq!(Word::parse("NPR").expect("a currency"), Word(Currency::parse("NPR").expect("a currency")));
        for text in ["", "HIGH ", "high", "Reversed"] {
            assert!(Word::<ConversionState>::parse(text).is_err(), "{text}");
            assert!(Word::<Confidence>::parse(text).is_err(), "{text}");
        }
    }

    fn whole(bytes: &[u8]) -> i128 {
        let sign = if bytes[0] >> 7 == 1 { u8::MAX } else { 0 };
        let mut wide = [sign; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        i128::from_be_bytes(wide)
    }

    #[test]
    fn sums_have_one_form() {
        for (sum, expected) in
            [(0, &[0x00][..]), (-1, &[0xFF]), (127, &[0x7F]), (128, &[0, 0x80]), (-129, &[0xFF, 0x7F])]
        {
            assert_eq!(shortest(&i128::to_be_bytes(sum)), expected, "{sum}");
        }
    }

    proptest! {
        #[test]
        fn no_sum_is_cut(sum: i128) {
            prop_assert_eq!(whole(shortest(&sum.to_be_bytes())), sum);
        }
    }
}
