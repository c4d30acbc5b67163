//! How far the read model is, and of which log.

use schemas::topics::{BALANCES, TRANSITIONS};
use store::cql::{AdoptError, Writer};
use store::embedded::Positions;
use testkit::Cql as Server;

use super::seed::seed;
use super::server::{keyspaces, open, wait};

#[test]
fn positions_never_go_back() {
    let options = keyspaces(Server::shared());
    let writer = Writer::new(&open(&options));
    assert_eq!(wait(writer.positions()).expect("read"), Positions::new());
    let mut expected = Positions::new();
    let mut dice = fastrand::Rng::with_seed(seed());
    for _ in 0..40 {
        let one = |dice: &mut fastrand::Rng| {
            let topic = dice.choice([TRANSITIONS, BALANCES]).expect("one of two");
            ((topic.number, dice.u32(0..3)), *dice.choice(&[0, 1, 7, 8, 1 << 20, (1 << 40) + 1]).expect("one of them"))
        };
        let positions: Positions = (0..3).map(|_| one(&mut dice)).collect();
        for (partition, next) in &positions {
            let known: &mut u64 = expected.entry(*partition).or_default();
            *known = (*known).max(*next);
        }
        wait(writer.save_positions(&positions)).expect("written");
        assert_eq!(wait(writer.positions()).expect("read"), expected);
    }
    // Nor those of a new writer's that is behind.
    let behind: Positions = expected.keys().map(|partition| (*partition, 1)).collect();
    let late = Writer::new(&open(&options));
    wait(late.save_positions(&behind)).expect("written");
    assert_eq!(wait(late.positions()).expect("read"), expected);
}

#[test]
fn a_keyspace_is_of_one_log() {
    let options = keyspaces(Server::shared());
    let writer = Writer::new(&open(&options));
    assert_eq!(wait(writer.identities()).expect("read"), [""; 0]);
    for _ in 0..2 {
        wait(writer.adopt("cluster-1/test.")).expect("ours");
    }
    let error = wait(writer.adopt("cluster-2/test.")).expect_err("another's");
    let text = error.to_string();
    assert!(text.contains(&options.keyspace) && text.contains("cluster-1") && text.contains("cluster-2"), "{text}");
    wait(writer.adopt("cluster-1/test.")).expect("still ours");
}

#[test]
fn of_two_logs_at_once_no_two_have_it() {
    let server = Server::shared();
    for _ in 0..4 {
        let cql = open(&keyspaces(server));
        let (one, other) = (Writer::new(&cql), Writer::new(&cql));
        let ended = wait(async { tokio::join!(one.adopt("cluster-1/"), other.adopt("cluster-2/")) });
        let refused = |ended: &Result<(), AdoptError>| matches!(ended, Err(AdoptError::Another { .. }));
        assert!(refused(&ended.0) || refused(&ended.1), "{ended:?}");
    }
}
