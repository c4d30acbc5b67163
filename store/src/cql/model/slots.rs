//! How long lists are cut into partitions: by ten minutes, and those by sixteen.
//!
//! A merchant with 10,000 orders a second, more than anybody has, puts 375,000 of them into one partition, which is some
//! 30 MB. What has few rows has as many partitions as rows, nearly, so which of them there are is written down: in
//! `list_slots`, a partition for each year of a list, of at most 52,704 slots with 16 shards each; and which years, in
//! `list_years`.

use schemas::Timestamp;
use schemas::ids::ConversionId;

/// How long a slot is, in milliseconds. Rows are found by it, so it never changes.
const SLOT_MS: i64 = 10 * 60 * 1_000;
/// Into how many partitions a slot is cut. Never less than it was.
pub(super) const SHARDS: u8 = 16;
/// The first slot: what claims to be older is in it.
const FIRST_MS: i64 = 0;
/// The start of the last slot: what claims to be later than year 9999 is in it.
const LAST_MS: i64 = 253_402_128_000_000;

/// What stands for a merchant where the list of reviewers is: no merchant's id, which is a name.
pub(super) const REVIEWERS: &str = "*";

/// Ten minutes, by their first instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(i64);

impl Slot {
    /// The slot that an instant is in.
    pub(super) fn of(at: Timestamp) -> Slot {
        let at = at.0.clamp(FIRST_MS, LAST_MS);
        Slot(at - at.rem_euclid(SLOT_MS))
    }

    /// Its first instant.
    pub(super) fn start(self) -> Timestamp {
        Timestamp(self.0)
    }

    /// The year that all of it is in, UTC.
    pub(super) fn year(self) -> i32 {
        // Years that begin in March have the leap day at their end, and all centuries of 400 years are alike
        // (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
        let days = self.0.div_euclid(86_400_000) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let from_january = i64::from(day_of_year >= 306);
        i32::try_from(era * 400 + year + from_january).expect("a slot is in a year of four digits")
    }
}

/// The shard of a conversion in its slot: ids are digests, so their bytes are spread evenly.
pub(super) fn conversion_shard(id: ConversionId) -> i8 {
    shard(id.0[0])
}

/// The shard of a ledger entry in its slot: that of its conversion.
pub(super) fn entry_shard(conversion: ConversionId) -> i8 {
    // Another byte, so that an affiliate's entries do not follow its only merchant's orders.
    shard(conversion.0[1])
}

fn shard(byte: u8) -> i8 {
    i8::try_from(byte % SHARDS).expect("less than 16")
}

/// The name of a merchant's list of conversions. Its parts but the last cannot have the separator in them.
pub(super) fn conversions_list(merchant_id: &str, livemode: bool) -> String {
    format!("conversions/{merchant_id}/{}", mode(livemode))
}

/// The name of the list of what waits for a reviewer.
pub(super) fn reviewers_list(livemode: bool) -> String {
    format!("reviews/{}", mode(livemode))
}

/// The name of the list of payouts.
pub(super) const PAYOUTS_LIST: &str = "payouts";

/// The shard of a payout in the slot of its cut-off, by the digest of its id.
pub(super) fn payout_shard(digest: [u8; 16]) -> i8 {
    shard(digest[0])
}

/// The name of the list of an affiliate's ledger entries.
pub(super) fn ledger_list(affiliate_id: &str, currency: &str, livemode: bool) -> String {
    format!("ledger/{affiliate_id}/{currency}/{}", mode(livemode))
}

fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_ten_minutes_of_one_year() {
        let slot = |text| Slot::of(Timestamp::parse(text).expect("valid"));
        for (text, start, year) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 1970),
            ("2026-06-14T09:39:59.999Z", "2026-06-14T09:30:00Z", 2026),
            ("2026-06-14T09:40:00Z", "2026-06-14T09:40:00Z", 2026),
            ("2023-12-31T23:59:59.999Z", "2023-12-31T23:50:00Z", 2023),
            ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", 2024),
            ("2000-02-29T12:00:00Z", "2000-02-29T12:00:00Z", 2000),
        ] {
            assert_eq!((slot(text).start().to_string().as_str(), slot(text).year()), (start, year), "{text}");
        }
    }

    #[test]
    fn every_instant_has_a_slot() {
        for at in [i64::MIN, -1, 0, LAST_MS + SLOT_MS, i64::MAX] {
            let slot = Slot::of(Timestamp(at));
            assert_eq!(Slot::of(slot.start()), slot, "{at}");
            assert!((1970..=9999).contains(&slot.year()), "{at}");
        }
        assert_eq!(Slot::of(Timestamp(-1)).start(), Timestamp(0));
    }

    #[test]
    fn years_are_those_of_the_calendar() {
        let mut slot = Slot::of(Timestamp(LAST_MS));
        // A step that is no multiple of anything in the calendar, over 400 years and more.
        while slot.0 > LAST_MS - 14_000_000_000_000 {
            let expected: i32 = slot.start().to_string()[..4].parse().expect("a year");
            assert_eq!(slot.year(), expected, "{}", slot.start());
            slot = Slot::of(Timestamp(slot.0 - 100_000_007));
        }
    }
}
