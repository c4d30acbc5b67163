//! Limits and deadlines, each with its unit, its range and its default.

use std::time::Duration;

/// How far a request's timestamp, or a time in it, may be from the server's clock: part of the contract.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Every bound of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest body of a request in bytes, 1 KiB to 1 MiB. Default 64 KiB.
    pub body_bytes_max: usize,
    /// Largest body of a batch in bytes, 64 KiB to 16 MiB; at least `body_bytes_max`. Default 4 MiB.
    pub batch_bytes_max: usize,
    /// Most batches at once whose bodies are larger than `body_bytes_max`, from when they are until the batch is answered,
    /// 1 to 10,000; those beyond are refused. One merchant may have `merchant_share_percent` of them. Only who names a
    /// key that there is gets to have one: a stranger's body is not kept. So they fill no more than 2 × 16 × 4 MiB =
    /// 128 MiB with the defaults. Default 16.
    pub batch_bodies_max: usize,
    /// How long a body may take to arrive, 100 ms to 5 min. Default 10 s.
    pub body_deadline: Duration,
    /// How long a connection may be idle, or take over the head of a request, or take nothing of an answer, 100 ms to
    /// 10 min. Default 30 s.
    pub idle_deadline: Duration,
    /// How long a report may wait for an equal one under way and for the log, both together, 100 ms to 5 min; at least
    /// `ack_deadline`. Each question to the claims, of which there are at most four, comes on top with its
    /// `store_deadline`. Default 10 s.
    pub request_deadline: Duration,
    /// How long the log may take to say that an event is durable, 10 ms to 5 min; then its sender is told to come again.
    /// The report keeps its place in flight until the log has decided. Default 5 s.
    pub ack_deadline: Duration,
    /// How long the claims or the read model may take over one question, 10 ms to 1 min. Default 1 s.
    pub store_deadline: Duration,
    /// How long a shutdown waits for the requests it has accepted, 0 to 10 min. Default 20 s.
    pub shutdown_deadline: Duration,
    /// What `Retry-After` says, whole seconds, 1 s to 1 h. Default 1 s.
    pub retry_after: Duration,
    /// Most API requests in flight at once, 1 to 1,000,000; those beyond are refused at once. A request counts from when
    /// its body has come and its sender is known until its report is published and claimed; a batch counts for as many as
    /// it has valid items, or as one merchant may have if that is less. Default 4,096.
    pub in_flight_max: usize,
    /// How much of `in_flight_max` one merchant may take up, in percent, 1 to 100; beyond it that merchant alone is
    /// refused. Default 75.
    pub merchant_share_percent: usize,
    /// Most requests about one thing (an order, a status of one, an idempotency key) at once, of which one goes on and
    /// the others wait, 1 to 1,000,000; those beyond are refused at once. Default 128.
    pub lane_seats_max: usize,
    /// How many proxies in front of the edge are trusted to append to `X-Forwarded-For` whom a request came from, 0 to 16.
    /// With 0 the address of the connection is the sender's. Default 0.
    pub trusted_proxies: usize,
    /// Most signatures remembered in the process for keys that want each to be taken once, 1 to 10,000,000, about 100
    /// bytes each; those beyond are refused. A signature is remembered while its timestamp would be accepted; one key may
    /// have `merchant_share_percent` of them. Default 262,144.
    pub replays_max: usize,
    /// Most connections open at once, 1 to 1,000,000; those beyond wait in the listener's backlog. Default 16,384.
    ///
    /// This also bounds the bodies that are being read and whose senders are unknown, one for each connection. Each
    /// takes at most 2 × `body_bytes_max` for itself and 32 KiB for its connection, so that strangers get to fill no
    /// more than 2.5 GiB with the defaults, and each of them for no longer than `body_deadline`.
    pub connections_max: usize,
    /// How many recent claims are remembered in the process, 1 to 100,000,000, about 100 bytes each. Default 65,536.
    pub recent_claims_max: usize,
    /// Most clicks on their way into the log at once, 1 to 1,000,000; of those beyond, the shopper is redirected and the
    /// click is lost, which `clicks_lost` counts; a service that records one is told to come again. Clicks need no key:
    /// without this bound a flood of them would fill the log's queue, and merchants would be refused. A conversion of a
    /// click lost is not attributed by itself, so raise this, and the log's queue above it, before `clicks_lost` grows in
    /// honest traffic. Default 4,096.
    pub clicks_in_flight_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            body_bytes_max: 64 << 10,
            batch_bytes_max: 4 << 20,
            batch_bodies_max: 16,
            body_deadline: Duration::from_secs(10),
            idle_deadline: Duration::from_secs(30),
            request_deadline: Duration::from_secs(10),
            ack_deadline: Duration::from_secs(5),
            store_deadline: Duration::from_secs(1),
            shutdown_deadline: Duration::from_secs(20),
            retry_after: Duration::from_secs(1),
            in_flight_max: 4_096,
            merchant_share_percent: 75,
            lane_seats_max: 128,
            trusted_proxies: 0,
            replays_max: 262_144,
            connections_max: 16_384,
            recent_claims_max: 65_536,
            clicks_in_flight_max: 4_096,
        }
    }
}

/// Which bound is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("{name} must be from {min} to {max}, not {value}")]
    Number {
        /// The field.
        name: &'static str,
        /// Its least value.
        min: usize,
        /// Its greatest value.
        max: usize,
        /// What it was set to.
        value: usize,
    },
    /// A duration is out of its range.
    #[error("{name} must be from {min:?} to {max:?}, not {value:?}")]
    Duration {
        /// The field.
        name: &'static str,
        /// Its least value.
        min: Duration,
        /// Its greatest value.
        max: Duration,
        /// What it was set to.
        value: Duration,
    },
}

impl Config {
    /// Whether every bound is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        const MILLION: usize = 1_000_000;
        for (name, value, min, max) in [
            ("body_bytes_max", self.body_bytes_max, 1 << 10, 1 << 20),
            ("batch_bytes_max", self.batch_bytes_max, self.body_bytes_max.max(64 << 10), 16 << 20),
            ("batch_bodies_max", self.batch_bodies_max, 1, 10_000),
            ("in_flight_max", self.in_flight_max, 1, MILLION),
            ("merchant_share_percent", self.merchant_share_percent, 1, 100),
            ("lane_seats_max", self.lane_seats_max, 1, MILLION),
            ("trusted_proxies", self.trusted_proxies, 0, 16),
            ("replays_max", self.replays_max, 1, 10 * MILLION),
            ("connections_max", self.connections_max, 1, MILLION),
            ("recent_claims_max", self.recent_claims_max, 1, 100 * MILLION),
            ("clicks_in_flight_max", self.clicks_in_flight_max, 1, MILLION),
        ] {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Number { name, min, max, value });
            }
        }
        let (ms, minutes) = (Duration::from_millis, |minutes: u64| Duration::from_secs(60 * minutes));
        for (name, value, min, max) in [
            ("body_deadline", self.body_deadline, ms(100), minutes(5)),
            ("idle_deadline", self.idle_deadline, ms(100), minutes(10)),
            ("ack_deadline", self.ack_deadline, ms(10), minutes(5)),
            ("request_deadline", self.request_deadline, self.ack_deadline.max(ms(100)), minutes(5)),
            ("store_deadline", self.store_deadline, ms(10), minutes(1)),
            ("shutdown_deadline", self.shutdown_deadline, Duration::ZERO, minutes(10)),
            ("retry_after", self.retry_after, ms(1_000), minutes(60)),
        ] {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Duration { name, min, max, value });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Config), expected: Option<&str>) {
        let mut config = Config::default();
        change(&mut config);
        let message = config.check().err().map(|error| error.to_string());
        assert_eq!(message.as_deref(), expected);
    }

    #[test]
    fn each_bound_is_checked() {
        check(|_| {}, None);
        check(|config| config.body_bytes_max = 1 << 20, None);
        check(
            |config| config.body_bytes_max = (1 << 20) + 1,
            Some("body_bytes_max must be from 1024 to 1048576, not 1048577"),
        );
        check(
            |config| (config.body_bytes_max, config.batch_bytes_max) = (1 << 17, (1 << 17) - 1),
            Some("batch_bytes_max must be from 131072 to 16777216, not 131071"),
        );
        check(|config| config.batch_bodies_max = 0, Some("batch_bodies_max must be from 1 to 10000, not 0"));
        check(|config| config.in_flight_max = 0, Some("in_flight_max must be from 1 to 1000000, not 0"));
        check(|config| config.retry_after = Duration::ZERO, Some("retry_after must be from 1s to 3600s, not 0ns"));
        check(
            |config| config.ack_deadline = Duration::from_secs(11),
            Some("request_deadline must be from 11s to 300s, not 10s"),
        );
    }
}
