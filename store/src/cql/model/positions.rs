//! How far the read model is, and of which log.

use schemas::topics::CATALOGUE;

use super::super::error::CqlError;
use super::super::link::Lane;
use super::batch::Batch;
use super::columns::{EPOCH, IdentityRow, PositionRow};
use super::rows::Row;
use super::write::Writer;
use crate::embedded::Positions;

/// The only place there is.
const PLACE: &str = "filled_from";

/// Why a keyspace is not for this log.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The server.
    #[error(transparent)]
    Cql(#[from] CqlError),
    /// It has the rows of another.
    #[error(
        "keyspace {keyspace} is filled from {found:?}, and this log is {ours:?}: give this one a keyspace of its own, or \
         drop that one, migrate and rebuild"
    )]
    Another {
        /// The keyspace.
        keyspace: String,
        /// The logs that it is filled from.
        found: Vec<String>,
        /// This log.
        ours: String,
    },
}

impl Writer {
    /// Makes the keyspace this log's, or sees that it is. Of two logs that come to an empty keyspace at once at most one
    /// has it; nobody has it when each saw the other.
    ///
    /// # Errors
    /// [`AdoptError::Another`], or the server does not answer.
    pub async fn adopt(&self, identity: &str) -> Result<(), AdoptError> {
        if self.identities().await?.is_empty() {
            let (place, identity) = (PLACE.to_owned(), identity.to_owned());
            let mut batch = Batch::default();
            batch.add(Row::Identity(IdentityRow { place, identity, written_at: EPOCH }));
            self.put(batch).await?;
        }
        // Each writes before it looks for the last time, so of two one sees both.
        let found = self.identities().await?;
        if found == [identity] {
            return Ok(());
        }
        let keyspace = self.cql().options().keyspace.clone();
        Err(AdoptError::Another { keyspace, found, ours: identity.to_owned() })
    }

    /// The identity of the log that the keyspace is filled from; none if it was never filled.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn identities(&self) -> Result<Vec<String>, CqlError> {
        let call = self.cql().call(Lane::Reads).await?;
        let connected = call.connected();
        let answer = connected.session.execute_unpaged(&connected.model.identity, (PLACE,)).await;
        let rows = call.done(answer)?.into_rows_result().map_err(|error| malformed(&error))?;
        let rows = rows.rows::<(String,)>().map_err(|error| malformed(&error))?;
        rows.map(|row| row.map(|(identity,)| identity).map_err(|error| malformed(&error))).collect()
    }

    /// How far each partition of each topic has been written.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn positions(&self) -> Result<Positions, CqlError> {
        let mut positions = Positions::new();
        for topic in CATALOGUE {
            let call = self.cql().call(Lane::Reads).await?;
            let connected = call.connected();
            let answer = connected.session.execute_unpaged(&connected.model.positions, (topic.name,)).await;
            let rows = call.done(answer)?.into_rows_result().map_err(|error| malformed(&error))?;
            for row in rows.rows::<(i32, i64)>().map_err(|error| malformed(&error))? {
                let (partition, next) = row.map_err(|error| malformed(&error))?;
                positions.insert((topic.number, partition.unsigned_abs()), next.unsigned_abs());
            }
        }
        Ok(positions)
    }

    /// Says how far partitions have been written: everything before these offsets. One that is further stays so.
    ///
    /// # Errors
    /// [`CqlError::Permanent`] as [`Writer::write`], which it waits like.
    ///
    /// # Panics
    /// If a partition is of a topic that there is not.
    pub async fn save_positions(&self, positions: &Positions) -> Result<(), CqlError> {
        let mut batch = Batch::default();
        for ((topic, partition), next) in positions {
            let topic = CATALOGUE.iter().find(|known| known.number == *topic).expect("a topic of the catalogue");
            let next_offset = i64::try_from(*next).unwrap_or(i64::MAX);
            batch.add(Row::Position(PositionRow {
                topic: topic.name.to_owned(),
                partition: i32::try_from(*partition).unwrap_or(i32::MAX),
                next_offset,
                written_at: EPOCH.saturating_add(next_offset),
            }));
        }
        self.put(batch).await
    }
}

fn malformed(error: &dyn std::fmt::Display) -> CqlError {
    CqlError::malformed("a position", error)
}
