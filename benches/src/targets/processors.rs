//! `conversions processors` against a Kafka Streams application: the same records in topics of its own, all there when it
//! starts, on one core, exactly once with the same interval between commits.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use schemas::topics::BALANCES;
use streams::kafka::{Connection, KafkaPublisher, KafkaReader, PublisherOptions};
use streams::log::Limits;
use testkit::Kafka;

use super::result::{Figure, RowResult, Target};
use super::rig::{self, WAIT, order};
use super::{Common, say};
use crate::edge::Installation;
use crate::peers::Outcome;
use crate::peers::process::{Process, peak_bytes};
use crate::peers::streams_app::{StreamsApp, hand_over};
use crate::shop::Shops;

const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// An order has one entry, and that a balance on each side.
const BALANCES_EACH: u64 = 2;
/// The part of the orders that is not measured: with it, everything has started and a JIT has compiled.
const WARM_PARTS: u64 = 3;

/// Runs the pairs.
pub(super) fn run(common: &Common) -> Outcome<RowResult> {
    let kafka = rig::broker(common)?;
    let mut rate = Figure::new("processors against Kafka Streams, one core", "orders/s", Target::RatioAtLeast(300));
    let mut memory = Figure::new("memory of the process at its peak", "MiB", Target::RatioAtMost(33));
    let shops = Shops::now(common.merchants);
    for pair in 0..=common.pairs {
        let mut found = [(0, 0); 2];
        for ours in order(pair) {
            found[usize::from(!ours)] = one(common, &kafka, shops, pair, ours)?;
        }
        let [ours, peers] = found;
        say(&format!(
            "pair {pair}: {} against {} orders/s, {} against {} MiB",
            ours.0,
            peers.0,
            ours.1 >> 20,
            peers.1 >> 20
        ));
        if pair > 0 {
            rate.pair(ours.0, peers.0);
            memory.pair(ours.1 >> 20, peers.1 >> 20);
        }
    }
    Ok(RowResult::new("processors", common, vec![rate, memory]))
}

/// Orders a second and the peak of memory of one side.
fn one(common: &Common, kafka: &Kafka, shops: Shops, pair: u32, ours: bool) -> Outcome<(u64, u64)> {
    let folder = rig::folder(common)?;
    let prefix = format!("{}-{pair}-", if ours { "ours" } else { "streams" });
    let registry = rig::registry(folder.path(), shops, false)?;
    let interval = format!("{}ms", COMMIT_INTERVAL.as_millis());
    let settings = [("PROCESSORS_COMMIT_INTERVAL", interval.as_str()), ("PROCESSORS_WORKERS", "1")];
    let installation = rig::installation(common, kafka, &prefix, &registry, folder.path(), &settings);
    fill(kafka.bootstrap(), &prefix, shops, 0..common.orders)?;
    let process = start(common, kafka, &installation, &prefix, &registry, folder.path(), ours)?;
    let rate = rate(kafka.bootstrap(), &prefix, common.orders)?;
    let memory = peak_bytes(process.pid())?;
    process.stop()?;
    if !ours {
        hand_over(kafka.bootstrap(), &prefix)?;
    }
    rig::verify(&installation, common.orders)?;
    Ok((rate, memory))
}

fn start(
    common: &Common,
    kafka: &Kafka,
    installation: &Installation,
    prefix: &str,
    registry: &Path,
    folder: &Path,
    ours: bool,
) -> Outcome<Process> {
    if ours {
        let command = installation.command(&["--log", "warn", "processors"]);
        return Process::start("conversions processors", &command, &common.cores);
    }
    let (bootstrap, state) = (kafka.bootstrap(), folder.join("streams"));
    StreamsApp { bootstrap, prefix, registry, state: &state, commit_interval: COMMIT_INTERVAL, threads: 1 }
        .start(&common.cores)
}

/// Writes orders with a click each: the clicks first.
pub(super) fn fill(bootstrap: &str, prefix: &str, shops: Shops, orders: std::ops::Range<u64>) -> Outcome<()> {
    let connection = Connection::new(bootstrap, prefix);
    let publisher =
        KafkaPublisher::open(&connection, "fill", PublisherOptions::default()).map_err(|error| error.to_string())?;
    let clicks = orders.clone().map(|number| shops.records("order", number).0);
    crate::publish(&publisher, clicks).map_err(|error| error.to_string())?;
    crate::publish(&publisher, orders.map(|number| shops.records("order", number).1)).map_err(|error| error.to_string())
}

/// Orders a second after the first part of them.
fn rate(bootstrap: &str, prefix: &str, orders: u64) -> Outcome<u64> {
    let mut watch = Watch::open(bootstrap, prefix)?;
    let from = watch.until(orders / WARM_PARTS)?;
    let before = watch.seen;
    let ended = watch.until(orders)?;
    let micros = u64::try_from(ended.duration_since(from).as_micros()).unwrap_or(u64::MAX).max(1);
    Ok((watch.seen - before) / BALANCES_EACH * 1_000_000 / micros)
}

/// Reads the last output of all.
pub(super) struct Watch {
    reader: KafkaReader,
    seen: u64,
    heard: Instant,
}

impl Watch {
    pub(super) fn open(bootstrap: &str, prefix: &str) -> Outcome<Watch> {
        let connection = Connection::new(bootstrap, prefix);
        let topic = processors::topic(&BALANCES);
        let reader = KafkaReader::open(&connection, "watch", &[topic], &BTreeMap::new());
        Ok(Watch { reader: reader.map_err(|error| error.to_string())?, seen: 0, heard: Instant::now() })
    }

    /// Waits until so many orders at least, of all so far, have come to their end; when the last of them was seen.
    pub(super) fn until(&mut self, orders: u64) -> Outcome<Instant> {
        let (expected, mut waited) = (orders * BALANCES_EACH, Instant::now());
        while self.seen < expected {
            let came = self.reader.next(&Limits::default(), Duration::from_millis(20));
            let came = u64::try_from(came.map_err(|error| error.to_string())?.len()).unwrap_or(0);
            if came > 0 {
                (self.seen, self.heard, waited) = (self.seen + came, Instant::now(), Instant::now());
            }
            if waited.elapsed() > WAIT {
                return Err(format!("{} of {expected} balances came", self.seen));
            }
        }
        Ok(self.heard)
    }
}
