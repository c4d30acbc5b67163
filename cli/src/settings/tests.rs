//! Files and environments, and what comes of them.

use std::ffi::OsString;
use std::time::Duration;

use ingest::Config;
#[cfg(feature = "tls")]
use store::cql::{Identity, Tls};

use super::table::{Kind, TABLE};
use super::{Settings, command};

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Settings::parse(text, environment, "edge-1")
}

fn printed(settings: &Settings) -> Vec<String> {
    let mut out = Vec::new();
    command::print(settings, &mut out).expect("a vector takes it");
    let text = String::from_utf8(out).expect("UTF-8");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[track_caller]
fn check_faults(text: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let faults = parse(text, environment).expect_err("it is faulty");
    let found: Vec<&str> = faults.lines().collect();
    assert_eq!(found.len(), expected.len(), "{faults}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nshould begin with\n{expected}");
    }
}

#[test]
fn the_environment_comes_before_the_file_and_the_file_before_defaults() {
    let text = "[kafka]\nbootstrap = \"a:1\"\nprefix = \"file.\"\n\
                client.security.protocol = \"plaintext\"\nclient.\"socket.timeout.ms\" = 5_000\n\
                [ingest]\nin_flight_max = 10\nqueue_bytes_max = 0x400000\n[processors]\ncommit_interval = \"1s\"\n";
    let environment = [
        ("CONVERSIONS_KAFKA_PREFIX", "env."),
        ("CONVERSIONS_INGEST_LINGER", ""),
        ("CONVERSIONS_KAFKA_CLIENT_SASL_PASSWORD", "hunter2"),
        ("CONVERSIONS_KAFKA_CLIENT_SOCKET_TIMEOUT_MS", "6000"),
        ("CONVERSIONS_DATA", "of another command"),
        // What Kubernetes makes for services named conversions-ingest and conversions-kafka-client.
        ("CONVERSIONS_INGEST_SERVICE_HOST", "10.0.0.1"),
        ("CONVERSIONS_INGEST_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("CONVERSIONS_KAFKA_CLIENT_PORT", "tcp://10.0.0.1:1"),
    ];
    let settings = parse(text, &environment).expect("all is right");
    let lines = printed(&settings);
    for expected in [
        "kafka.bootstrap \"a:1\" line 2",
        "kafka.prefix \"env.\" CONVERSIONS_KAFKA_PREFIX",
        "kafka.client.security.protocol \"plaintext\" line 4",
        "kafka.client.socket.timeout.ms \"6000\" CONVERSIONS_KAFKA_CLIENT_SOCKET_TIMEOUT_MS",
        "kafka.client.sasl.password (hidden) CONVERSIONS_KAFKA_CLIENT_SASL_PASSWORD",
        "ingest.in_flight_max \"10\" line 7",
        "ingest.queue_bytes_max \"4MiB\" line 8",
        "ingest.linger \"2ms\" default",
        "processors.instance \"edge-1\" default",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in\n{}", lines.join("\n"));
    }
    assert_eq!(settings.get::<Duration>("processors.commit_interval"), Duration::from_secs(1));
    let debug = format!("{settings:?} {:?}", settings.connection());
    assert!(debug.contains("env.") && !debug.contains("hunter2"), "{debug}");
}

#[test]
fn all_faults_are_told_at_once_each_with_its_place() {
    let text = "kafka = { bootstrap = 3, prefix = \"a b\" }\nother = 1\n[ingest]\nin_flight = 1\n\
                in_flight_max = \"10\"\nconnections_max = 99999999999999999999\nlinger = \"5\"\nlisten = \"localhost:80\"\n\
                [[topics]]\npartitions = 1\n";
    let environment = [("CONVERSIONS_PROCESSORS_WORKERS", "65"), ("CONVERSIONS_PROCESSORS_WORKER", "1")];
    check_faults(
        text,
        &environment,
        &[
            "line 1: kafka.bootstrap \"3\" must be a text in quotes: host:port",
            "line 1: kafka.prefix \"a b\" must be empty, or up to 100",
            "line 2: there is no setting \"other\": sections are kafka, cql, registry, ingest, processors, materializer, webhooks, topics",
            "line 4: there is no setting \"ingest.in_flight\": must be one of ingest.listen, ",
            "line 5: ingest.in_flight_max \"10\" must be a whole number from 1 to 1000000, without quotes",
            "line 6: ingest.connections_max \"99999999999999999999\" must be a whole number from 1 to 1000000",
            "line 7: ingest.linger \"5\" must be a duration from 0ms to 1s",
            "line 8: ingest.listen \"localhost:80\" must be an IP address and a port",
            "line 9: topics must be one table, written [topics]",
            "CONVERSIONS_PROCESSORS_WORKER: there is no such setting",
            "CONVERSIONS_PROCESSORS_WORKERS: processors.workers \"65\" must be a whole number from 1 to 64",
        ],
    );
    check_faults("[kafka\n", &[], &["line 1: must be valid TOML: "]);
}

#[test]
fn what_does_not_fit_together_is_told() {
    let text = "[topics]\nmin_insync_replicas = 3\nreplication_factor = 2\n[ingest]\nack_deadline = \"11s\"\n\
                [processors]\ntransaction_timeout = \"1s\"\ncommit_interval = \"600ms\"\n";
    check_faults(
        text,
        &[("CONVERSIONS_INGEST_DELIVERY_TIMEOUT", "2s")],
        &[
            "line 2: topics.min_insync_replicas 3 must be at most topics.replication_factor, which is 2: ",
            "line 5: ingest.request_deadline 10s must be at least ingest.ack_deadline, which is 11s: ",
            "line 7: processors.transaction_timeout 1s must be at least twice processors.commit_interval, which is 600ms",
            "CONVERSIONS_INGEST_DELIVERY_TIMEOUT: ingest.delivery_timeout 2s must be at least ingest.ack_deadline, ",
        ],
    );
}

#[test]
fn client_settings_are_checked_and_secrets_never_shown() {
    let text = "[kafka.client]\n\"acks\" = 1\n\"linger.ms\" = 5\n\"no.such.name\" = \"x\"\n\"socket.timeout.ms\" = 1\n\
                \"sasl.jaas.config\" = \"password='hunter2'\"\n\"sasl.password\" = [\"hunter2\"]\n\"log_level\" = 7\n\
                sasl.mechanism = \"plain\"\n";
    check_faults(
        text,
        &[],
        &[
            "line 2: kafka.client.acks \"1\" cannot be given: exactly-once rests on it",
            "line 3: kafka.client.linger.ms \"5\" cannot be given: give ingest.linger instead",
            "line 4: kafka.client.no.such.name \"x\" is refused by the Kafka client: No such configuration property",
            "line 5: kafka.client.socket.timeout.ms \"1\" is refused by the Kafka client: ",
            "line 6: kafka.client.sasl.jaas.config (hidden) is refused by the Kafka client: the name is unknown",
            "line 7: kafka.client.sasl.password must be a text in quotes",
            "line 8: kafka.client.log_level \"7\" cannot be given: an option of the program decides it",
            "line 9: kafka.client.sasl.mechanism \"plain\" is refused by the Kafka client: must be PLAIN, SCRAM-SHA-256",
        ],
    );
    for text in [text, "[kafka.client]\nsasl.password = \"hunter2\n", "[kafka]\nsasl.password = \"hunter2\"\n"] {
        let faults = parse(text, &[("CONVERSIONS_KAFKA_PASSWORD", "hunter2")]).expect_err("it is faulty");
        assert!(!faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let text = "[cql]\nusername = \"conversions\"\npassword = \"hunter2\"\n";
    let settings = parse(text, &[]).expect("all is right");
    let lines = printed(&settings);
    assert!(lines.iter().any(|line| line == "cql.password (hidden) line 3"), "{lines:?}");
    assert!(!format!("{lines:?} {settings:?} {:?}", settings.value("cql.password")).contains("hunter2"));
    assert_eq!(settings.get::<String>("cql.password"), "hunter2");
    let faults = parse("[cql]\npassword = [\"hunter2\"]\n", &[]).expect_err("it is no text");
    assert_eq!(faults, "line 2: cql.password (hidden) must be a text in quotes: a text that is not empty");
}

#[test]
fn what_is_of_no_use_alone_is_told() {
    check_faults("[cql]\nusername = \"a\"\n", &[], &["line 2: cql.username \"a\" is of no use without cql.password"]);
    check_faults(
        "",
        &[("CONVERSIONS_CQL_PASSWORD", "hunter2"), ("CONVERSIONS_CQL_CLAIMS_KEYSPACE", "conversions")],
        &[
            "CONVERSIONS_CQL_PASSWORD: cql.password (hidden) is of no use without cql.username",
            "CONVERSIONS_CQL_CLAIMS_KEYSPACE: cql.claims_keyspace conversions must be another than cql.keyspace",
        ],
    );
}

#[cfg(feature = "tls")]
#[test]
fn tls_to_the_shared_store_is_passed_on() {
    check_faults(
        "[cql]\ntls_cert_file = \"edge.pem\"\n",
        &[],
        &[
            "line 2: cql.tls_cert_file \"edge.pem\" is of no use without cql.tls_ca_file",
            "line 2: cql.tls_cert_file \"edge.pem\" is of no use without cql.tls_key_file",
        ],
    );
    let (authorities, own) = ("tls_ca_file = \"ca.pem\"\n", "tls_cert_file = \"a.pem\"\ntls_key_file = \"a.key\"\n");
    let passed_on = |tls: &str| {
        let text = format!("[cql]\ncontact_points = \"a:1\"\n{tls}");
        parse(&text, &[]).expect("all is right").shared_store().expect("there is one").tls
    };
    let identity = Identity { cert_file: "a.pem".into(), key_file: "a.key".into() };
    assert_eq!(passed_on(""), None);
    assert_eq!(passed_on(authorities), Some(Tls { ca_file: "ca.pem".into(), identity: None }));
    let both = format!("{authorities}{own}");
    assert_eq!(passed_on(&both), Some(Tls { ca_file: "ca.pem".into(), identity: Some(identity) }));
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_without_tls_says_how_to_build_it() {
    let text = "[kafka.client]\nsecurity.protocol = \"SASL_SSL\"\nsasl.mechanism = \"SCRAM-SHA-512\"\n\
                [cql]\ntls_ca_file = \"ca.pem\"\ntls_cert_file = \"edge.pem\"\ntls_key_file = \"edge.key\"\n";
    let faults = parse(text, &[]).expect_err("there is no TLS");
    assert_eq!(faults.lines().count(), 5, "{faults}");
    for fault in faults.lines() {
        assert!(fault.contains("built without") && fault.ends_with("cargo build --release --features tls"), "{fault}");
    }
}

#[test]
fn an_unusable_host_name_asks_for_an_instance() {
    let refused = Settings::parse("", [], "böse").expect_err("it cannot be a name");
    assert!(refused.starts_with("processors.instance must be given, since the machine's name"), "{refused}");
    Settings::parse("processors.instance = \"p-1\"", [], "böse").expect("a name is given");
}

/// The edge's own check and defaults are the table's.
#[test]
fn the_edges_ranges_are_the_tables() {
    assert_eq!(parse("", &[]).expect("defaults").ingest(), Config::default());
    for setting in TABLE.iter().filter(|setting| setting.parts().0 == "ingest" && setting.client.is_empty()) {
        let field = setting.parts().1;
        // Both ends are taken where nothing else stands against them.
        let fitting = |value: &str| {
            let ack = if field == "ack_deadline" { "" } else { "ack_deadline = \"100ms\"\n" };
            let request = if field == "request_deadline" { "" } else { "request_deadline = \"5m\"\n" };
            format!("[ingest]\n{field} = {value}\n{ack}{request}delivery_timeout = \"5m\"\n")
        };
        let (ends, beyond): ([String; 2], Vec<String>) = match setting.kind {
            Kind::Count(min, max) => {
                let below = min.checked_sub(1).map_or_else(|| "-1".to_owned(), |below| below.to_string());
                ([min.to_string(), max.to_string()], vec![below, (max + 1).to_string()])
            }
            Kind::Duration(min, max) | Kind::Bytes(min, max) => ([format!("{min:?}"), format!("{max:?}")], Vec::new()),
            Kind::Choice(_)
            | Kind::Address
            | Kind::Path
            | Kind::Hosts(_)
            | Kind::Name
            | Kind::Prefix
            | Kind::Keyspace
            | Kind::Text
            | Kind::Secret => continue,
        };
        for end in ends {
            let settings = parse(&fitting(&end), &[]).unwrap_or_else(|faults| panic!("{field} {end}: {faults}"));
            assert_eq!(settings.ingest().check(), Ok(()), "{field} {end}");
        }
        for beyond in beyond {
            assert!(parse(&fitting(&beyond), &[]).is_err(), "{field} {beyond}");
        }
    }
}
