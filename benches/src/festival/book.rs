//! What is known of each order: four bytes, in place of what was sent and answered.

use std::sync::atomic::{AtomicU32, Ordering};

use super::plan::UPDATES_MAX;

/// Something that may have been taken by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Report,
    Conflict,
    Click,
    /// By its place.
    Update(usize),
}

impl Part {
    fn bit(self) -> u32 {
        match self {
            Part::Report => 0,
            Part::Conflict => 1,
            Part::Click => 2,
            Part::Update(place) => {
                debug_assert!(place < UPDATES_MAX, "no order has more");
                3 + u32::try_from(place).unwrap_or(0)
            }
        }
    }
}

const UNCLEAR: u32 = 8;
const GONE: u32 = 1 << 16;
const RECEIVED: u32 = 1 << 17;
const SENT: u32 = 1 << 18;
const REPEATED: u32 = 1 << 19;

/// The line of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(u32);

impl Line {
    /// The server said that it has it.
    pub(super) fn accepted(self, part: Part) -> bool {
        self.0 & (1 << part.bit()) != 0
    }

    /// The server may have it, and did not say so.
    pub(super) fn unclear(self, part: Part) -> bool {
        !self.accepted(part) && self.0 & (1 << (UNCLEAR + part.bit())) != 0
    }

    /// A conflict may be counted more than once.
    pub(super) fn conflict_repeated(self) -> bool {
        self.0 & REPEATED != 0
    }

    /// Its report will never be accepted: it was refused, given up or shed.
    pub(super) fn gone(self) -> bool {
        self.0 & GONE != 0
    }

    /// Its report was under way.
    pub(super) fn sent(self) -> bool {
        self.0 & SENT != 0
    }
}

/// The lines of the orders of one process, which has every `processes`th group.
#[derive(Debug)]
pub(super) struct Book {
    lines: Vec<AtomicU32>,
    process: u64,
    processes: u64,
    batch: u64,
}

impl Book {
    pub(super) fn new(groups: u64, batch: u64, process: u64, processes: u64) -> Book {
        let own = groups / processes + u64::from(groups % processes > process);
        let lines = (0..own * batch).map(|_| AtomicU32::new(0)).collect();
        Book { lines, process, processes, batch }
    }

    /// The number of the order in each line.
    pub(super) fn orders(&self) -> impl Iterator<Item = u64> + use<> {
        let (batch, process, processes) = (self.batch, self.process, self.processes);
        let lines = u64::try_from(self.lines.len()).expect("bounded");
        (0..lines).map(move |line| (line / batch * processes + process) * batch + line % batch)
    }

    fn line(&self, order: u64) -> &AtomicU32 {
        let line = order / self.batch / self.processes * self.batch + order % self.batch;
        &self.lines[usize::try_from(line).expect("bounded")]
    }

    pub(super) fn read(&self, order: u64) -> Line {
        Line(self.line(order).load(Ordering::Relaxed))
    }

    fn set(&self, order: u64, bits: u32) -> u32 {
        self.line(order).fetch_or(bits, Ordering::Relaxed)
    }

    pub(super) fn set_sent(&self, order: u64) {
        self.set(order, SENT);
    }

    pub(super) fn set_gone(&self, order: u64) {
        self.set(order, GONE);
    }

    pub(super) fn set_accepted(&self, order: u64, part: Part) {
        let before = self.set(order, 1 << part.bit());
        let was_unclear = before & (1 << (UNCLEAR + part.bit())) != 0;
        if part == Part::Conflict && was_unclear {
            self.set(order, REPEATED);
        }
    }

    pub(super) fn set_unclear(&self, order: u64, part: Part) {
        self.set(order, 1 << (UNCLEAR + part.bit()));
    }

    /// Notes that a report was RECEIVED; whether one was before.
    pub(super) fn set_received(&self, order: u64) -> bool {
        self.set(order, RECEIVED) & RECEIVED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_the_orders_out() {
        for (groups, batch, processes) in [(10, 1, 3), (7, 4, 2), (5, 1, 1), (2, 3, 4)] {
            let books = (0..processes).map(|process| Book::new(groups, batch, process, processes));
            let mut all: Vec<u64> = books.flat_map(|book| book.orders().collect::<Vec<_>>()).collect();
            all.sort_unstable();
            assert_eq!(all, (0..groups * batch).collect::<Vec<_>>(), "{groups} {batch} {processes}");
        }
    }

    #[test]
    fn lines_are_their_own_and_an_answer_outranks_a_doubt() {
        let book = Book::new(10, 2, 1, 3);
        book.set_unclear(3, Part::Update(2));
        assert!(book.read(3).unclear(Part::Update(2)) && !book.read(3).unclear(Part::Update(1)));
        assert_eq!(book.read(2), Line::default());
        book.set_accepted(3, Part::Update(2));
        assert!(book.read(3).accepted(Part::Update(2)) && !book.read(3).unclear(Part::Update(2)));
        assert!(!book.set_received(8) && book.set_received(8));
        book.set_accepted(8, Part::Conflict);
        assert!(!book.read(8).conflict_repeated());
        book.set_unclear(9, Part::Conflict);
        book.set_accepted(9, Part::Conflict);
        assert!(book.read(9).conflict_repeated());
    }
}
