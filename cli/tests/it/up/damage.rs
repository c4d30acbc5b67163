//! A log that does not read back as it was written: refused, told where, and left alone.

use std::fs;

use crate::support::text;
use crate::up::client::{CONVERSIONS, Client, ONE};
use crate::up::cluster::Cluster;
use crate::up::embedded::{Embedded, files, flip, refused};
use crate::up::orders::Order;

#[test]
fn damage_is_told_and_nothing_is_touched() {
    let mut cluster = Embedded::start();
    let orders: Vec<Order> = (0..100).map(|number| Order::new(&ONE, format!("DAMAGE-{number}"), number)).collect();
    let mut client = Client::new(&cluster.target(), &ONE);
    for order in &orders {
        let answer = client.settle(CONVERSIONS, &order.body(), None);
        assert_eq!(answer.status, 202, "order {}: {answer:?}", order.id);
    }
    cluster.stop();
    let segments = files(&cluster.data().join("log"));
    assert_eq!(segments.len(), 1, "so few orders are in one segment");
    let (segment, byte) = (&segments[0].0, segments[0].1.len() as u64 / 2);
    flip(segment, byte);
    // Whoever tries to start takes the lock.
    fs::remove_file(cluster.data().join("LOCK")).expect("there is a lock");
    let before = files(&cluster.data());

    let data = cluster.data();
    let output = refused(&["up", "--demo", "--data", data.to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(text(&output.stdout), "", "it has announced nothing");
    let place = format!("{}: byte ", segment.display());
    let (_, rest) = stderr.split_once(&place).unwrap_or_else(|| panic!("{place} expected in: {stderr}"));
    let told: u64 = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|it| it.parse().ok()).expect("a byte");
    assert!(told <= byte && byte - told < 64 << 10, "byte {byte} is in the frame at byte {told}: {stderr}");
    fs::remove_file(cluster.data().join("LOCK")).expect("it took the lock");
    let after = files(&cluster.data());
    let names =
        |files: &[(std::path::PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "a file was changed");

    flip(segment, byte);
    cluster.restart();
    for order in &orders {
        let fault = order.fault(&Client::new(&cluster.target(), &ONE).conversion(&order.id));
        assert!(fault.is_none(), "{}", fault.unwrap_or_default());
    }
}
