//! Whether there is anything in the keyspace.

use super::super::error::CqlError;
use super::super::link::Lane;
use super::write::Writer;

/// Says which log the keyspace is for, and not that anything was written.
const IDENTITY_TABLE: &str = "log_identity";

impl Writer {
    /// The first table that has rows, if any has.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn table_with_rows(&self) -> Result<Option<String>, CqlError> {
        let keyspace = &self.cql().options().keyspace;
        for table in self.tables().await?.iter().filter(|table| *table != IDENTITY_TABLE) {
            let call = self.cql().call(Lane::Reads).await?;
            let first = format!("SELECT * FROM {keyspace}.{table} LIMIT 1");
            let answer = call.connected().session.query_unpaged(first, ()).await;
            let rows = call.done(answer)?.into_rows_result().map_err(|error| CqlError::malformed(table, &error))?;
            if rows.rows_num() > 0 {
                return Ok(Some(table.clone()));
            }
        }
        Ok(None)
    }

    async fn tables(&self) -> Result<Vec<String>, CqlError> {
        let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let call = self.cql().call(Lane::Reads).await?;
        let answer = call.connected().session.query_unpaged(text, (&self.cql().options().keyspace,)).await;
        let malformed = |error: &dyn std::fmt::Display| CqlError::malformed("system_schema.tables", error);
        let rows = call.done(answer)?.into_rows_result().map_err(|error| malformed(&error))?;
        let rows = rows.rows::<(String,)>().map_err(|error| malformed(&error))?;
        rows.map(|row| row.map(|(name,)| name).map_err(|error| malformed(&error))).collect()
    }
}
