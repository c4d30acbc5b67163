//! When each order is meant to be sent: known beforehand, whatever the server does.

use super::dice::Dice;
use super::scenario::{Phase, Scenario};

const MICROS: u64 = 1_000_000;
const JITTER: u64 = 1;

/// Arrivals along the phases, in which the rate goes evenly from one to another. The `n`th arrival is at a random instant
/// of the time in which the rate makes the `n`th: as uneven as a crowd at close range, and exact over a second.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    seed: u64,
    phases: Vec<Stretch>,
    /// Orders that arrive together, as one batch.
    batch: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    begin: u64,
    length: u64,
    from: u64,
    to: u64,
    /// Orders of the phases before it, in millionths.
    before: u64,
}

impl Stretch {
    fn of(phase: &Phase, begin: u64, before: u64) -> Stretch {
        let (from, to) = (u64::from(phase.from), u64::from(phase.to));
        Stretch { begin, length: phase.seconds * MICROS, from, to, before }
    }

    /// Its orders in millionths.
    fn orders(&self) -> u64 {
        (self.from + self.to) * self.length / 2
    }

    /// When it has had so many millionths of an order, after its begin.
    fn time_of(&self, target: u64) -> u64 {
        let (from, to, length) = (i128::from(self.from), i128::from(self.to), i128::from(self.length));
        let doubled = 2 * length * i128::from(target);
        let reached = |time: u64| {
            let time = i128::from(time);
            2 * length * from * time + (to - from) * time * time >= doubled
        };
        let (mut low, mut high) = (0, self.length);
        while low < high {
            let middle = low.midpoint(high);
            if reached(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

impl Schedule {
    /// The schedule of a scenario that is valid.
    pub(super) fn of(scenario: &Scenario) -> Schedule {
        let mut phases = Vec::new();
        let (mut begin, mut before) = (0, 0);
        for phase in &scenario.phases {
            let stretch = Stretch::of(phase, begin, before);
            begin += stretch.length;
            before += stretch.orders();
            phases.push(stretch);
        }
        Schedule { seed: scenario.seed, phases, batch: u64::from(scenario.batch) }
    }

    /// How many requests report orders for the first time: one for each order, or for each batch.
    pub(super) fn groups(&self) -> u64 {
        let millionths = self.phases.last().map_or(0, |last| last.before + last.orders());
        millionths / MICROS / self.batch
    }

    /// When the last phase ends, in microseconds.
    pub(super) fn length(&self) -> u64 {
        self.phases.last().map_or(0, |last| last.begin + last.length)
    }

    /// When this group is meant to be sent, in microseconds from the beginning. Never before the group before it.
    pub(super) fn time_of(&self, group: u64) -> u64 {
        let span = self.batch * MICROS;
        let target = group * span + Dice::of(self.seed, JITTER, group).below(span);
        let phase = self.phases.partition_point(|phase| phase.before + phase.orders() <= target);
        match self.phases.get(phase) {
            Some(phase) => phase.begin + phase.time_of(target - phase.before),
            None => self.length(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(batch: u32, phases: &[(u64, u32, u32)]) -> Schedule {
        let phase =
            |(seconds, from, to): &(u64, u32, u32)| Phase { name: "x".into(), seconds: *seconds, from: *from, to: *to };
        let scenario = Scenario { batch, phases: phases.iter().map(phase).collect(), ..Scenario::example() };
        Schedule::of(&scenario)
    }

    #[test]
    fn as_many_as_the_rates_say_and_in_order() {
        let schedule = schedule(1, &[(10, 0, 200), (5, 200, 200), (10, 200, 0)]);
        assert_eq!((schedule.groups(), schedule.length()), (3_000, 25 * MICROS));
        let times: Vec<u64> = (0..3_000).map(|group| schedule.time_of(group)).collect();
        assert!(times.is_sorted());
        let within = |from: u64, to: u64| times.iter().filter(|at| (from * MICROS..to * MICROS).contains(at)).count();
        assert_eq!([within(0, 10), within(10, 15), within(15, 25)], [1_000, 1_000, 1_000]);
        // A quarter of a ramp's orders are in its first half.
        assert!((249..=251).contains(&within(0, 5)), "{}", within(0, 5));
        assert!((199..=201).contains(&within(11, 12)));
    }

    #[test]
    fn batches_arrive_together() {
        let schedule = schedule(100, &[(10, 1_000, 1_000)]);
        assert_eq!(schedule.groups(), 100);
        assert!((0..100).all(|group| (group * 100_000..(group + 1) * 100_000 + 1).contains(&schedule.time_of(group))));
    }

    #[test]
    fn a_quiet_phase_has_none() {
        let schedule = schedule(1, &[(1, 10, 10), (5, 0, 0), (1, 10, 10)]);
        let times: Vec<u64> = (0..schedule.groups()).map(|group| schedule.time_of(group)).collect();
        assert!(times.iter().all(|at| *at <= MICROS || *at >= 6 * MICROS), "{times:?}");
        assert_eq!(times.len(), 20);
    }
}
