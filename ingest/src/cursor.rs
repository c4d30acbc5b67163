//! A place in a list as text that a client hands back: a version, the place and a checksum, in hexadecimal.
//!
//! It is no secret and grants nothing: whose list is gone on with is decided by who signs. The checksum tells a cursor
//! that was cut off or mixed up from one that a page ended with.

use schemas::Timestamp;
use sha2::{Digest, Sha256};
use store::ListCursor;

use crate::hex;

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// Bytes of a cursor, each of which is two digits.
pub(crate) const BYTES: usize = 1 + 8 + 16 + CHECKSUM_BYTES;

/// The text of a place.
pub(crate) fn encode(place: ListCursor) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&place.at.0.to_be_bytes());
    bytes.extend_from_slice(&place.id);
    bytes.extend_from_slice(&checksum(&bytes));
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The place of a text; `None` if it is not the whole text of one.
pub(crate) fn decode(text: &str) -> Option<ListCursor> {
    let bytes: [u8; BYTES] = hex::decode_small(text)?;
    let (body, found) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    let (at, id) = body.strip_prefix(&[VERSION])?.split_first_chunk::<8>()?;
    let at = Timestamp(i64::from_be_bytes(*at));
    let right = *found == checksum(body) && at >= Timestamp::MIN;
    right.then_some(ListCursor { at, id: id.try_into().ok()? })
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(bytes);
    digest[..CHECKSUM_BYTES].try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ms: i64) -> ListCursor {
        ListCursor { at: Timestamp(ms), id: [7; 16] }
    }

    #[test]
    fn a_cursor_never_changes_and_reads_back() {
        let text = encode(place(1_781_429_400_000));
        assert_eq!(text, "010000019ec57771c007070707070707070707070707070707252cae84");
        for ms in [0, 1, i64::MAX] {
            assert_eq!(decode(&encode(place(ms))), Some(place(ms)));
        }
        assert_eq!(decode(&encode(place(-1))), None, "nothing is received before 1970");
    }

    #[test]
    fn no_other_text_is_a_cursor() {
        let text = encode(place(1_781_429_400_000));
        for (index, was) in text.char_indices() {
            for digit in "0123456789abcdef".chars().filter(|digit| *digit != was) {
                let changed = format!("{}{digit}{}", &text[..index], &text[index + 1..]);
                assert_eq!(decode(&changed), None, "{changed}");
            }
            assert_eq!(decode(&text[..index]), None, "cut off");
        }
        let mut later = vec![VERSION + 1];
        later.extend_from_slice(&[0; BYTES - 1 - CHECKSUM_BYTES]);
        later.extend_from_slice(&checksum(&later));
        let later: String = later.iter().map(|byte| format!("{byte:02x}")).collect();
        for other in
            [text.to_uppercase(), format!("{text}0"), format!("{text}00"), "é".repeat(29), "+1".repeat(29), later]
        {
            assert_eq!(decode(&other), None, "{other}");
        }
    }
}
