//! Reading lines of bounded length from an input of any length.

use std::io::{self, BufRead};

/// Most bytes of a line, and of an object over several lines.
pub(super) const ITEM_BYTES_MAX: usize = 1024 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes with the line break, cut off at the limit.
    pub(super) text: Vec<u8>,
    /// How many bytes it has in the input.
    pub(super) bytes: u64,
}

impl Line {
    /// Whether it was cut off.
    pub(super) fn is_cut(&self) -> bool {
        u64::try_from(self.text.len()) != Ok(self.bytes)
    }
}

/// Reads lines one by one; a line without an end does not fill the memory.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of an input.
    pub(super) fn new(input: R) -> Lines<R> {
        Lines { input, number: 0 }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// The input cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line { number: self.number + 1, text: Vec::new(), bytes: 0 };
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            let room = (ITEM_BYTES_MAX - line.text.len()).min(taken);
            line.text.extend_from_slice(&available[..room]);
            line.bytes += u64::try_from(taken).unwrap_or(u64::MAX);
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                break;
            }
        }
        if line.bytes == 0 {
            return Ok(None);
        }
        self.number = line.number;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn numbers_and_lengths() {
        let mut lines = Lines::new(io::BufReader::with_capacity(3, &b"ab\n\nlonger than the buffer\r\nend"[..]));
        let mut read = Vec::new();
        while let Some(line) = lines.next().expect("readable") {
            assert!(!line.is_cut());
            read.push((line.number, String::from_utf8(line.text).expect("UTF-8")));
        }
        let texts = ["ab\n", "\n", "longer than the buffer\r\n", "end"];
        assert_eq!(read, (1..).zip(texts.map(str::to_owned)).collect::<Vec<_>>());
    }

    #[test]
    fn an_endless_line_is_cut() {
        let endless = io::repeat(b'x').take(5_000_000).chain(&b"\n{}\n"[..]);
        let mut lines = Lines::new(io::BufReader::new(endless));
        let long = lines.next().expect("readable").expect("a line");
        assert_eq!((long.text.len(), long.bytes), (ITEM_BYTES_MAX, 5_000_001));
        assert!(long.is_cut());
        let next = lines.next().expect("readable").expect("a line");
        assert_eq!((next.number, next.text.as_slice()), (2, &b"{}\n"[..]));
    }
}
