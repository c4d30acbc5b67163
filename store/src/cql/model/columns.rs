//! The rows that are written: each is the values of its table's one INSERT, write timestamp included.
//!
//! A row of a table is always written with the same columns, so of two writes the one with the higher timestamp replaces
//! all of the other; and what is written twice with one timestamp is the same.

use schemas::Currency;
use schemas::records::{
    Account, CauseType, CommissionState, Confidence, ConversionState, ReportedStatus, Review, RuleLevel,
};
use scylla::SerializeRow;
use scylla::value::CqlTimestamp;

use super::conversion::ConversionValue;
use super::values::{Given, Json, Sum, Word, WordError};

/// The write timestamp of what never changes, in microseconds: the beginning of 2020. What does change adds its version.
///
/// It is of the scale of real time, and long ago: an operator's statement without a timestamp of its own is later than
/// any of ours, and no version reaches the future, which a server may refuse.
pub(super) const EPOCH: i64 = 1_577_836_800_000_000;

/// The highest version of a row: in microseconds 12 days. Nothing that is made one by one gets there.
pub(super) const VERSION_MAX: i64 = 1 << 40;

/// A conversion as of a revision: the row with `seq` 0 of its partition.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct ConversionRow {
    pub(super) conversion_id: [u8; 16],
    pub(super) conversion: ConversionValue,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// An entry of a conversion's timeline.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct EntryRow {
    pub(super) conversion_id: [u8; 16],
    pub(super) seq: i32,
    pub(super) state: Word<ConversionState>,
    pub(super) at: CqlTimestamp,
    pub(super) cause: Word<CauseType>,
    pub(super) event_id: Given<String>,
    pub(super) order_status: Given<Word<ReportedStatus>>,
    pub(super) refunded_thousandths: Given<i64>,
    pub(super) applied: bool,
    pub(super) fields: Vec<String>,
    pub(super) review: Given<Json<Review>>,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// A conversion in its merchant's list, with what it is filtered by.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct ListedRow {
    pub(super) merchant_id: String,
    pub(super) livemode: bool,
    pub(super) slot: CqlTimestamp,
    pub(super) shard: i8,
    pub(super) received_at: CqlTimestamp,
    pub(super) conversion_id: [u8; 16],
    pub(super) state: Word<ConversionState>,
    /// A word of [`confidence_word`].
    pub(super) confidence: String,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// A year in which a list has rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, SerializeRow)]
pub(super) struct YearRow {
    pub(super) list: String,
    pub(super) year: i32,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// A slot and shard in which a list has rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, SerializeRow)]
pub(super) struct SlotRow {
    pub(super) list: String,
    pub(super) year: i32,
    pub(super) slot: CqlTimestamp,
    pub(super) shard: i8,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// A commission as of a revision of its conversion.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct CommissionRow {
    pub(super) conversion_id: [u8; 16],
    pub(super) revision: i64,
    pub(super) merchant_id: String,
    pub(super) livemode: bool,
    pub(super) external_order_id: String,
    pub(super) affiliate_id: String,
    pub(super) campaign_id: Given<String>,
    pub(super) state: Word<CommissionState>,
    pub(super) amount_minor: i64,
    pub(super) currency: Word<Currency>,
    pub(super) level: Word<RuleLevel>,
    pub(super) rule_id: String,
    pub(super) rate: Given<String>,
    pub(super) order_amount_minor: i64,
    pub(super) refunded_thousandths: Given<i64>,
    pub(super) hold_until: Given<CqlTimestamp>,
    pub(super) at: CqlTimestamp,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// A booking, in an affiliate's ledger and under its conversion.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct BookingValues {
    pub(super) entry_id: String,
    pub(super) conversion_id: [u8; 16],
    pub(super) revision: i64,
    pub(super) merchant_id: String,
    pub(super) affiliate_id: String,
    pub(super) livemode: bool,
    pub(super) debit: Word<Account>,
    pub(super) credit: Word<Account>,
    pub(super) amount_minor: i64,
    pub(super) currency: Word<Currency>,
    pub(super) at: CqlTimestamp,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// A booking in its affiliate's ledger.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct BookingRow {
    pub(super) slot: CqlTimestamp,
    pub(super) shard: i8,
    #[scylla(flatten)]
    pub(super) booking: BookingValues,
}

/// The balance of an account as of its last entry.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct BalanceRow {
    pub(super) affiliate_id: String,
    pub(super) currency: Word<Currency>,
    pub(super) livemode: bool,
    pub(super) account: Word<Account>,
    pub(super) balance_minor: Sum,
    pub(super) entry_count: i64,
    pub(super) entry_id: String,
    pub(super) at: CqlTimestamp,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// How far a partition of a topic has been written: its version is the offset itself, so it never goes back.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct PositionRow {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) next_offset: i64,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// Which log the rows are of.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct IdentityRow {
    pub(super) place: String,
    pub(super) identity: String,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// The word for no confidence yet, by which a list may be filtered: a null would be a tombstone.
const UNDECIDED: &str = "NONE";

/// The word for a confidence, or for none yet.
pub(super) fn confidence_word(confidence: Option<Confidence>) -> String {
    confidence.map_or_else(|| UNDECIDED.to_owned(), |confidence| Word(confidence).to_string())
}

/// The confidence, or none yet, that a word is for.
pub(super) fn confidence_of(word: &str) -> Result<Option<Confidence>, WordError> {
    if word == UNDECIDED { Ok(None) } else { Word::parse(word).map(|word| Some(word.0)) }
}
