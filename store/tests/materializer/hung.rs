//! A server that hangs in the middle of a batch.

use std::time::Duration;

use schemas::topics::TRANSITIONS;
use store::cql::{Options, Task};

use crate::common::transition;
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
    let [one, two] = [world.start(Task::ReadModel), world.start(Task::ReadModel)];
    until(|| match [&one, &two].map(|worker| worker.count(|progress| &progress.partitions)) {
        [4, 4] => Ok(()),
        partitions => Err(partitions),
    });
    server.stall();
    let revisions: Vec<_> =
        (0..ORDERS).map(|n| format!("A-{n}")).map(|order| (order.clone(), transition(&order, 1))).collect();
    world.write(TRANSITIONS, &revisions);
    let assignments = one.count(|progress| &progress.assignments);
    two.stop();
    until(|| match (one.count(|progress| &progress.assignments), one.count(|progress| &progress.lost)) {
        (now, lost) if now > assignments && lost > 0 => Ok(()),
        other => Err(other),
    });
    assert_eq!(world.read_model.stats().records, 0, "the server hangs, so nothing can have been written");
    server.resume();
    until(|| match world.read_model.stats().records {
        records if records >= ORDERS as u64 => Ok(()),
        records => Err(records),
    });
    let ends = world.ends();
    until(|| match wait(world.read_model.positions()) {
        Ok(positions) if positions == ends => Ok(()),
        other => Err(format!("{other:?}")),
    });
    one.stop();
}
