//! A server that is killed, or hangs, while it is written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use schemas::topics::TRANSITIONS;
use store::cql::{Options, Writer};
use store::embedded::Positions;
use testkit::Cql as Server;
use tokio::time::timeout;

use super::common::transition;
use super::dump::dump;
use super::logs::{log, record};
use super::server::{keyspaces, open, runtime, wait};
use super::writes::assert_same;

#[test]
fn all_is_written_though_the_server_is_killed_and_hangs_meanwhile() {
    let server = Server::start();
    let records = log(40, 5);
    let calm = keyspaces(&server);
    wait(Writer::new(&open(&calm)).write(&records)).expect("written");
    let expected = dump(&calm);

    let options = Options { request_timeout: Duration::from_millis(500), ..keyspaces(&server) };
    let cql = open(&options);
    let writer = Writer::new(&cql);
    let written = Arc::new(AtomicBool::new(false));
    let writing = runtime().spawn({
        let (writer, records, written) = (writer.clone(), records.clone(), written.clone());
        async move {
            // Again and again, until the server has been away twice: each time as whoever starts anew does.
            let mut offset = 0;
            while !written.load(Ordering::Relaxed) {
                for batch in records.chunks(25) {
                    writer.write(batch).await.expect("written in the end");
                    offset += 1;
                    let positions = Positions::from([((TRANSITIONS.number, 0), offset)]);
                    writer.save_positions(&positions).await.expect("written in the end");
                }
            }
            offset
        }
    });
    thread::sleep(Duration::from_millis(500));
    server.kill();
    thread::sleep(Duration::from_secs(3));
    assert!(!cql.health().is_up());
    server.start_again();
    wait(cql.wait_up());
    thread::sleep(Duration::from_secs(1));
    server.stall();
    thread::sleep(Duration::from_secs(3));
    server.resume();
    wait(cql.wait_up());
    written.store(true, Ordering::Relaxed);
    let offset = wait(writing).expect("no panic");
    assert!(writer.stats().retries > 0, "{:?}", writer.stats());
    assert_eq!(wait(writer.positions()).expect("read"), Positions::from([((TRANSITIONS.number, 0), offset)]));
    let mut found = dump(&options);
    found.insert("positions".to_owned(), Vec::new());
    assert_same(&found, &expected);
}

#[test]
fn what_was_given_up_is_written_by_the_next_try() {
    let server = Server::start();
    let options = Options { request_timeout: Duration::from_millis(500), ..keyspaces(&server) };
    let cql = open(&options);
    let writer = Writer::new(&cql);
    let batch = [record(TRANSITIONS, &transition("A", 1))];
    server.stall();
    let given_up = wait(async { timeout(Duration::from_secs(2), writer.write(&batch)).await });
    assert!(given_up.is_err(), "{given_up:?}");
    server.kill();
    server.start_again();
    wait(writer.write(&batch)).expect("written");
    let found = dump(&options);
    let count = |table: &str| found[table].len();
    assert_eq!((count("conversions"), count("conversions_by_time")), (3, 1));
    assert_eq!((count("list_years"), count("list_slots")), (1, 1), "and can be found");
}
