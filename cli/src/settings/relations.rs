//! The settings as the crates below take them, and what must hold between one and another.

use std::time::Duration;

use ingest::Config;
use streams::kafka::{Connection, SettingError};
use webhooks::{ClientOptions, SenderOptions};

use super::faults::FaultList;
use super::value::{FromValue, Value};
use super::{Origin, Settings};
use crate::error::CliError;

/// Reports what does not fit together, on whichever of the two was given.
pub(super) fn check(settings: &Settings, faults: &mut FaultList<'_>) {
    let durations = [
        ("ingest.request_deadline", "ingest.ack_deadline", "", 1, "a report waits for the log that long"),
        (
            "ingest.delivery_timeout",
            "ingest.ack_deadline",
            "",
            1,
            "whoever waits that long may still be told of success",
        ),
        ("processors.transaction_timeout", "processors.commit_interval", "twice ", 2, "a step must end well within it"),
    ];
    for (longer, shorter, times, factor, why) in durations {
        let too_short = |a: &Duration, b: &Duration| *a < *b * factor;
        relation(settings, faults, (longer, shorter), too_short, &format!("at least {times}{shorter}"), why);
    }
    relation(
        settings,
        faults,
        ("topics.min_insync_replicas", "topics.replication_factor"),
        |least: &u64, all: &u64| least > all,
        "at most topics.replication_factor",
        "otherwise nothing can be written",
    );
    check_cql(settings, faults);
    if faults.is_empty()
        && let Err(error) = settings.ingest().check()
    {
        faults.add(&Origin::Default, format!("ingest.{error}"));
    }
}

/// Reports what of the CQL store's settings is of no use alone, or in this build.
fn check_cql(settings: &Settings, faults: &mut FaultList<'_>) {
    let pairs = [
        ("cql.username", "cql.password"),
        ("cql.password", "cql.username"),
        ("cql.tls_cert_file", "cql.tls_key_file"),
        ("cql.tls_key_file", "cql.tls_cert_file"),
        // Whoever means to show a certificate means to see one.
        ("cql.tls_cert_file", "cql.tls_ca_file"),
    ];
    for (name, other) in pairs {
        let (found, other_found) = (&settings.values[name], &settings.values[other]);
        // One that is faulty is not absent.
        let is_absent = other_found.value.is_none() && other_found.origin == Origin::Default;
        if let (Some(value), true) = (&found.value, is_absent) {
            let shown = if let Value::Secret(_) = value { value.to_string() } else { format!("{value:?}") };
            faults
                .add(&found.origin, format!("{name} {shown} is of no use without {other}: give both, or not this one"));
        }
    }
    relation(
        settings,
        faults,
        ("cql.claims_keyspace", "cql.keyspace"),
        |claims: &String, model: &String| claims == model,
        "another than cql.keyspace",
        "rows that are compared and set have a keyspace of their own",
    );
    for name in ["cql.tls_ca_file", "cql.tls_cert_file", "cql.tls_key_file"] {
        let found = &settings.values[name];
        if let (Some(value), false) = (&found.value, cfg!(feature = "tls")) {
            faults.add(&found.origin, format!("{name} {value} {}", needs_tls()));
        }
    }
}

/// What ends a fault of a setting that this build has no TLS for.
pub(super) fn needs_tls() -> String {
    format!("{}; OpenSSL's headers are needed: cargo build --release --features tls", SettingError::NeedsTls)
}

/// Reports a setting of which something does not hold in relation to another; those that are faulty are passed over.
fn relation<T: FromValue>(
    settings: &Settings,
    faults: &mut FaultList<'_>,
    (name, other): (&str, &str),
    is_wrong: impl Fn(&T, &T) -> bool,
    must_be: &str,
    why: &str,
) {
    let (found, found_other) = (&settings.values[name], &settings.values[other]);
    let (Some(value), Some(value_other)) = (&found.value, &found_other.value) else { return };
    let (Some(a), Some(b)) = (T::from_value(value), T::from_value(value_other)) else { return };
    if is_wrong(&a, &b) {
        let origin = if found.origin == Origin::Default { &found_other.origin } else { &found.origin };
        faults.add(origin, format!("{name} {value} must be {must_be}, which is {value_other}: {why}"));
    }
}

impl Settings {
    /// The bounds of the edge.
    pub(crate) fn ingest(&self) -> Config {
        Config {
            body_bytes_max: self.get("ingest.body_bytes_max"),
            batch_bytes_max: self.get("ingest.batch_bytes_max"),
            batch_bodies_max: self.get("ingest.batch_bodies_max"),
            body_deadline: self.get("ingest.body_deadline"),
            idle_deadline: self.get("ingest.idle_deadline"),
            request_deadline: self.get("ingest.request_deadline"),
            ack_deadline: self.get("ingest.ack_deadline"),
            store_deadline: self.get("ingest.store_deadline"),
            shutdown_deadline: self.get("ingest.shutdown_deadline"),
            retry_after: self.get("ingest.retry_after"),
            in_flight_max: self.get("ingest.in_flight_max"),
            merchant_share_percent: self.get("ingest.merchant_share_percent"),
            lane_seats_max: self.get("ingest.lane_seats_max"),
            trusted_proxies: self.get("ingest.trusted_proxies"),
            replays_max: self.get("ingest.replays_max"),
            connections_max: self.get("ingest.connections_max"),
            recent_claims_max: self.get("ingest.recent_claims_max"),
            clicks_in_flight_max: self.get("ingest.clicks_in_flight_max"),
        }
    }

    /// How webhooks are sent.
    pub(crate) fn webhooks_client(&self) -> ClientOptions {
        ClientOptions {
            timeout: self.get("webhooks.timeout"),
            allow_private_addresses: self.get::<String>("webhooks.allow_private_addresses") == "yes",
        }
    }

    /// How many webhooks are sent at once.
    pub(crate) fn webhooks_sender(&self) -> SenderOptions {
        SenderOptions {
            in_flight_max: self.get("webhooks.in_flight_max"),
            in_flight_per_endpoint_max: self.get("webhooks.in_flight_per_endpoint_max"),
            waiting_max: self.get("webhooks.waiting_max"),
        }
    }

    /// How to reach Kafka.
    ///
    /// # Errors
    /// `kafka.bootstrap` is not given.
    pub(crate) fn connection(&self) -> Result<Connection, CliError> {
        let bootstrap = self.value("kafka.bootstrap").and_then(String::from_value).ok_or_else(|| {
            CliError::Usage(
                "kafka.bootstrap must be given: in the file of --config, or as CONVERSIONS_KAFKA_BOOTSTRAP".to_owned(),
            )
        })?;
        let mut connection = Connection::new(&bootstrap, &self.get::<String>("kafka.prefix"));
        for (name, found) in &self.client {
            connection
                .set(name, &found.value)
                .map_err(|error| CliError::Usage(format!("kafka.client.{name} {error}")))?;
        }
        Ok(connection)
    }
}
