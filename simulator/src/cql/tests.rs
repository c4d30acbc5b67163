//! What the model claims of the server's tables, asserted of the model and of a real server.
//!
//! That of many who claim at once one is first, and that nobody is told wrong while the server is killed and stalled, the
//! tests of `store` show on a real server (`store/tests/claims/race.rs` and `outage.rs`).

use std::sync::Arc;
use std::time::Duration;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use store::cql::{Attempt, ClaimTable, ConversionRow, Cql, CqlError, CqlTables, Options, Reading, migrate};
use store::{ConversionClaim, Fingerprint, IdempotencyScope, KeyUse};
use streams::sim::{Cluster, ClusterOptions, NoFaults};
use tokio::runtime::{Builder, Runtime};

use super::{Server, SimTable};
use crate::claims::Mode;
use crate::swarm::Swarm;

const ID: ConversionId = ConversionId([7; 16]);
const BOTH: [Reading; 2] = [Reading::Plain, Reading::Serial];
/// How long a real server may take to start and to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tables, and what lets time pass for them.
struct Tables<T> {
    table: T,
    runtime: Runtime,
    pass: Box<dyn Fn(Duration)>,
}

fn model() -> Tables<SimTable> {
    let cluster = Cluster::new(ClusterOptions::default(), Arc::new(NoFaults));
    let table = SimTable::new(&Server::new(1, Swarm::default(), &cluster), 0, PATIENCE);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    Tables { table, runtime, pass: Box::new(move |time| cluster.advance(time)) }
}

fn real() -> Tables<CqlTables> {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let keyspace = testkit::Cql::unique_keyspace();
    let options = Options {
        contact_points: vec![testkit::Cql::shared().contact_point().to_owned()],
        claims_keyspace: format!("{keyspace}_claims"),
        keyspace,
        replication_factor: 1,
        request_timeout: PATIENCE / 2,
        ..Options::default()
    };
    let cql = runtime.block_on(async {
        migrate(&options).await.expect("migrated");
        let cql = Cql::open(options.clone()).expect("the options make sense");
        tokio::time::timeout(PATIENCE, cql.wait_up()).await.expect("it is up in time");
        cql
    });
    Tables { table: CqlTables::new(cql), runtime, pass: Box::new(std::thread::sleep) }
}

macro_rules! of_both {
    ($($name:ident),* $(,)?) => {
        mod of_the_model {
            $(#[test] fn $name() { super::$name(super::model()); })*
        }
        mod of_a_server {
            $(#[test] fn $name() { super::$name(super::real()); })*
        }
    };
}

of_both!(
    the_first_write_makes_the_row,
    a_row_is_moved_if_it_is_where_it_was_thought_to_be,
    an_update_is_claimed_once,
    the_latest_use_of_a_key_stays_and_is_forgotten,
);

fn claim(event_id: &str, offset: u64) -> ConversionClaim {
    let fingerprint = Fingerprint { whole: offset, fields: [1, 2, 3, 4, 5, 6, 7, 8] };
    ConversionClaim { event_id: event_id.to_owned(), fingerprint, partition: 3, offset }
}

fn row(event_id: &str, offset: u64) -> ConversionRow {
    ConversionRow { claimed_by: event_id.to_owned(), claim: claim(event_id, offset) }
}

fn the_first_write_makes_the_row<T: ClaimTable>(Tables { table, runtime, .. }: Tables<T>) {
    runtime.block_on(async {
        for reading in BOTH {
            assert_eq!(table.conversion(ID, reading).await, Ok(None));
        }
        let (mine, theirs) = (row("mine", 2), row("theirs", 1));
        assert_eq!(table.insert_conversion(ID, &mine).await, Attempt::Applied);
        // Who asks again with what is there already is told so too, and not that it was applied.
        assert_eq!(table.insert_conversion(ID, &mine).await, Attempt::Present(mine.clone()));
        assert_eq!(table.insert_conversion(ID, &theirs).await, Attempt::Present(mine.clone()));
        for reading in BOTH {
            assert_eq!(table.conversion(ID, reading).await, Ok(Some(mine.clone())));
        }
    });
}

fn a_row_is_moved_if_it_is_where_it_was_thought_to_be<T: ClaimTable>(Tables { table, runtime, .. }: Tables<T>) {
    runtime.block_on(async {
        let to = claim("earlier", 1);
        assert_eq!(table.move_conversion(ID, (3, 2), &to).await, Attempt::Present(()), "nothing is there");
        assert_eq!(table.conversion(ID, Reading::Serial).await, Ok(None), "and nothing is made");
        assert_eq!(table.insert_conversion(ID, &row("mine", 2)).await, Attempt::Applied);
        for elsewhere in [(3, 3), (2, 2)] {
            assert_eq!(table.move_conversion(ID, elsewhere, &to).await, Attempt::Present(()), "{elsewhere:?}");
        }
        assert_eq!(table.move_conversion(ID, (3, 2), &to).await, Attempt::Applied);
        assert_eq!(table.move_conversion(ID, (3, 2), &to).await, Attempt::Present(()), "it is gone from there");
        let moved = ConversionRow { claimed_by: "mine".to_owned(), claim: to };
        for reading in BOTH {
            assert_eq!(table.conversion(ID, reading).await, Ok(Some(moved.clone())));
        }
        assert_eq!(table.insert_conversion(ID, &row("late", 0)).await, Attempt::Present(moved));
    });
}

fn an_update_is_claimed_once<T: ClaimTable>(Tables { table, runtime, .. }: Tables<T>) {
    let digest = [9; 16];
    runtime.block_on(async {
        assert_eq!(table.status(digest, Reading::Serial).await, Ok(None));
        assert_eq!(table.insert_status(digest, "mine").await, Attempt::Applied);
        for event_id in ["mine", "theirs"] {
            assert_eq!(table.insert_status(digest, event_id).await, Attempt::Present("mine".to_owned()));
        }
        for reading in BOTH {
            assert_eq!(table.status(digest, reading).await, Ok(Some("mine".to_owned())));
        }
        assert_eq!(table.status([8; 16], Reading::Plain).await, Ok(None));
    });
}

fn the_latest_use_of_a_key_stays_and_is_forgotten<T: ClaimTable>(Tables { table, runtime, pass }: Tables<T>) {
    let scope = IdempotencyScope { merchant_id: "mer_one".to_owned(), livemode: true };
    let used = |ms: i64, body: u8| KeyUse { at: Timestamp(1_781_429_400_000 + ms), body_digest: [body; 16] };
    let (long, short) = (Duration::from_secs(60), Duration::from_secs(2));
    runtime.block_on(async {
        assert_eq!(table.key(&scope, "key").await, Ok(None));
        for (put, age, stays) in [
            (used(5, 1), long, used(5, 1)),
            (used(4, 9), long, used(5, 1)),
            (used(6, 0), long, used(6, 0)),
            // Of one instant the greater body, whichever comes first.
            (used(6, 7), long, used(6, 7)),
            (used(6, 3), long, used(6, 7)),
            (used(7, 2), short, used(7, 2)),
        ] {
            assert_eq!(table.put_key(&scope, "key", put, age).await, Ok(()));
            assert_eq!(table.key(&scope, "key").await, Ok(Some(stays)), "after {put:?}");
        }
    });
    pass(short + Duration::from_secs(1));
    assert_eq!(runtime.block_on(table.key(&scope, "key")), Ok(None), "those before it do not come back");
}

#[test]
fn a_server_that_is_away_lets_nothing_in() {
    let Tables { table, runtime, .. } = model();
    table.server.set(0, Mode::Down);
    runtime.block_on(async {
        let (mut refused, mut away) = (0, 0);
        for number in 0..40 {
            // Who asks before it is known is told nothing, as of a server that has just died.
            let asked = async {
                (table.insert_status([number; 16], "mine").await, table.status([0; 16], Reading::Plain).await)
            };
            if let Ok((write, read)) = tokio::time::timeout(Duration::from_secs(1), asked).await {
                assert!(matches!(write, Attempt::Refused(_) | Attempt::Ambiguous(_)), "{write:?}");
                refused += u32::from(matches!(write, Attempt::Refused(_)));
                away += u32::from(matches!(read, Err(CqlError::Away(_))));
            }
        }
        assert!(refused > 0 && away > 0, "{refused} refused, {away} away");
        table.server.calm();
        for number in 0..40 {
            assert_eq!(table.status([number; 16], Reading::Serial).await, Ok(None));
        }
    });
}

#[test]
fn a_real_server_that_is_away_lets_nothing_in() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let nobody = Options { contact_points: vec!["127.0.0.1:1".to_owned()], ..Options::default() };
        let table = CqlTables::new(Cql::open(nobody).expect("the options make sense"));
        let write = table.insert_status([9; 16], "mine").await;
        assert!(matches!(write, Attempt::Refused(_)), "{write:?}");
        let read = table.status([9; 16], Reading::Plain).await;
        assert!(matches!(read, Err(CqlError::Away(_))), "{read:?}");
    });
}
