//! What nobody can process.

use schemas::topics::CATALOGUE;
use schemas::topics::numbers::PAYOUT_REPORTS;

use crate::committed::Committed;
use crate::facts::Facts;
use crate::fault::{Faults, Invariant};

/// Every record that cannot be processed is poison that was written on purpose, and has one dead letter; nothing else has.
pub(super) fn check(facts: &Facts, committed: &Committed, faults: &mut Faults) {
    let mut letters: Vec<_> = committed.dead_letters.iter().collect();
    let mut poison: Vec<_> = facts.poison.iter().collect();
    for refused in &committed.refused {
        let name = CATALOGUE.iter().find(|spec| spec.number == refused.topic).map_or("", |spec| spec.name);
        let what = format!("{name}, partition {}, offset {}", refused.partition, refused.offset);
        let written = poison
            .iter()
            .position(|(topic, key, value)| (*topic, key, value) == (refused.topic, &refused.key, &refused.value));
        // What an administrator reported may be refused, as often as it came to the log.
        let reported = refused.topic == PAYOUT_REPORTS
            && schemas::decode(&refused.value).is_ok_and(|it| facts.outcomes.contains(&it));
        match written {
            Some(index) => drop(poison.swap_remove(index)),
            None if reported => {}
            None => faults.add(Invariant::Sent, format!("{what}: nobody wrote this: {:?}", refused.value)),
        }
        let letter = letters.iter().position(|letter| {
            letter.topic == name
                && u32::try_from(letter.partition) == Ok(refused.partition)
                && u64::try_from(letter.offset) == Ok(refused.offset)
                && (&letter.key, &letter.value) == (&refused.key, &refused.value)
        });
        match letter {
            Some(index) => drop(letters.swap_remove(index)),
            None => faults.add(Invariant::DeadLetter, format!("{what}: cannot be processed and is no dead letter")),
        }
    }
    for letter in letters {
        faults.add(
            Invariant::DeadLetter,
            format!(
                "{}, partition {}, offset {}: is a dead letter of {} once too often: {}: {}",
                letter.topic, letter.partition, letter.offset, letter.processor, letter.reason, letter.message
            ),
        );
    }
}
