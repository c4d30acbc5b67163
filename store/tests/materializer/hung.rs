//! A server that hangs in the middle of a batch.

use std::sync::Arc;
use std::time::Duration;

use schemas::topics::TRANSITIONS;
use store::ReadModel;
use store::cql::{CqlReadModel, Options};
use streams::kafka::RecordReader;

use crate::common::{id, transition};
use crate::server::{keyspaces, wait};
use crate::world::{World, until};

const ORDERS: usize = 200;

/// Partitions move while nothing can be written: a member that waits for the server hears of its group all the same, drops
/// what it was at, and whoever has the partitions writes it once the server is back.
#[test]
fn partitions_move_while_the_server_hangs_and_nothing_is_left_out() {
    let server = testkit::Cql::start();
    let options = Options { request_timeout: Duration::from_secs(1), ..keyspaces(&server) };
    let world = World::new(&options);
    let [one, two] = [world.start(), world.start()];
    until(|| match [&one, &two].map(|worker| (worker.count(|progress| &progress.partitions), worker.caught_up())) {
        [(5, true), (5, true)] => Ok(()),
        standing => Err(standing),
    });
    server.stall();
    let revisions: Vec<_> =
        (0..ORDERS).map(|n| format!("A-{n}")).map(|order| (order.clone(), transition(&order, 1))).collect();
    world.write(TRANSITIONS, &revisions);
    // Each has a batch, for which it asks the server, or has given the server up.
    until(|| match [&one, &two].map(|worker| worker.cql.stats()) {
        stats if stats.iter().all(|stats| stats.writes_in_flight + stats.breaker_opened > 0) => Ok(()),
        stats => Err(stats),
    });
    let assignments = one.count(|progress| &progress.assignments);
    two.stop();
    until(|| match (one.count(|progress| &progress.assignments), one.count(|progress| &progress.lost)) {
        (now, 1..) if now > assignments => Ok(()),
        other => Err(other),
    });
    server.resume();
    let ends = world.ends();
    until(|| match world.positions() {
        Ok(positions) if positions == ends => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let model =
        CqlReadModel::new(&world.cql, Arc::new(RecordReader::open(&world.connection, "reports").expect("a reader")));
    for (order, _) in &revisions {
        let view = wait(model.conversion(id(order))).expect("they answer").expect("written");
        assert_eq!((view.conversion.revision, view.timeline.len()), (1, 2), "{order}");
    }
    one.stop();
}
