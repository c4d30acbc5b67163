//! The tables, as they came to be: a numbered list for each of the two keyspaces.
//!
//! A list only grows. What is in it was applied somewhere, and is told by its checksum: whoever changes it finds every
//! keyspace in use refused. Each statement can be applied twice, since who applied it may have died before saying so.

use sha2::{Digest, Sha256};

use super::error::CqlError;
use super::options::Options;
use super::session::Server;

mod claims;
mod read_model;
mod run;

pub use self::run::{Applied, migrate};
pub(crate) use self::run::{Unfit, check};

/// A change of the tables of one keyspace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    /// Its place in the list of its keyspace: 1, 2, 3, …
    pub(crate) version: i32,
    /// What it is about.
    pub(crate) name: &'static str,
    /// What is done, in this order.
    pub(crate) statements: &'static [Change],
}

/// A statement of a migration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The statement, with `{keyspace}` for the name of the keyspace.
    pub(crate) cql: &'static str,
    /// The only server that it is for, if it is not for all.
    pub(crate) only_on: Option<Server>,
    /// What it adds: done only where that is missing, since not every server takes a condition on that.
    pub(crate) adds: Option<Added>,
}

/// What a statement adds to what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    /// Whether it is a column of a table, or else a field of a type.
    pub(crate) is_column: bool,
    /// That table or type.
    pub(crate) to: &'static str,
    /// The column or the field.
    pub(crate) name: &'static str,
}

/// A statement for every server.
pub(crate) const fn all(cql: &'static str) -> Change {
    Change { cql, only_on: None, adds: None }
}

/// A statement for every server that adds a field to a type.
pub(crate) const fn adding(type_name: &'static str, field: &'static str, cql: &'static str) -> Change {
    Change { cql, only_on: None, adds: Some(Added { is_column: false, to: type_name, name: field }) }
}

/// A statement for every server that adds a column to a table.
pub(crate) const fn adding_column(table: &'static str, column: &'static str, cql: &'static str) -> Change {
    Change { cql, only_on: None, adds: Some(Added { is_column: true, to: table, name: column }) }
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Who was first: conditional writes only, or upserts only, in each table.
    Claims,
    /// The read model: upserts only.
    ReadModel,
}

impl Tables {
    pub(crate) const ALL: [Tables; 2] = [Tables::Claims, Tables::ReadModel];

    pub(crate) fn migrations(self) -> &'static [Migration] {
        match self {
            Tables::Claims => claims::MIGRATIONS,
            Tables::ReadModel => read_model::MIGRATIONS,
        }
    }

    pub(crate) fn keyspace(self, options: &Options) -> &str {
        match self {
            Tables::Claims => &options.claims_keyspace,
            Tables::ReadModel => &options.keyspace,
        }
    }
}

impl Migration {
    /// What tells this migration from one that was changed since. How its text is laid out is not part of it.
    pub(crate) fn checksum(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.version.to_be_bytes());
        digest.update(self.name);
        for Change { cql, only_on, adds: _ } in self.statements {
            digest.update([0]);
            digest.update(cql.split_whitespace().collect::<Vec<_>>().join(" "));
            digest.update([
                0,
                only_on.map_or(0, |server| match server {
                    Server::Scylla => 1,
                    Server::Cassandra => 2,
                }),
            ]);
        }
        digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What `schema_migrations` says of one that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) version: i32,
    pub(crate) checksum: String,
}

/// Why the tables were not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The server.
    #[error(transparent)]
    Cql(#[from] CqlError),
    /// A migration was applied with another content than this program has under its number.
    #[error(
        "migration {version} ({name}) of {keyspace} is not the one that was applied there: this program and that keyspace are \
         of two histories; use the program that made it, or another keyspace"
    )]
    Changed {
        /// Whose tables.
        keyspace: String,
        /// The number.
        version: i32,
        /// What this program has under it.
        name: &'static str,
    },
    /// The tables are of a newer program.
    #[error("{keyspace} is at version {found}, and this program knows {known}: use a newer one")]
    Newer {
        /// Whose tables.
        keyspace: String,
        /// The last that was applied.
        found: i32,
        /// The last that this program knows.
        known: i32,
    },
    /// Another process is at it.
    #[error(
        "another process ({holder}) has been migrating for {waited_s} s: wait for it, or for a minute if it has died"
    )]
    Locked {
        /// What it calls itself.
        holder: String,
        /// For how long it was waited for.
        waited_s: u64,
    },
    /// Another process took the lock from this one, which was too slow.
    #[error("the lock was lost, because a statement took longer than it lasts: run it again")]
    LockLost,
}

/// Which migrations are missing, if those that are there are ours.
pub(crate) fn missing<'a>(
    known: &'a [Migration],
    recorded: &[Recorded],
    keyspace: &str,
) -> Result<Vec<&'a Migration>, MigrateError> {
    let last = known.last().map_or(0, |migration| migration.version);
    if let Some(found) = recorded.iter().map(|recorded| recorded.version).max().filter(|found| *found > last) {
        return Err(MigrateError::Newer { keyspace: keyspace.to_owned(), found, known: last });
    }
    let mut missing = Vec::new();
    for migration in known {
        match recorded.iter().find(|recorded| recorded.version == migration.version) {
            None => missing.push(migration),
            Some(recorded) if recorded.checksum == migration.checksum() => {}
            Some(_) => {
                let Migration { version, name, .. } = *migration;
                return Err(MigrateError::Changed { keyspace: keyspace.to_owned(), version, name });
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn scylla(cql: &'static str) -> Change {
        Change { cql, only_on: Some(Server::Scylla), adds: None }
    }

    const KNOWN: &[Migration] = &[
        Migration { version: 1, name: "one", statements: &[all("CREATE TABLE {keyspace}.a")] },
        Migration { version: 2, name: "two", statements: &[scylla("ALTER TABLE {keyspace}.a")] },
    ];

    fn recorded(version: i32, checksum: String) -> Recorded {
        Recorded { version, checksum }
    }

    #[track_caller]
    fn check(there: &[Recorded], expected: Result<&[i32], &str>) {
        let found = missing(KNOWN, there, "t1").map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(found), Ok(versions)) => {
                assert_eq!(found.iter().map(|migration| migration.version).collect::<Vec<_>>(), versions);
            }
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_another() {
        let [one, two] = [KNOWN[0].checksum(), KNOWN[1].checksum()];
        check(&[], Ok(&[1, 2]));
        check(&[recorded(1, one.clone())], Ok(&[2]));
        check(&[recorded(2, two.clone()), recorded(1, one.clone())], Ok(&[]));
        check(&[recorded(1, two.clone())], Err("migration 1 (one) of t1 is not the one"));
        check(&[recorded(1, one.clone()), recorded(3, one)], Err("t1 is at version 3, and this program knows 2"));
    }

    #[test]
    fn a_checksum_is_of_the_words_and_not_of_their_layout() {
        const SAME: &[Change] = &[all("CREATE TABLE\n    {keyspace}.a")];
        const OTHERS: [&[Change]; 3] = [
            &[all("CREATE TABLE {keyspace}.b")],
            &[scylla("CREATE TABLE {keyspace}.a")],
            &[all("CREATE TABLE {keyspace}.a"), all("")],
        ];
        let of = |statements: &'static [Change]| Migration { statements, ..KNOWN[0] }.checksum();
        let same = of(SAME);
        assert_eq!(KNOWN[0].checksum(), same);
        let mut others = OTHERS.map(of).to_vec();
        others.push(Migration { version: 2, ..KNOWN[0] }.checksum());
        assert!(others.iter().all(|other| *other != same));
    }

    /// What was released is applied somewhere: a change of it is another migration, with the next number.
    #[test]
    fn the_lists_are_numbered_and_can_be_applied_twice() {
        for tables in Tables::ALL {
            for (number, migration) in (1..).zip(tables.migrations()) {
                assert_eq!(migration.version, number);
                for change in migration.statements {
                    assert!(change.cql.contains("{keyspace}."), "{}", change.cql);
                    assert!(
                        !change.cql.starts_with("CREATE") || change.cql.contains(" IF NOT EXISTS "),
                        "{}",
                        change.cql
                    );
                    let is_column = change.adds.is_some_and(|added| added.is_column);
                    let alters = if is_column { "ALTER TABLE {keyspace}." } else { "ALTER TYPE {keyspace}." };
                    let added = change.cql.split_once(alters).map(|(_, what)| what);
                    let checked = change.adds.map(|Added { to, name, .. }| format!("{to} ADD {name} "));
                    let agrees = added.map(|what| checked.as_deref().is_some_and(|start| what.starts_with(start)));
                    assert_eq!(agrees, checked.as_ref().map(|_| true), "{}", change.cql);
                }
            }
        }
        assert_eq!(Tables::Claims.migrations()[0].checksum(), "f073fed90c0db6d13243234f5cae3e43");
    }
}
