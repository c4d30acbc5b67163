//! The tables of claims.

use super::{Migration, all};

/// Those of the claims' keyspace. `schema_migrations` and `schema_lock` are not among them: they are there before.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "claims",
    statements: &[
        // Written once or twice and read by key for ever: levelled, so that a read looks into few files.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.conversion_claims (
                conversion_id blob PRIMARY KEY,
                claimed_by text,
                event_id text,
                fingerprint blob,
                kafka_partition int,
                kafka_offset bigint
            ) WITH compaction = {'class': 'LeveledCompactionStrategy'}"),
        all("CREATE TABLE IF NOT EXISTS {keyspace}.status_claims (
                digest blob PRIMARY KEY,
                claimed_by text
            ) WITH compaction = {'class': 'LeveledCompactionStrategy'}"),
        // Every row ends a day after its last use: files of one hour go as a whole. Nothing is ever deleted, and what is
        // written over has a time to live too, so what expired need not be kept longer than a node's hints are.
        all("CREATE TABLE IF NOT EXISTS {keyspace}.idempotency_keys (
                merchant_id text,
                livemode boolean,
                key text,
                body_digest blob,
                used_at bigint,
                PRIMARY KEY ((merchant_id, livemode, key))
            ) WITH default_time_to_live = 86400 AND gc_grace_seconds = 10800
              AND compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS', \
             'compaction_window_size': 1}"),
    ],
}];
