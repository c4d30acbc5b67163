//! Making topics and looking at them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use streams::kafka::{Admin, Connection, TopicWanted, contradictions};

use crate::support::{WAIT, World, world};

fn wanted(name: &str, partitions: u32, configs: &[(&str, &str)]) -> TopicWanted {
    let configs: BTreeMap<String, String> = configs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    TopicWanted { name: name.to_owned(), partitions, replication: Some(1), configs }
}

#[test]
fn topics_are_made_as_wanted_and_contradictions_are_told() {
    let World { connection, .. } = &world("admin", 1);
    let admin = Admin::open(connection, "admin").unwrap();
    let compacted = [
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "86400000"),
        ("min.insync.replicas", "1"),
        ("max.message.bytes", "2000000"),
        ("delete.retention.ms", "3600000"),
    ];
    let topics = [wanted("orders", 12, &compacted), wanted("letters", 1, &[("cleanup.policy", "delete")])];
    assert_eq!(admin.describe(&["orders", "letters"], WAIT).unwrap(), []);
    assert_eq!(admin.create(&topics, WAIT).unwrap(), ["orders", "letters"]);
    assert_eq!(admin.create(&topics, WAIT).unwrap(), <[String; 0]>::default(), "they are there");
    let found = admin.describe(&["letters", "nowhere", "orders"], WAIT).unwrap();
    assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["letters", "orders"]);
    assert_eq!((found[1].partitions, found[1].replication), (12, 1));
    assert!(contradictions(&topics[0], &found[1]).is_empty());
    assert!(contradictions(&topics[1], &found[0]).is_empty());
    let other = wanted("orders", 6, &[("retention.ms", "1"), ("cleanup.policy", "delete,compact"), ("no.such", "x")]);
    assert_eq!(
        contradictions(&other, &found[1]),
        [
            "topic orders has 12 partitions and must have 6: keys would be elsewhere, so it has to be made anew",
            "topic orders: no.such is not known to the brokers and must be \"x\": alter it with kafka-configs",
            "topic orders: retention.ms is \"86400000\" and must be \"1\": alter it with kafka-configs",
        ]
    );
}

#[test]
fn what_the_brokers_refuse_is_an_error_that_names_the_topic() {
    let World { connection, .. } = &world("admin-refused", 1);
    let admin = Admin::open(connection, "admin").unwrap();
    for (topic, problem) in [
        (wanted("none", 0, &[]), "partition"),
        (TopicWanted { replication: Some(7), ..wanted("replicas", 1, &[]) }, "replication"),
        (wanted("setting", 1, &[("cleanup.policy", "burn")]), "onfig"),
    ] {
        let error = admin.create(std::slice::from_ref(&topic), WAIT).unwrap_err().to_string();
        assert!(error.contains(&connection.name(&topic.name)) && error.contains(problem), "{error}");
    }
}

#[test]
fn a_wait_is_kept_with_no_broker_at_all() {
    let admin = Admin::open(&Connection::new("127.0.0.1:1", "nowhere-"), "admin").unwrap();
    let begun = Instant::now();
    assert!(admin.describe(&["a"], Duration::from_millis(300)).is_err());
    assert!(admin.create(&[wanted("a", 1, &[])], Duration::from_millis(300)).is_err());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
