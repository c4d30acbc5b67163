//! What cannot be processed is set aside, and nothing else.

use std::collections::BTreeMap;

use schemas::records::DeadLetter;
use schemas::topics::{CATALOGUE, CLICKS, CONVERSIONS, DEAD_LETTERS, PAYOUT_REPORTS, PAYOUTS};

use crate::report::{Found, Place, Subject};

/// The processor whose letters are passed over.
const UNVERIFIED: &str = "webhooks";

/// Records that cannot be processed, and dead letters.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    refused: Vec<Place>,
    /// Where the letter stands, by what it is of.
    letters: BTreeMap<Place, Place>,
    pub(crate) count: u64,
}

impl Letters {
    pub(crate) fn refused(&mut self, place: Place) {
        self.refused.push(place);
    }

    pub(crate) fn letter(&mut self, letter: &DeadLetter, place: Place, found: &mut Found) {
        self.count += 1;
        // What merchants are told is not verified, and no conversion follows from it.
        if letter.processor == UNVERIFIED {
            return;
        }
        let topic = CATALOGUE.iter().find(|spec| spec.name == letter.topic).map(|spec| spec.number);
        let (partition, offset) = (u32::try_from(letter.partition), u64::try_from(letter.offset));
        let (Some(topic), Ok(partition), Ok(offset)) = (topic, partition, offset) else {
            let what = format!("{}/{}@{}", letter.topic, letter.partition, letter.offset);
            found.add(|| Subject::Record, "deadLetter", "the place of a record", what, &[place]);
            return;
        };
        let of = Place { topic, partition, offset };
        if self.letters.insert(of, place).is_some() {
            let why = format!("two of {}: {}", letter.processor, letter.reason);
            found.add(|| Subject::Record, "deadLetter", "one dead letter", why, &[of, place]);
        }
    }

    /// Each record that cannot be processed has its letter once it is passed, and no other record has one.
    ///
    /// `processed` says whether a record is passed, and `lost` whether its partition, or the one of the letters, has lost
    /// its beginning.
    pub(crate) fn judge(mut self, processed: impl Fn(Place) -> bool, lost: impl Fn(Place) -> bool, found: &mut Found) {
        for place in &self.refused {
            let letter = self.letters.remove(place);
            let letters = Place { topic: DEAD_LETTERS.number, partition: 0, offset: 0 };
            if letter.is_none() && processed(*place) && !lost(letters) {
                found.add(|| Subject::Record, "deadLetter", "a dead letter", "none", &[*place]);
            }
        }
        for (of, letter) in self.letters {
            let is_fact = [CONVERSIONS.number, CLICKS.number, PAYOUT_REPORTS.number].contains(&of.topic);
            // Whether a report is of a payout is not known either where the payout may be gone.
            let payout = Place { topic: PAYOUTS.number, ..of };
            let of_lost = lost(of) || (of.topic == PAYOUT_REPORTS.number && lost(payout));
            if !is_fact || !of_lost {
                let expected = "a record that can be processed has none";
                found.add(|| Subject::Record, "deadLetter", expected, "a dead letter", &[of, letter]);
            }
        }
    }
}
