//! What ends up in the keyspaces, whoever fills them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use schemas::topics::{CONVERSIONS, TRANSITIONS};
use store::Claims;
use store::cql::{ClaimKeeper, CqlClaims, Rebuild, RebuildError, Writer};
use streams::SystemClock;
use streams::kafka::{Overtaken, Share};
use streams::log::Limits;

use crate::common::{id, report, transition};
use crate::dump::dump;
use crate::server::{keyspaces, open, runtime, wait};
use crate::world::{IDENTITY, Worker, World, until};

const ORDERS: usize = 40;

fn orders() -> impl Iterator<Item = String> {
    (0..ORDERS).map(|number| format!("A-{number}"))
}

fn revisions(revision: i64) -> Vec<(String, schemas::records::ConversionTransitioned)> {
    orders().map(|order| (order.clone(), transition(&order, revision))).collect()
}

/// Waits until everything is written that there is.
fn reach(world: &World) {
    let ends = world.ends();
    until(|| match world.positions().expect("they answer") {
        positions if positions == ends => Ok(()),
        positions => Err(positions),
    });
}

#[test]
fn a_rebuild_ends_with_what_materializers_wrote() {
    let server = testkit::Cql::shared();
    let (filled, empty) = (keyspaces(server), keyspaces(server));
    let world = World::new(&filled);
    let reports: Vec<_> = orders().map(|order| (order.clone(), report(&order, &format!("cnvevt_{order}")))).collect();
    world.write(CONVERSIONS, &reports);
    world.write(TRANSITIONS, &revisions(1));
    let workers = [world.start(), world.start(), world.start_keeper()];
    reach(&world);
    world.write(TRANSITIONS, &revisions(2));
    reach(&world);
    let claims = CqlClaims::new(&world.cql);
    for order in orders() {
        let claim = wait(claims.conversion(id(&order))).expect("they answer").expect("made good");
        assert_eq!(claim.event_id, format!("cnvevt_{order}"));
    }
    workers.into_iter().for_each(Worker::stop);

    let cql = open(&empty);
    let (writer, limits) = (Writer::new(&cql), Limits { records_max: 7, bytes_max: 1 << 20 });
    let keeper = ClaimKeeper::new(&cql, Arc::new(SystemClock));
    let rebuild =
        Rebuild::new((&cql, &writer, keeper), &world.connection, Overtaken::Refuse, limits, runtime().handle());
    rebuild.check_log().expect("it has its beginning");
    wait(rebuild.begin(IDENTITY)).expect("it is empty");
    thread::scope(|scope| {
        for number in 0..2 {
            let rebuild = &rebuild;
            scope.spawn(move || {
                let share = Share { number, of: 2 };
                assert!(rebuild.fill(share, &AtomicBool::new(false)).expect("filled"), "nobody stopped it");
            });
        }
    });
    assert_eq!(dump(&empty), dump(&filled));
    assert!(wait(CqlClaims::new(&cql).conversion(id("A-0"))).expect("they answer").is_some(), "claims too");
    match wait(rebuild.begin(IDENTITY)) {
        Err(RebuildError::NotEmpty { keyspace, .. }) => assert_eq!(keyspace, empty.keyspace),
        other => panic!("{other:?}"),
    }
}
