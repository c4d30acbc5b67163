//! CQL servers: their faults, and that nothing is left of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::Cql;

use crate::gone::{self, assert_gone, processes_of};

/// Does the server answer an OPTIONS request?
fn answers(address: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(&[4, 0, 0, 0, 5, 0, 0, 0, 0])?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        std::io::Result::Ok(first == [0x84])
    };
    ask().unwrap_or(false)
}

#[test]
fn server_with_faults() {
    let cql = Cql::start();
    let (address, folder) = (cql.contact_point().to_owned(), cql.folder().to_owned());
    assert!(address.starts_with("127.0.0.1:") && answers(&address), "{address}");
    cql.query(&[
        "CREATE KEYSPACE kept WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}",
        "CREATE TABLE kept.rows (id int PRIMARY KEY, value text)",
        "INSERT INTO kept.rows (id, value) VALUES (1, 'plain')",
        "INSERT INTO kept.rows (id, value) VALUES (2, 'lightweight') IF NOT EXISTS",
    ]);

    cql.kill();
    assert!(!answers(&address), "killed");
    cql.start_again();
    let rows = cql.query(&["SELECT id, value FROM kept.rows"]);
    assert_eq!(rows, "id=1  value='plain'\nid=2  value='lightweight'\n", "what was acknowledged is kept");

    cql.stall();
    assert!(!answers(&address), "stalled");
    cql.resume();
    assert!(answers(&address), "resumed");

    assert_eq!(processes_of(&folder).len(), 2, "server and watchdog: {:?}", processes_of(&folder));
    // A stalled one goes too.
    cql.stall();
    drop(cql);
    assert_gone(&folder, Duration::ZERO);
}

#[test]
fn shared_is_one() {
    let (one, two) = (Cql::shared(), Cql::shared());
    assert!(answers(one.contact_point()));
    assert_eq!(one.contact_point(), two.contact_point());
    assert_ne!(Cql::unique_keyspace(), Cql::unique_keyspace());
}

#[test]
fn faults_name_what_is_wrong() {
    let message_of = |fault: fn()| *std::panic::catch_unwind(fault).unwrap_err().downcast::<String>().unwrap();
    let message = message_of(|| drop(Cql::shared().query(&["SELECT * FROM nothing.there"])));
    assert!(message.contains("nothing does not exist"), "{message}");
    let message = message_of(|| Cql::shared().kill());
    assert!(message.contains("start one of your own"), "{message}");
    assert!(answers(Cql::shared().contact_point()));
}

#[test]
fn killed_owner_leaves_nothing() {
    gone::with_its_owner("cql::killed_owner_leaves_nothing", || {
        let cql = Cql::start();
        (cql.folder().to_owned(), cql)
    });
}
