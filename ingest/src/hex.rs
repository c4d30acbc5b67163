//! Hexadecimal digits of a text of known length.

/// The bytes of exactly `2 * N` digits of either case; `None` of any other text.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

/// As [`decode`], but small digits only, so that a value has one text.
pub(crate) fn decode_small<const N: usize>(text: &str) -> Option<[u8; N]> {
    let small = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    small.then(|| decode(text.as_bytes())).flatten()
}
