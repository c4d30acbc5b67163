//! Finding the objects in the input: one a line, or over several lines as editors and `jq .` write them.
//!
//! A broken object must not take the ones after it with it. So a line that begins with `{` where no value can stand
//! begins a new object, and what was open before is reported as broken.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use super::lines::{ITEM_BYTES_MAX, Line, Lines};

/// A piece of input that should be one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The line that it begins at, from 1.
    pub(super) line: u64,
    /// The text without surrounding white space.
    pub(super) text: Vec<u8>,
    /// Bytes of input that it took.
    pub(super) bytes: u64,
    /// Whether it was longer than the limit, so that `text` is not all of it.
    pub(super) is_cut: bool,
}

/// The items of an input.
#[derive(Debug)]
pub(super) struct Items<R> {
    lines: Lines<R>,
    /// Lines that were read as part of a broken object and begin objects of their own.
    alone: VecDeque<Line>,
    /// The line that showed that the object before it is broken.
    next: Option<Line>,
}

impl<R: BufRead> Items<R> {
    /// The items of an input.
    pub(super) fn new(input: R) -> Items<R> {
        Items { lines: Lines::new(input), alone: VecDeque::new(), next: None }
    }

    /// The next item; `None` at the end. Blank lines are skipped.
    ///
    /// # Errors
    /// The input cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        if let Some(line) = self.alone.pop_front() {
            return Ok(Some(item_of(vec![line])));
        }
        let first = loop {
            let line = match self.next.take() {
                Some(line) => Some(line),
                None => self.lines.next()?,
            };
            match line {
                None => return Ok(None),
                Some(line) if line.text.iter().all(u8::is_ascii_whitespace) => {}
                Some(line) => break line,
            }
        };
        let mut nesting = Nesting::default();
        nesting.read(&first.text);
        if !starts_object(&first) || first.is_cut() || !nesting.is_open() {
            return Ok(Some(item_of(vec![first])));
        }
        self.continued(first, nesting).map(Some)
    }

    /// Reads on until the object that begins with `first` is closed.
    fn continued(&mut self, first: Line, mut nesting: Nesting) -> io::Result<Item> {
        let mut bytes = first.text.len();
        let mut lines = vec![first];
        while let Some(line) = self.lines.next()? {
            if starts_object(&line) && !nesting.takes_a_value() {
                self.next = Some(line);
                break;
            }
            nesting.read(&line.text);
            bytes += line.text.len();
            lines.push(line);
            if nesting.is_closed() {
                return Ok(item_of(lines));
            }
            if nesting.is_broken() || bytes > ITEM_BYTES_MAX {
                break;
            }
        }
        // Broken: what would have been an object by itself is given its chance, in case the fault was the first line's.
        let alone = lines.extract_if(1.., |line| is_whole_object(line));
        self.alone.extend(alone);
        Ok(item_of(lines))
    }
}

fn item_of(lines: Vec<Line>) -> Item {
    let line = lines.first().map_or(0, |line| line.number);
    let bytes = lines.iter().map(|line| line.bytes).sum();
    let is_cut =
        lines.iter().any(Line::is_cut) || lines.iter().map(|line| line.text.len()).sum::<usize>() > ITEM_BYTES_MAX;
    let text: Vec<u8> = lines.into_iter().flat_map(|line| line.text).collect();
    Item { line, text: text.trim_ascii().to_vec(), bytes, is_cut }
}

fn starts_object(line: &Line) -> bool {
    line.text.trim_ascii_start().first() == Some(&b'{')
}

fn is_whole_object(line: &Line) -> bool {
    let mut nesting = Nesting::default();
    nesting.read(&line.text);
    starts_object(line) && nesting.is_closed()
}

/// What is open in a JSON text, as far as brackets and strings tell.
#[derive(Clone, Debug, Default)]
struct Nesting {
    /// The open brackets, outermost first.
    open: Vec<u8>,
    in_string: bool,
    is_escaped: bool,
    /// The last byte outside of strings that is no white space.
    last: u8,
    is_broken: bool,
}

impl Nesting {
    fn read(&mut self, text: &[u8]) {
        for byte in text {
            if self.in_string {
                self.read_in_string(*byte);
            } else {
                self.read_outside(*byte);
            }
        }
    }

    fn read_in_string(&mut self, byte: u8) {
        match byte {
            // JSON writes a line break in a string as \n.
            b'\n' => self.is_broken = true,
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    fn read_outside(&mut self, byte: u8) {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.open.push(byte),
            b'}' => self.is_broken |= self.open.pop() != Some(b'{'),
            b']' => self.is_broken |= self.open.pop() != Some(b'['),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            self.last = byte;
        }
    }

    fn is_open(&self) -> bool {
        !self.open.is_empty() && !self.is_broken
    }

    fn is_closed(&self) -> bool {
        self.open.is_empty() && !self.is_broken
    }

    fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether an object may begin here.
    fn takes_a_value(&self) -> bool {
        self.last == b':' || (self.open.last() == Some(&b'[') && matches!(self.last, b'[' | b','))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(input: &str) -> Vec<(u64, String)> {
        let mut items = Items::new(io::BufReader::with_capacity(7, input.as_bytes()));
        let mut found = Vec::new();
        let mut bytes = 0;
        while let Some(item) = items.next().expect("readable") {
            bytes += item.bytes;
            found.push((item.line, String::from_utf8(item.text).expect("UTF-8")));
        }
        let blank: usize = input.split_inclusive('\n').filter(|line| line.trim().is_empty()).map(str::len).sum();
        assert_eq!(bytes, u64::try_from(input.len() - blank).expect("short"), "{input}");
        found
    }

    fn expect(input: &str, expected: &[(u64, &str)]) {
        let expected: Vec<(u64, String)> = expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
        assert_eq!(items(input), expected);
    }

    #[test]
    fn one_a_line() {
        expect("{\"a\":1}\n\r\n {\"b\":2} \r\n{\"c\":3}", &[(1, "{\"a\":1}"), (3, "{\"b\":2}"), (4, "{\"c\":3}")]);
        expect("\n \n", &[]);
    }

    #[test]
    fn over_many_lines() {
        let pretty =
            "{\n  \"a\": \"}{\\\"\",\n  \"m\":\n  {\n  },\n  \"l\": [\n    { \"x\": 1 },\n    { \"y\": 2 }\n  ]\n}";
        expect(pretty, &[(1, pretty)]);
        expect(&format!("{pretty}\n\n{pretty}\n"), &[(1, pretty), (12, pretty)]);
    }

    #[test]
    fn a_broken_line_takes_no_other_with_it() {
        for broken in ["{\"a\":\"x\"", "{\"a\":\"x", "not JSON", "{\"a\":1}}", "{\"a\":1]", "[{\"a\":1},", "{"] {
            let input = format!("{{\"z\":0}}\n{broken}\n{{\"b\":2}}\n{{\"c\":3}}\n");
            expect(&input, &[(1, "{\"z\":0}"), (2, broken), (3, "{\"b\":2}"), (4, "{\"c\":3}")]);
        }
    }

    #[test]
    fn cut_off_after_a_colon() {
        // The second line may be the value of the first, which the third disproves.
        expect("{\"a\":\n{\"b\":2}\n{\"c\":3}\n", &[(1, "{\"a\":"), (2, "{\"b\":2}"), (3, "{\"c\":3}")]);
    }

    #[test]
    fn an_unfinished_object_is_one_item() {
        let text = "{\n  \"a\": 1,\n  \"b\": [";
        expect(text, &[(1, text)]);
    }

    #[test]
    fn an_object_over_the_limit_is_cut() {
        let long = format!("{{\n{}}}\n", " \"a\": 1,\n".repeat(200_000));
        let mut items = Items::new(long.as_bytes());
        let item = items.next().expect("readable").expect("an item");
        assert!(item.is_cut && item.text.len() < ITEM_BYTES_MAX + 100);
    }
}
