//! The tables of claims, on the server.

use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::super::answer::{Present, applied};
use super::super::error::{CqlError, had_no_effect};
use super::super::link::{Cql, Lane};
use super::super::session::{Kind, Preparing};
use super::table::{Attempt, ClaimTable, ConversionRow, Reading};
use crate::claims::{ConversionClaim, Fingerprint, IdempotencyScope, KeyUse};

/// The id of no conversion: its claim is read to see whether claims can be.
const NOBODY: [u8; 16] = [0; 16];

/// The statements of claims, prepared on one session.
#[derive(Debug)]
pub(crate) struct Statements {
    insert_conversion: PreparedStatement,
    conversion: PreparedStatement,
    conversion_serial: PreparedStatement,
    move_conversion: PreparedStatement,
    insert_status: PreparedStatement,
    status: PreparedStatement,
    status_serial: PreparedStatement,
    key: PreparedStatement,
    put_key: PreparedStatement,
}

impl Statements {
    /// Prepares them.
    pub(crate) async fn prepare(preparing: &Preparing<'_>) -> Result<Statements, CqlError> {
        let keyspace = &preparing.options().claims_keyspace;
        let conversion = format!(
            "SELECT claimed_by, event_id, fingerprint, kafka_partition, kafka_offset FROM {keyspace}.conversion_claims \
             WHERE conversion_id = ?"
        );
        let status = format!("SELECT claimed_by FROM {keyspace}.status_claims WHERE digest = ?");
        let insert_conversion = format!(
            "INSERT INTO {keyspace}.conversion_claims (conversion_id, claimed_by, event_id, fingerprint, kafka_partition, \
             kafka_offset) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS"
        );
        let move_conversion = format!(
            "UPDATE {keyspace}.conversion_claims SET event_id = ?, fingerprint = ?, kafka_partition = ?, kafka_offset = ? \
             WHERE conversion_id = ? IF kafka_partition = ? AND kafka_offset = ?"
        );
        let insert_status =
            format!("INSERT INTO {keyspace}.status_claims (digest, claimed_by) VALUES (?, ?) IF NOT EXISTS");
        let key = format!(
            "SELECT body_digest, used_at FROM {keyspace}.idempotency_keys WHERE merchant_id = ? AND livemode = ? AND key = ?"
        );
        let put_key = format!(
            "INSERT INTO {keyspace}.idempotency_keys (merchant_id, livemode, key, body_digest, used_at) \
             VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
        );
        Ok(Statements {
            insert_conversion: preparing.prepare(Kind::Conditional, insert_conversion).await?,
            conversion: preparing.prepare(Kind::Read, conversion.clone()).await?,
            conversion_serial: preparing.prepare(Kind::SerialRead, conversion).await?,
            move_conversion: preparing.prepare(Kind::Conditional, move_conversion).await?,
            insert_status: preparing.prepare(Kind::Conditional, insert_status).await?,
            status: preparing.prepare(Kind::Read, status.clone()).await?,
            status_serial: preparing.prepare(Kind::SerialRead, status).await?,
            key: preparing.prepare(Kind::Read, key).await?,
            put_key: preparing.prepare(Kind::Upsert, put_key).await?,
        })
    }

    /// Asks what claims ask.
    pub(crate) async fn probe(&self, session: &Session) -> Result<(), CqlError> {
        session.execute_unpaged(&self.conversion_serial, (&NOBODY[..],)).await?;
        Ok(())
    }
}

/// The tables of claims on a server.
#[derive(Clone, Debug)]
pub struct CqlTables {
    cql: Cql,
}

impl CqlTables {
    /// Those that a handle is for.
    #[must_use]
    pub fn new(cql: Cql) -> CqlTables {
        CqlTables { cql }
    }

    async fn attempt<R>(
        &self,
        statement: impl Fn(&Statements) -> &PreparedStatement + Send,
        values: impl SerializeRow + Send,
        present: impl Fn(&Present) -> Result<R, CqlError> + Send,
    ) -> Attempt<R> {
        let call = match self.cql.call(Lane::Claims).await {
            Ok(call) => call,
            Err(error) => return Attempt::Refused(error.to_string()),
        };
        let connected = call.connected();
        let answer = connected.session.execute_unpaged(statement(&connected.claims), values).await;
        let refused = answer.as_ref().err().is_some_and(had_no_effect);
        match call.done(answer) {
            Err(error) if refused => Attempt::Refused(error.to_string()),
            Err(error) => Attempt::Ambiguous(error.to_string()),
            Ok(answer) => match applied(answer).and_then(|row| row.as_ref().map(present).transpose()) {
                Ok(None) => Attempt::Applied,
                Ok(Some(row)) => Attempt::Present(row),
                // It says something, and what it says is not known here.
                Err(error) => Attempt::Ambiguous(error.to_string()),
            },
        }
    }

    async fn ask(
        &self,
        lane: Lane,
        statement: impl Fn(&Statements) -> &PreparedStatement + Send,
        values: impl SerializeRow + Send,
    ) -> Result<QueryResult, CqlError> {
        let call = self.cql.call(lane).await?;
        let connected = call.connected();
        let answer: Result<_, ExecutionError> =
            connected.session.execute_unpaged(statement(&connected.claims), values).await;
        call.done(answer)
    }
}

fn lane(reading: Reading) -> Lane {
    match reading {
        Reading::Plain => Lane::Reads,
        Reading::Serial => Lane::Claims,
    }
}

/// The only row of an answer, if it has one.
fn row<R: for<'a> scylla::deserialize::row::DeserializeRow<'a, 'a>>(
    what: &str,
    answer: QueryResult,
) -> Result<Option<R>, CqlError> {
    let rows = answer.into_rows_result().map_err(|error| CqlError::malformed(what, &error))?;
    rows.maybe_first_row().map_err(|error| CqlError::malformed(what, &error))
}

impl ClaimTable for CqlTables {
    async fn insert_conversion(&self, id: ConversionId, row: &ConversionRow) -> Attempt<ConversionRow> {
        let ConversionRow { claimed_by, claim } = row;
        let values = (
            &id.0[..],
            claimed_by,
            &claim.event_id,
            claim.fingerprint.to_bytes().to_vec(),
            claim.partition.cast_signed(),
            claim.offset.cast_signed(),
        );
        self.attempt(|statements| &statements.insert_conversion, values, present_conversion).await
    }

    async fn conversion(&self, id: ConversionId, reading: Reading) -> Result<Option<ConversionRow>, CqlError> {
        let answer = self
            .ask(
                lane(reading),
                move |statements| match reading {
                    Reading::Plain => &statements.conversion,
                    Reading::Serial => &statements.conversion_serial,
                },
                (&id.0[..],),
            )
            .await?;
        let found = row::<(String, String, Vec<u8>, i32, i64)>("conversion_claims", answer)?;
        found
            .map(|(claimed_by, event_id, fingerprint, partition, offset)| {
                conversion_row(claimed_by, event_id, &fingerprint, partition, offset)
            })
            .transpose()
    }

    async fn move_conversion(&self, id: ConversionId, from: (u32, u64), to: &ConversionClaim) -> Attempt<()> {
        let values = (
            &to.event_id,
            to.fingerprint.to_bytes().to_vec(),
            to.partition.cast_signed(),
            to.offset.cast_signed(),
            &id.0[..],
            from.0.cast_signed(),
            from.1.cast_signed(),
        );
        self.attempt(|statements| &statements.move_conversion, values, |_| Ok(())).await
    }

    async fn insert_status(&self, digest: [u8; 16], event_id: &str) -> Attempt<String> {
        let values = (&digest[..], event_id);
        self.attempt(|statements| &statements.insert_status, values, |present| present.text("claimed_by")).await
    }

    async fn status(&self, digest: [u8; 16], reading: Reading) -> Result<Option<String>, CqlError> {
        let answer = self
            .ask(
                lane(reading),
                move |statements| match reading {
                    Reading::Plain => &statements.status,
                    Reading::Serial => &statements.status_serial,
                },
                (&digest[..],),
            )
            .await?;
        Ok(row::<(String,)>("status_claims", answer)?.map(|(claimed_by,)| claimed_by))
    }

    async fn key(&self, scope: &IdempotencyScope, key: &str) -> Result<Option<KeyUse>, CqlError> {
        let values = (&scope.merchant_id, scope.livemode, key);
        let answer = self.ask(Lane::Reads, |statements| &statements.key, values).await?;
        let found = row::<(Vec<u8>, i64)>("idempotency_keys", answer)?;
        found
            .map(|(digest, at)| match digest.try_into() {
                Ok(body_digest) => Ok(KeyUse { at: Timestamp(at), body_digest }),
                Err(_) => Err(CqlError::malformed("idempotency_keys.body_digest", &"it has another length")),
            })
            .transpose()
    }

    async fn put_key(&self, scope: &IdempotencyScope, key: &str, used: KeyUse, age: Duration) -> Result<(), CqlError> {
        // A time to live of 0 is for ever.
        let ttl_s = i32::try_from(age.as_secs()).unwrap_or(i32::MAX).max(1);
        let values = (
            &scope.merchant_id,
            scope.livemode,
            key,
            &used.body_digest[..],
            used.at.0,
            used.at.0.saturating_mul(1_000),
            ttl_s,
        );
        self.ask(Lane::Writes, |statements| &statements.put_key, values).await.map(drop)
    }
}

fn present_conversion(present: &Present) -> Result<ConversionRow, CqlError> {
    conversion_row(
        present.text("claimed_by")?,
        present.text("event_id")?,
        &present.blob("fingerprint")?,
        present.int("kafka_partition")?,
        present.bigint("kafka_offset")?,
    )
}

fn conversion_row(
    claimed_by: String,
    event_id: String,
    fingerprint: &[u8],
    partition: i32,
    offset: i64,
) -> Result<ConversionRow, CqlError> {
    let fingerprint = Fingerprint::from_bytes(fingerprint)
        .ok_or_else(|| CqlError::malformed("conversion_claims.fingerprint", &"it has another length"))?;
    let (partition, offset) = (partition.cast_unsigned(), offset.cast_unsigned());
    Ok(ConversionRow { claimed_by, claim: ConversionClaim { event_id, fingerprint, partition, offset } })
}
