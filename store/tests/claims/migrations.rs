//! Tables made, by several at once and again, and refused if they are others.

use store::cql::{Applied, Cql, Health, MigrateError, Options, migrate};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cql::{PATIENCE, open, options, runtime, session, wait_up};

async fn execute(options: &Options, statement: &str) {
    let statement = statement.replace("{claims}", &options.claims_keyspace).replace("{model}", &options.keyspace);
    session(options).await.query_unpaged(statement, ()).await.expect("executed");
}

/// What so many processes apply between them.
async fn at_once(processes: usize, options: &Options) -> Vec<Applied> {
    let mut runs = JoinSet::new();
    for _ in 0..processes {
        let options = options.clone();
        runs.spawn(async move { migrate(&options).await.expect("migrated") });
    }
    let mut applied: Vec<_> = runs.join_all().await.into_iter().flatten().collect();
    applied.sort_by_key(|applied| applied.version);
    applied
}

#[test]
fn several_at_once_and_again_migrate_once() {
    runtime().block_on(async {
        let options = options(testkit::Cql::shared());
        let applied = at_once(4, &options).await;
        let of = |keyspace: &str| -> Vec<i32> {
            applied.iter().filter(|applied| applied.keyspace == keyspace).map(|applied| applied.version).collect()
        };
        assert_eq!(of(&options.claims_keyspace), [1], "each by one of them");
        assert_eq!(of(&options.keyspace), [1, 2, 3, 4], "each by one of them");
        assert_eq!(applied.len(), 5);
        assert_eq!(migrate(&options).await.expect("migrated"), [], "nothing is missing");
        open(&options).await;
        // The lock was given back.
        let text = format!("SELECT holder FROM {}.schema_lock", options.claims_keyspace);
        let rows = session(&options).await.query_unpaged(text, ()).await.expect("read").into_rows_result();
        assert_eq!(rows.expect("rows").rows_num(), 0);
    });
}

#[test]
fn what_a_crash_left_is_made_good() {
    runtime().block_on(async {
        let options = options(testkit::Cql::shared());
        migrate(&options).await.expect("migrated");
        // It had made some of the tables, and had not said so.
        execute(
            &options,
            "DELETE FROM {claims}.schema_migrations WHERE keyspace_name = '{claims}' AND version = 1 IF EXISTS",
        )
        .await;
        execute(&options, "DROP TABLE {claims}.status_claims").await;
        // And held the lock.
        execute(
            &options,
            "INSERT INTO {claims}.schema_lock (name, holder) VALUES ('schema', 'dead') IF NOT EXISTS USING TTL 3",
        )
        .await;
        let applied = migrate(&options).await.expect("migrated");
        assert_eq!(applied.iter().map(|applied| applied.version).collect::<Vec<_>>(), [1]);
        open(&options).await;
    });
}

#[test]
fn a_field_that_a_crash_left_in_a_type_is_not_added_again() {
    runtime().block_on(async {
        let options = options(testkit::Cql::shared());
        migrate(&options).await.expect("migrated");
        let forget = "DELETE FROM {claims}.schema_migrations WHERE keyspace_name = '{model}' AND version = 2 IF EXISTS";
        execute(&options, forget).await;
        let versions: Vec<i32> = at_once(2, &options).await.iter().map(|applied| applied.version).collect();
        assert_eq!(versions, [2], "by one of the two");
        assert_eq!(migrate(&options).await.expect("migrated"), [], "nothing is missing");
        let names = "SELECT field_names FROM system_schema.types WHERE keyspace_name = ? AND type_name = 'conversion'";
        let rows = session(&options).await.query_unpaged(names, (&options.keyspace,)).await.expect("read");
        let rows = rows.into_rows_result().expect("rows");
        let (fields,) = rows.single_row::<(Vec<String>,)>().expect("the type");
        assert_eq!(fields.iter().filter(|field| *field == "suggested_affiliate_id").count(), 1, "{fields:?}");
        open(&options).await;
    });
}

#[test]
fn a_migration_that_is_another_one_is_refused() {
    runtime().block_on(async {
        let options = options(testkit::Cql::shared());
        migrate(&options).await.expect("migrated");
        let change = "UPDATE {claims}.schema_migrations SET checksum = 'another' WHERE keyspace_name = '{claims}' AND version = 1 IF EXISTS";
        execute(&options, change).await;
        match migrate(&options).await {
            Err(MigrateError::Changed { keyspace, version: 1, name: "claims" }) => {
                assert_eq!(keyspace, options.claims_keyspace);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn tables_of_a_newer_program_are_refused() {
    runtime().block_on(async {
        let options = options(testkit::Cql::shared());
        migrate(&options).await.expect("migrated");
        let insert = "INSERT INTO {claims}.schema_migrations (keyspace_name, version, name, checksum) VALUES ('{model}', 999, 'later', 'x') IF NOT EXISTS";
        execute(&options, insert).await;
        let expected = migrate(&options).await.expect_err("newer");
        assert!(matches!(expected, MigrateError::Newer { found: 999, .. }), "{expected}");
        let cql = Cql::open(options.clone()).expect("the options make sense");
        let unfit = unfit(&cql).await;
        assert!(unfit.to_string().contains("this program is older than the schema"), "{unfit}");
    });
}

#[test]
fn whoever_waits_for_the_tables_begins_when_they_are_there() {
    runtime().block_on(async {
        let options = options(testkit::Cql::shared());
        let cql = Cql::open(options.clone()).expect("the options make sense");
        let unfit = unfit(&cql).await;
        let expected = Health::SchemaMissing { keyspace: options.claims_keyspace.clone(), found: None, expected: 1 };
        assert_eq!(unfit, expected);
        assert!(unfit.to_string().contains("run `conversions migrate`"), "{unfit}");
        migrate(&options).await.expect("migrated");
        wait_up(&cql).await;
    });
}

/// Waits until it is known that the tables are no good.
async fn unfit(cql: &Cql) -> Health {
    let known = async {
        while !matches!(cql.health(), Health::SchemaMissing { .. }) {
            sleep(std::time::Duration::from_millis(20)).await;
        }
        cql.health()
    };
    timeout(PATIENCE, known).await.unwrap_or_else(|_| panic!("it is {}", cql.health()))
}
