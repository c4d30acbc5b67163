//! All that is in a keyspace, as the driver shows it, and by nothing that the store has of its own.

use std::collections::BTreeMap;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};
use store::cql::Options;

use super::server::wait;

/// A row: each column's name, value and write timestamp; the key's columns have none.
pub(crate) type Columns = BTreeMap<String, (Option<CqlValue>, Option<i64>)>;

/// The tables of a keyspace, each with its rows in the order of their text.
pub(crate) type Dump = BTreeMap<String, Vec<Columns>>;

/// Reads all of the read model's keyspace.
pub(crate) fn dump(options: &Options) -> Dump {
    wait(async {
        let session = session(options).await;
        let mut dump = Dump::new();
        for (table, columns) in tables(&session, &options.keyspace).await {
            dump.insert(table.clone(), rows(&session, &options.keyspace, &table, &columns).await);
        }
        dump
    })
}

/// Another client of the server.
pub(crate) async fn session(options: &Options) -> Session {
    SessionBuilder::new().known_nodes(&options.contact_points).build().await.expect("a session")
}

/// The columns of each table, and whether they are of its key.
async fn tables(session: &Session, keyspace: &str) -> BTreeMap<String, Vec<(String, bool)>> {
    let text = "SELECT table_name, column_name, kind FROM system_schema.columns WHERE keyspace_name = ?";
    let columns = session.query_unpaged(text, (keyspace,)).await.expect("read").into_rows_result().expect("rows");
    let mut tables: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for row in columns.rows::<(String, String, String)>().expect("text") {
        let (table, column, kind) = row.expect("text");
        tables.entry(table).or_default().push((column, kind != "regular"));
    }
    tables
}

async fn rows(session: &Session, keyspace: &str, table: &str, columns: &[(String, bool)]) -> Vec<Columns> {
    let selected =
        columns.iter().map(|(name, key)| if *key { name.clone() } else { format!("{name}, writetime({name})") });
    let text = format!("SELECT {} FROM {keyspace}.{table}", selected.collect::<Vec<_>>().join(", "));
    let rows = session.query_unpaged(text, ()).await.expect("read").into_rows_result().expect("rows");
    let mut found = Vec::new();
    for row in rows.rows::<Row>().expect("rows") {
        let mut values = row.expect("a row").columns.into_iter();
        let mut take = || values.next().expect("a column");
        let column = |(name, key): &(String, bool)| {
            let value = take().map(anywhere);
            let written_at = if *key { None } else { take() };
            (name.clone(), (value, written_at.and_then(|at| at.as_bigint())))
        };
        found.push(columns.iter().map(column).collect::<Columns>());
    }
    found.sort_by_cached_key(|row| format!("{row:?}"));
    found
}

/// A value without the name of the keyspace that its type is of.
fn anywhere(value: CqlValue) -> CqlValue {
    match value {
        CqlValue::UserDefinedType { name, fields, .. } => {
            let fields = fields.into_iter().map(|(name, value)| (name, value.map(anywhere))).collect();
            CqlValue::UserDefinedType { keyspace: String::new(), name, fields }
        }
        value => value,
    }
}
