//! The tables of the read model.
//!
//! No row is ever deleted, none expires, and no null is written: there are no tombstones, so nothing depends on how long
//! a server keeps them, and a record that is written again after years brings nothing back. What may be absent is a field
//! of one frozen value (`conversions.conversion`), a word of its own (`conversions_by_time.confidence`), or a column of a
//! row that never changes and is left unset.
//!
//! Compaction: `Leveled` where rows are written again and again and read by key, so that a read looks into few files;
//! `SizeTiered` where each row is written once. Not `TimeWindow`, though ledger entries come in the order of time: its
//! windows are of write timestamps, and ours are versions.

use super::{Migration, adding, adding_column, all};

/// Those of the read model's keyspace.
pub(super) const MIGRATIONS: &[Migration] = &[READ_MODEL, SUGGESTED_AFFILIATE, REVIEWS_AND_EXPLANATION, PAYOUTS];

const READ_MODEL: Migration = Migration {
    version: 1,
    name: "read model",
    statements: &[
        all("CREATE TYPE IF NOT EXISTS {keyspace}.commission (
                amount_minor bigint, currency text, level text, rule_id text, rate text)"),
        all("CREATE TYPE IF NOT EXISTS {keyspace}.conversion (
                revision bigint, seq int, event_id text, merchant_id text, livemode boolean, external_order_id text,
                state text, confidence text, confidence_reason text, click_id text, affiliate_id text, campaign_id text,
                external_product_id text, amount_minor bigint, currency text, order_status text, ordered_at timestamp,
                received_at timestamp, coupon_code text, metadata text, commission frozen<commission>, hold_until timestamp,
                refunded_thousandths bigint, conflicts int, at timestamp)"),
        // One partition is one order: row 0 is the conversion, the others are its timeline. The conversion is one cell, so it
        // is replaced whole; it is no static column, because those come with every row of an answer.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.conversions (
                conversion_id blob, seq int, conversion frozen<conversion>,
                state text, at timestamp, cause text, event_id text, order_status text,
                refunded_thousandths bigint, applied boolean, fields frozen<list<text>>,
                PRIMARY KEY (conversion_id, seq))
                WITH compaction = {'class': 'LeveledCompactionStrategy'}"),
        // A merchant's list. A slot is ten minutes, named by their first instant.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.conversions_by_time (
                merchant_id text, livemode boolean, slot timestamp, shard tinyint, received_at timestamp, conversion_id blob,
                state text, confidence text,
                PRIMARY KEY ((merchant_id, livemode, slot, shard), received_at, conversion_id))
                WITH CLUSTERING ORDER BY (received_at DESC, conversion_id DESC)
                AND compaction = {'class': 'LeveledCompactionStrategy'}"),
        all("CREATE TABLE IF NOT EXISTS {keyspace}.list_years (
                list text, year int,
                PRIMARY KEY (list, year))
                WITH CLUSTERING ORDER BY (year DESC)
                AND compaction = {'class': 'LeveledCompactionStrategy'}"),
        all("CREATE TABLE IF NOT EXISTS {keyspace}.list_slots (
                list text, year int, slot timestamp, shard tinyint,
                PRIMARY KEY ((list, year), slot, shard))
                WITH CLUSTERING ORDER BY (slot DESC, shard ASC)
                AND compaction = {'class': 'LeveledCompactionStrategy'}"),
        all("CREATE TABLE IF NOT EXISTS {keyspace}.commissions (
                conversion_id blob, revision bigint, merchant_id text, livemode boolean, external_order_id text,
                affiliate_id text, campaign_id text, state text, amount_minor bigint, currency text, level text, rule_id text,
                rate text, order_amount_minor bigint, refunded_thousandths bigint,
                hold_until timestamp, at timestamp,
                PRIMARY KEY (conversion_id, revision))
                WITH CLUSTERING ORDER BY (revision DESC)
                AND compaction = {'class': 'LeveledCompactionStrategy'}"),
        all("CREATE TABLE IF NOT EXISTS {keyspace}.ledger_entries (
                affiliate_id text, currency text, livemode boolean, slot timestamp, shard tinyint, at timestamp, entry_id text,
                conversion_id blob, revision bigint, merchant_id text, debit text, credit text, amount_minor bigint,
                PRIMARY KEY ((affiliate_id, currency, livemode, slot, shard), at, entry_id))
                WITH CLUSTERING ORDER BY (at DESC, entry_id DESC)
                AND compaction = {'class': 'SizeTieredCompactionStrategy'}"),
        all("CREATE TABLE IF NOT EXISTS {keyspace}.ledger_entries_by_conversion (
                conversion_id blob, revision bigint, entry_id text, affiliate_id text, currency text, livemode boolean,
                at timestamp, merchant_id text, debit text, credit text, amount_minor bigint,
                PRIMARY KEY (conversion_id, revision, entry_id))
                WITH compaction = {'class': 'SizeTieredCompactionStrategy'}"),
        all("CREATE TABLE IF NOT EXISTS {keyspace}.balances (
                affiliate_id text, currency text, livemode boolean, account text, balance_minor varint, entry_count bigint,
                entry_id text, at timestamp,
                PRIMARY KEY ((affiliate_id, currency, livemode), account))
                WITH compaction = {'class': 'LeveledCompactionStrategy'}"),
        // How far a topic's partition has been written.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.positions (
                topic text, partition int, next_offset bigint,
                PRIMARY KEY (topic, partition))"),
        // Which log the rows and positions are of. One row, unless two logs were fed into one keyspace at once.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.log_identity (
                place text, identity text,
                PRIMARY KEY (place, identity))"),
    ],
};

/// A conversion that was written before has none.
const SUGGESTED_AFFILIATE: Migration = Migration {
    version: 2,
    name: "suggested affiliate",
    statements: &[adding(
        "conversion",
        "suggested_affiliate_id",
        "ALTER TYPE {keyspace}.conversion ADD suggested_affiliate_id text",
    )],
};

/// An entry that was written before is of no review, and a conversion that was has no explanation. Both are JSON, since each
/// is read whole and asked for by nothing in it.
const REVIEWS_AND_EXPLANATION: Migration = Migration {
    version: 3,
    name: "reviews and explanation",
    statements: &[
        adding_column("conversions", "review", "ALTER TABLE {keyspace}.conversions ADD review text"),
        adding("conversion", "explanation", "ALTER TYPE {keyspace}.conversion ADD explanation text"),
    ],
};

const PAYOUTS: Migration = Migration {
    version: 4,
    name: "payouts",
    statements: &[
        // One partition is one payout: 1 is that it was made, 2 what became of it. Its key is a digest of the id, as in the list.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.payouts (
                payout_digest blob, change tinyint, payout_id text, number bigint, affiliate_id text, currency text,
                livemode boolean, state text, amount_minor bigint, cut_off timestamp, entries_to bigint,
                retries frozen<list<text>>, debit text, debit_entries bigint, credit text, credit_entries bigint,
                reference text, at timestamp,
                PRIMARY KEY (payout_digest, change))
                WITH compaction = {'class': 'LeveledCompactionStrategy'}"),
        // Payouts by their cut-off, in the slot of that.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.payouts_by_time (
                slot timestamp, shard tinyint, cut_off timestamp, payout_digest blob, payout_id text, state text,
                PRIMARY KEY ((slot, shard), cut_off, payout_digest))
                WITH CLUSTERING ORDER BY (cut_off DESC, payout_digest DESC)
                AND compaction = {'class': 'LeveledCompactionStrategy'}"),
    ],
};
