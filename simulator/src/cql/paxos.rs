//! One row on three replicas: the rounds of Paxos by which conditional writes and serial reads agree on it, and the plain
//! reads that take no part in them.
//!
//! As in ScyllaDB, and in Apache Cassandra since 4.0: ask a majority what is half done, and end that; read; propose to a
//! majority; have a majority learn it. A round that changes nothing is proposed all the same, so that what it did not see
//! is never decided after it.
//!
//! Rounds do not overlap in time. Whatever two that do could leave, one that was cut off leaves too, to the next.

use crate::random::Random;

const REPLICAS: usize = 3;
const MAJORITY: usize = 2;
const ORDERS: [[usize; REPLICAS]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The replicas that take part in a round, or answer a plain read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    order: [usize; REPLICAS],
    count: usize,
}

impl Asked {
    /// All of them.
    pub(super) const ALL: Asked = Asked { order: ORDERS[0], count: REPLICAS };

    /// A majority of them, or all.
    pub(super) fn draw(random: &mut Random) -> Asked {
        Asked { order: random.pick(&ORDERS), count: random.pick(&[MAJORITY, MAJORITY, REPLICAS]) }
    }

    /// Those of them that answer.
    pub(super) fn replicas(&self) -> &[usize] {
        &self.order[..self.count]
    }

    /// Those that hear of it if only so many do.
    pub(super) fn first(&self, count: usize) -> &[usize] {
        &self.order[..count]
    }
}

/// How far a conditional write gets whose condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To its end.
    Whole,
    /// So many replicas take the proposal: from two on it is decided, and none knows.
    Proposed(usize),
    /// It is decided, and so many replicas learn it.
    Decided(usize),
}

impl Reach {
    /// Anywhere but to its end.
    pub(super) fn draw(random: &mut Random) -> Reach {
        let replicas = random.index(REPLICAS + 1);
        if random.happens(5_000) { Reach::Proposed(replicas.max(1)) } else { Reach::Decided(replicas) }
    }
}

/// How a conditional write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrote<R> {
    /// It was applied, as far as it got.
    Applied,
    /// Its condition did not hold of this.
    Present(Option<R>),
}

/// What a replica has of a row.
#[derive(Clone, Debug)]
struct Replica<R> {
    /// A proposal that it took, by its ballot, and has not learnt the end of; nothing is one that changes nothing.
    taken: Option<(u64, Option<R>)>,
    /// The ballot of the last decision that it learnt.
    learnt: u64,
    /// The row, and the ballot that wrote it.
    row: Option<(u64, R)>,
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Row<R> {
    replicas: [Replica<R>; REPLICAS],
    /// The ballots given out.
    ballots: u64,
    /// How often a round ended what another had left half done.
    pub(super) ended: u64,
}

impl<R> Default for Row<R> {
    fn default() -> Self {
        let replicas = [(); REPLICAS].map(|()| Replica { taken: None, learnt: 0, row: None });
        Row { replicas, ballots: 0, ended: 0 }
    }
}

impl<R: Clone> Row<R> {
    /// A conditional write: `decide` makes of the row that there is the one that is to be, or nothing if its condition does
    /// not hold.
    pub(super) fn write(
        &mut self,
        asked: Asked,
        reach: Reach,
        decide: impl FnOnce(Option<&R>) -> Option<R>,
    ) -> Wrote<R> {
        let present = self.prepare(asked);
        let Some(row) = decide(present.as_ref()) else {
            self.decide(asked, Reach::Whole, None);
            return Wrote::Present(present);
        };
        self.decide(asked, reach, Some(row));
        Wrote::Applied
    }

    /// A read that takes part.
    pub(super) fn read_serial(&mut self, asked: Asked) -> Option<R> {
        let row = self.prepare(asked);
        self.decide(asked, Reach::Whole, None);
        row
    }

    /// A read of what those asked have learnt; those behind learn it.
    pub(super) fn read_plain(&mut self, asked: Asked) -> Option<R> {
        let newest = self.newest(asked)?;
        for replica in asked.replicas() {
            let has = &mut self.replicas[*replica].row;
            if has.as_ref().is_none_or(|(ballot, _)| *ballot < newest.0) {
                *has = Some(newest.clone());
            }
        }
        Some(newest.1)
    }

    /// Whether a row is decided, whoever has learnt it.
    pub(super) fn is_decided(&self) -> bool {
        let takers = |ballot: u64| {
            self.replicas.iter().filter(|it| it.taken.as_ref().is_some_and(|(taken, _)| *taken == ballot)).count()
        };
        self.replicas.iter().any(|replica| {
            let taken = replica.taken.as_ref().filter(|(_, row)| row.is_some());
            replica.row.is_some() || taken.is_some_and(|(ballot, _)| takers(*ballot) >= MAJORITY)
        })
    }

    /// Ends what those asked know to be half done; the row then.
    fn prepare(&mut self, asked: Asked) -> Option<R> {
        let replicas = || asked.replicas().iter().map(|replica| &self.replicas[*replica]);
        let learnt = replicas().map(|replica| replica.learnt).max().unwrap_or(0);
        let half = replicas().filter_map(|replica| replica.taken.as_ref()).max_by_key(|(ballot, _)| *ballot);
        if let Some((_, row)) = half.filter(|(ballot, _)| *ballot > learnt).cloned() {
            self.ended += u64::from(row.is_some());
            self.decide(asked, Reach::Whole, row);
        }
        self.read_plain(asked)
    }

    fn newest(&self, asked: Asked) -> Option<(u64, R)> {
        let rows = asked.replicas().iter().filter_map(|replica| self.replicas[*replica].row.as_ref());
        rows.max_by_key(|(ballot, _)| *ballot).cloned()
    }

    /// Proposes under a new ballot, and has it learnt, as far as it gets.
    fn decide(&mut self, asked: Asked, reach: Reach, row: Option<R>) {
        self.ballots += 1;
        let ballot = self.ballots;
        let (taking, learning) = match reach {
            Reach::Whole => (asked.count, asked.count),
            Reach::Proposed(replicas) => (replicas, 0),
            Reach::Decided(replicas) => (asked.count, replicas),
        };
        for replica in asked.first(taking) {
            self.replicas[*replica].taken = Some((ballot, row.clone()));
        }
        for replica in asked.first(learning) {
            let replica = &mut self.replicas[*replica];
            (replica.learnt, replica.taken) = (ballot, None);
            if let Some(row) = &row {
                replica.row = Some((ballot, row.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_TWO: Asked = Asked { order: [0, 1, 2], count: 2 };
    const LAST_TWO: Asked = Asked { order: [2, 1, 0], count: 2 };
    const OUTER_TWO: Asked = Asked { order: [2, 0, 1], count: 2 };

    fn insert(row: &mut Row<char>, asked: Asked, reach: Reach, name: char) -> Wrote<char> {
        row.write(asked, reach, |present| present.is_none().then_some(name))
    }

    #[test]
    fn a_write_that_was_answered_is_seen_by_all() {
        for asked in [FIRST_TWO, LAST_TWO, OUTER_TWO, Asked::ALL] {
            let mut row = Row::default();
            assert_eq!(insert(&mut row, FIRST_TWO, Reach::Whole, 'a'), Wrote::Applied);
            assert_eq!(row.clone().read_plain(asked), Some('a'));
            assert_eq!(row.clone().read_serial(asked), Some('a'));
            assert_eq!(insert(&mut row, asked, Reach::Whole, 'b'), Wrote::Present(Some('a')));
        }
    }

    /// What is cut off, who asks next, whether a plain read sees it, and whether it is decided then.
    #[test]
    fn what_is_cut_off_is_ended_or_never_was() {
        let (one, two) = (Reach::Proposed(1), Reach::Proposed(2));
        for (reach, asked, is_seen, is_made) in [
            (one, FIRST_TWO, false, true),
            (one, LAST_TWO, false, false),
            (two, FIRST_TWO, false, true),
            (two, LAST_TWO, false, true),
            (two, OUTER_TWO, false, true),
            (Reach::Decided(0), LAST_TWO, false, true),
            (Reach::Decided(1), LAST_TWO, false, true),
            (Reach::Decided(1), OUTER_TWO, true, true),
            (Reach::Decided(2), LAST_TWO, true, true),
        ] {
            let mut row = Row::default();
            insert(&mut row, FIRST_TWO, reach, 'a');
            let case = format!("{reach:?}, then {asked:?}");
            assert_eq!(row.clone().read_plain(asked), is_seen.then_some('a'), "{case}");
            assert_eq!(row.is_decided(), reach != one, "{case}");
            let expected = if is_made { Wrote::Present(Some('a')) } else { Wrote::Applied };
            assert_eq!(insert(&mut row.clone(), asked, Reach::Whole, 'b'), expected, "{case}");
            // What the next did not see never is.
            assert_eq!(row.read_serial(asked), is_made.then_some('a'), "{case}");
            for later in [FIRST_TWO, LAST_TWO, OUTER_TWO] {
                assert_eq!(row.read_serial(later), is_made.then_some('a'), "{case}, and {later:?}");
            }
        }
    }

    #[test]
    fn a_row_that_was_once_seen_stays() {
        for seed in 0..2_000 {
            let (mut random, mut row, mut seen) = (Random::new(seed, "paxos"), Row::default(), None);
            for name in 'a'..='z' {
                let (asked, cut) = (Asked::draw(&mut random), Reach::draw(&mut random));
                let reach = if random.happens(3_000) { Reach::Whole } else { cut };
                let found = match random.below(3) {
                    0 => row.read_serial(asked),
                    1 => row.read_plain(asked),
                    _ => match insert(&mut row, asked, reach, name) {
                        Wrote::Applied if reach == Reach::Whole => Some(name),
                        Wrote::Applied => None,
                        Wrote::Present(present) => present,
                    },
                };
                if let (Some(found), Some(seen)) = (found, seen) {
                    assert_eq!(found, seen, "seed {seed}");
                }
                seen = seen.or(found);
            }
            assert_eq!(row.read_serial(Asked::ALL).is_some(), row.is_decided(), "seed {seed}");
        }
    }
}
