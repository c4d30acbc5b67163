//! Applying what is missing, and checking that nothing is.
//!
//! # Order of operations, and what a crash leaves
//!
//! Keyspaces, the list of what was applied, and the lock, each made if it is missing → the lock → for each migration that
//! is not in the list: its statements, then its line in the list → the tables' agreement among all nodes → the lock is given
//! back. A crash leaves tables without their line, which are made again, that is not at all; and the lock, which lasts for
//! [`LOCK_TTL_S`] and no longer.
//!
//! The lock is a conditional write with a time to live, renewed before each statement. On Cassandra, whose nodes do not
//! agree on a table before it is made, the very first run on a new cluster of several nodes should be one process: the table of
//! the lock has no lock yet.

use std::fmt;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::serialize::row::SerializeRow;
use scylla::statement::Statement;
use tokio::time::{Instant, sleep};

use super::super::answer::applied;
use super::super::error::CqlError;
use super::super::health::Health;
use super::super::options::Options;
use super::super::session::{Server, connect, server};
use super::{Added, Change, MigrateError, Migration, Recorded, Tables, missing};

/// How long one statement may take: tables are made in a second, or many if the server is busy.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a lock lasts that is not renewed: longer than a statement may take.
const LOCK_TTL_S: i32 = 60;
/// How long another's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(180);
const LOCK_PAUSE: Duration = Duration::from_millis(200);
/// Most tries of a conditional write whose answer is lost.
const TRIES_MAX: u32 = 5;

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// To whose tables.
    pub keyspace: String,
    /// Its number.
    pub version: i32,
    /// What it is about.
    pub name: &'static str,
}

/// Tables that are not those that this program knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) keyspace: String,
    pub(crate) found: Option<i32>,
    pub(crate) expected: i32,
}

impl From<Unfit> for Health {
    fn from(unfit: Unfit) -> Health {
        let Unfit { keyspace, found, expected } = unfit;
        Health::SchemaMissing { keyspace, found, expected }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Health::from(self.clone()).fmt(f)
    }
}

/// Makes the keyspaces and tables, or brings them up to date. Several processes may do this at once, and again.
///
/// Returns what was applied by this call. A keyspace that exists keeps its replication.
///
/// # Errors
/// [`MigrateError`]; what was applied before it stays.
pub async fn migrate(options: &Options) -> Result<Vec<Applied>, MigrateError> {
    options.check()?;
    let session = connect(&Options { request_timeout: STATEMENT_TIMEOUT, ..options.clone() }).await?;
    let run = Run { server: server(&session), holder: session.session_id().to_string(), session, options };
    run.make_keyspaces().await?;
    run.make_own_tables().await?;
    run.lock().await?;
    let applied = run.apply().await;
    // Whoever waits need not wait for it to expire; if this fails, it will.
    if let Err(error) = run.unlock().await {
        tracing::warn!(%error, "the lock of the migrations is left to expire");
    }
    applied
}

struct Run<'a> {
    session: Session,
    server: Server,
    /// What this run calls itself.
    holder: String,
    options: &'a Options,
}

impl Run<'_> {
    async fn make_keyspaces(&self) -> Result<(), CqlError> {
        let datacenter = match &self.options.datacenter {
            Some(name) => name.clone(),
            None => first_text(&self.session, "SELECT data_center FROM system.local WHERE key = 'local'").await?,
        };
        let factor = self.options.replication_factor;
        for tables in Tables::ALL {
            let keyspace = tables.keyspace(self.options);
            // Conditional writes were refused in keyspaces with tablets for years.
            let tablets = match (tables, self.server) {
                (Tables::Claims, Server::Scylla) => " AND tablets = {'enabled': false}",
                (Tables::Claims, Server::Cassandra) | (Tables::ReadModel, Server::Scylla | Server::Cassandra) => "",
            };
            self.execute(format!(
                "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
                 {{'class': 'NetworkTopologyStrategy', '{datacenter}': {factor}}}{tablets}"
            ))
            .await?;
        }
        Ok(())
    }

    async fn make_own_tables(&self) -> Result<(), CqlError> {
        let keyspace = &self.options.claims_keyspace;
        self.execute(format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.schema_migrations (keyspace_name text, version int, name text, \
             checksum text, applied_at timestamp, PRIMARY KEY (keyspace_name, version))"
        ))
        .await?;
        self.execute(format!("CREATE TABLE IF NOT EXISTS {keyspace}.schema_lock (name text PRIMARY KEY, holder text)"))
            .await
    }

    async fn apply(&self) -> Result<Vec<Applied>, MigrateError> {
        let mut done = Vec::new();
        for tables in Tables::ALL {
            let keyspace = tables.keyspace(self.options);
            let recorded = recorded(&self.session, self.options, tables, true).await?;
            for migration in missing(tables.migrations(), &recorded, keyspace)? {
                for change in migration.statements {
                    let is_meant = change.only_on.is_none_or(|only_on| only_on == self.server);
                    if is_meant && !self.is_added(keyspace, change).await? {
                        self.renew().await?;
                        self.execute(change.cql.replace("{keyspace}", keyspace)).await?;
                    }
                }
                self.renew().await?;
                self.record(keyspace, migration).await?;
                tracing::info!(keyspace, version = migration.version, name = migration.name, "migrated");
                done.push(Applied { keyspace: keyspace.to_owned(), version: migration.version, name: migration.name });
            }
        }
        let agreed = self.session.await_schema_agreement().await;
        agreed.map_err(|error| CqlError::Transient(format!("the nodes do not agree on the tables: {error}")))?;
        Ok(done)
    }

    /// Whether what a change adds is there, by a run that died before saying so.
    async fn is_added(&self, keyspace: &str, change: &Change) -> Result<bool, CqlError> {
        match change.adds {
            Some(Added { is_column: false, to, name }) => self.has_field(keyspace, to, name).await,
            Some(Added { is_column: true, to, name }) => self.has_column(keyspace, to, name).await,
            None => Ok(false),
        }
    }

    async fn has_column(&self, keyspace: &str, table: &str, column: &str) -> Result<bool, CqlError> {
        let text = "SELECT column_name FROM system_schema.columns \
                    WHERE keyspace_name = ? AND table_name = ? AND column_name = ?";
        let rows = self.session.query_unpaged(text, (keyspace, table, column)).await?.into_rows_result();
        let malformed = |error: &dyn fmt::Display| CqlError::malformed("system_schema.columns", error);
        let rows = rows.map_err(|error| malformed(&error))?;
        Ok(rows.maybe_first_row::<(String,)>().map_err(|error| malformed(&error))?.is_some())
    }

    async fn has_field(&self, keyspace: &str, type_name: &str, field: &str) -> Result<bool, CqlError> {
        let text = "SELECT field_names FROM system_schema.types WHERE keyspace_name = ? AND type_name = ?";
        let rows = self.session.query_unpaged(text, (keyspace, type_name)).await?.into_rows_result();
        let malformed = |error: &dyn fmt::Display| CqlError::malformed("system_schema.types", error);
        let rows = rows.map_err(|error| malformed(&error))?;
        let row = rows.maybe_first_row::<(Vec<String>,)>().map_err(|error| malformed(&error))?;
        Ok(row.is_some_and(|(fields,)| fields.iter().any(|name| name == field)))
    }

    async fn execute(&self, text: String) -> Result<(), CqlError> {
        let shown = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = shown.chars().take(80).collect();
        let done = self.session.query_unpaged(text, ()).await.map_err(CqlError::from);
        match done {
            Ok(_) => Ok(()),
            Err(CqlError::Permanent(reason)) => Err(CqlError::Permanent(format!("{shown}…: {reason}"))),
            Err(CqlError::Transient(reason) | CqlError::Away(reason)) => {
                Err(CqlError::Transient(format!("{shown}…: {reason}")))
            }
        }
    }

    async fn lock(&self) -> Result<(), MigrateError> {
        let keyspace = &self.options.claims_keyspace;
        let insert = format!(
            "INSERT INTO {keyspace}.schema_lock (name, holder) VALUES ('schema', ?) IF NOT EXISTS USING TTL {LOCK_TTL_S}"
        );
        let began = Instant::now();
        loop {
            // Whatever it answers, the row says who has the lock.
            let answer = self.session.query_unpaged(insert.as_str(), (&self.holder,)).await.map_err(CqlError::from);
            if let Err(CqlError::Permanent(reason)) = answer {
                return Err(CqlError::Permanent(reason).into());
            }
            let holder = self.holder().await?;
            match holder {
                Some(holder) if holder == self.holder => return Ok(()),
                Some(holder) if began.elapsed() >= LOCK_WAIT => {
                    return Err(MigrateError::Locked { holder, waited_s: began.elapsed().as_secs() });
                }
                None if began.elapsed() >= LOCK_WAIT => return Err(MigrateError::LockLost),
                Some(_) | None => sleep(LOCK_PAUSE).await,
            }
        }
    }

    async fn holder(&self) -> Result<Option<String>, CqlError> {
        let keyspace = &self.options.claims_keyspace;
        let mut select = Statement::new(format!("SELECT holder FROM {keyspace}.schema_lock WHERE name = 'schema'"));
        select.set_consistency(self.options.consistency.serial_read());
        let rows = self.session.query_unpaged(select, ()).await?.into_rows_result();
        let rows = rows.map_err(|error| CqlError::malformed("schema_lock", &error))?;
        let row = rows.maybe_first_row::<(String,)>().map_err(|error| CqlError::malformed("schema_lock", &error))?;
        Ok(row.map(|(holder,)| holder))
    }

    async fn renew(&self) -> Result<(), MigrateError> {
        let keyspace = &self.options.claims_keyspace;
        let update = format!(
            "UPDATE {keyspace}.schema_lock USING TTL {LOCK_TTL_S} SET holder = ? WHERE name = 'schema' IF holder = ?"
        );
        let values = (&self.holder, &self.holder);
        if self.conditional(&update, &values).await? { Ok(()) } else { Err(MigrateError::LockLost) }
    }

    async fn record(&self, keyspace: &str, migration: &Migration) -> Result<(), MigrateError> {
        let insert = format!(
            "INSERT INTO {}.schema_migrations (keyspace_name, version, name, checksum, applied_at) \
             VALUES (?, ?, ?, ?, toTimestamp(now())) IF NOT EXISTS",
            self.options.claims_keyspace
        );
        // If it is there already it is this one's, whose answer was lost: the lock is.
        let values = (keyspace, migration.version, migration.name, migration.checksum());
        self.conditional(&insert, &values).await?;
        Ok(())
    }

    async fn unlock(&self) -> Result<(), CqlError> {
        let keyspace = &self.options.claims_keyspace;
        let delete = format!("DELETE FROM {keyspace}.schema_lock WHERE name = 'schema' IF holder = ?");
        self.conditional(&delete, &(&self.holder,)).await.map(drop)
    }

    /// Sends a conditional write until it is answered: each of them may be repeated. Whether the answer's was applied.
    async fn conditional(&self, text: &str, values: &impl SerializeRow) -> Result<bool, CqlError> {
        let mut tries = 1;
        loop {
            match self.session.query_unpaged(text, values).await.map_err(CqlError::from) {
                Ok(answer) => return applied(answer).map(|row| row.is_none()),
                Err(CqlError::Transient(_)) if tries < TRIES_MAX => sleep(LOCK_PAUSE * tries).await,
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }
}

/// What was applied to some tables, by version.
async fn recorded(
    session: &Session,
    options: &Options,
    tables: Tables,
    serial: bool,
) -> Result<Vec<Recorded>, CqlError> {
    let text =
        format!("SELECT version, checksum FROM {}.schema_migrations WHERE keyspace_name = ?", options.claims_keyspace);
    let mut select = Statement::new(text);
    select.set_consistency(if serial { options.consistency.serial_read() } else { options.consistency.driver() });
    let rows = session.query_unpaged(select, (tables.keyspace(options),)).await?.into_rows_result();
    let malformed = |error: &dyn std::fmt::Display| CqlError::malformed("schema_migrations", error);
    let rows = rows.map_err(|error| malformed(&error))?;
    let rows = rows.rows::<(i32, String)>().map_err(|error| malformed(&error))?;
    let recorded = rows.map(|row| row.map(|(version, checksum)| Recorded { version, checksum }));
    recorded.collect::<Result<_, _>>().map_err(|error| malformed(&error))
}

/// Checks that the tables are exactly those that this program knows.
pub(crate) async fn check(session: &Session, options: &Options) -> Result<Result<(), Unfit>, CqlError> {
    let keyspace = &options.claims_keyspace;
    let text =
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'schema_migrations'";
    let rows = session.query_unpaged(text, (keyspace,)).await?.into_rows_result();
    let rows = rows.map_err(|error| CqlError::malformed("system_schema.tables", &error))?;
    if rows.rows_num() == 0 {
        let expected = Tables::Claims.migrations().len();
        return Ok(Err(Unfit { keyspace: keyspace.clone(), found: None, expected: version(expected) }));
    }
    for tables in Tables::ALL {
        let found = recorded(session, options, tables, false).await?.iter().map(|recorded| recorded.version).max();
        let expected = version(tables.migrations().len());
        if found.unwrap_or(0) != expected {
            return Ok(Err(Unfit { keyspace: tables.keyspace(options).to_owned(), found, expected }));
        }
    }
    Ok(Ok(()))
}

/// The version of the last of so many.
fn version(migrations: usize) -> i32 {
    i32::try_from(migrations).expect("migrations are few")
}

async fn first_text(session: &Session, text: &str) -> Result<String, CqlError> {
    let rows = session.query_unpaged(text, ()).await?.into_rows_result();
    let rows = rows.map_err(|error| CqlError::malformed(text, &error))?;
    let (found,) = rows.first_row::<(String,)>().map_err(|error| CqlError::malformed(text, &error))?;
    Ok(found)
}
