//! The edge on Kafka against the limit: a bare handler that reads the body and awaits the same produce.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use schemas::topics::CONVERSIONS;
use streams::Topic;
use testkit::Kafka;
use tokio::runtime::Runtime;

use super::result::{Figure, RowResult, Target};
use super::rig::{self, order, runtime};
use super::{Common, say};
use crate::edge::Installation;
use crate::peers::Outcome;
use crate::peers::load::{Load, Pace, Sent};
use crate::peers::process::{Process, cpu_micros};
use crate::shop::Shops;

/// The part of the edge's own maximum at which both are asked for their latency.
const LOAD_PERCENT: u64 = 70;
const PARTITIONS: &str = "6";
const TOPIC: Topic = Topic { id: 1, name: "limit" };
const NANOS: u64 = 1_000;
const PERCENT: u128 = 100;

/// What came of a load.
#[derive(Clone, Debug)]
pub(super) struct Driven {
    pub(super) sent: Sent,
    /// Processor time of an order, in nanoseconds.
    cpu: u64,
    /// The part of one core's time that the server took, in hundredths: far below all of its cores, something else was the bound.
    busy: u64,
}

/// A server and where its records go.
pub(super) struct Side {
    process: Process,
    prefix: &'static str,
    topic: Topic,
    sent: u64,
}

impl Side {
    /// Sends a load, and checks that each order that was accepted is one record.
    pub(super) fn drive(&mut self, bootstrap: &str, runtime: &Runtime, load: Load<'_>) -> Outcome<Driven> {
        let load = Load { address: rig::address(&self.process)?, ..load };
        let before = cpu_micros(self.process.pid())?;
        let sent = runtime.block_on(load.send())?;
        let cpu = cpu_micros(self.process.pid())? - before;
        self.sent += sent.orders;
        self.check(bootstrap)?;
        let busy = u64::try_from(u128::from(cpu) * PERCENT / sent.took.as_micros().max(1)).unwrap_or(u64::MAX);
        Ok(Driven { cpu: cpu * NANOS / sent.orders.max(1), busy, sent })
    }

    /// Has it take all it can until that is no more than before, as the broker then is.
    pub(super) fn warm(&mut self, common: &Common, kafka: &Kafka, runtime: &Runtime, shops: Shops) -> Outcome<()> {
        rig::until_still(common, |number| {
            let run = format!("warm-up{number}");
            let load = closed(common, shops, &run);
            Ok(self.drive(kafka.bootstrap(), runtime, load)?.sent.rate())
        })
    }

    /// The same of two loads side by side, if there is a second; what was sent of the first.
    pub(super) fn drive_both(
        &mut self,
        bootstrap: &str,
        runtime: &Runtime,
        load: Load<'_>,
        beside: Option<Load<'_>>,
    ) -> Outcome<Sent> {
        let address = rig::address(&self.process)?;
        let load = Load { address, ..load };
        let (sent, beside) = runtime.block_on(async {
            let beside = async {
                match beside {
                    Some(beside) => Load { address, ..beside }.send().await.map(|sent| sent.orders),
                    None => Ok(0),
                }
            };
            tokio::try_join!(load.send(), beside)
        })?;
        self.sent += sent.orders + beside;
        self.check(bootstrap)?;
        Ok(sent)
    }

    fn check(&self, bootstrap: &str) -> Outcome<()> {
        let records = rig::records(bootstrap, self.prefix, self.topic)?;
        if records == self.sent {
            return Ok(());
        }
        Err(format!("{} orders were accepted, and {}{} has {records} records", self.sent, self.prefix, self.topic.name))
    }
}

/// The edge, on topics of its own.
pub(super) fn edge(common: &Common, kafka: &Kafka, registry: &Path, folder: &Path) -> Outcome<(Side, Installation)> {
    let installation = rig::installation(common, kafka, "edge-", registry, folder, &[]);
    let process =
        Process::start("conversions ingest", &installation.command(&["--log", "warn", "ingest"]), &common.cores)?;
    Ok((Side { process, prefix: "edge-", topic: processors::topic(&CONVERSIONS), sent: 0 }, installation))
}

/// The bare handler, on a topic with as many partitions.
pub(super) fn limit(common: &Common, kafka: &Kafka) -> Outcome<Side> {
    kafka.topics(&["--create", "--topic", TOPIC.name, "--partitions", PARTITIONS]);
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(here.with_file_name("peer_limit"));
    command.args(["--bootstrap", kafka.bootstrap(), "--topic", TOPIC.name]);
    let process = Process::start("the bare handler", &command, &common.cores)?;
    Ok(Side { process, prefix: "", topic: TOPIC, sent: 0 })
}

/// As many orders as are taken. The address is that of whoever drives it.
pub(super) fn closed<'a>(common: &Common, shops: Shops, run: &'a str) -> Load<'a> {
    Load {
        address: ([127, 0, 0, 1], 0).into(),
        shops,
        merchant: None,
        run,
        connections: common.connections,
        time: Duration::from_secs(common.seconds),
        pace: Pace::Closed,
        follow: None,
    }
}

/// Runs the pairs.
pub(super) fn run(common: &Common) -> Outcome<RowResult> {
    let (kafka, folder, runtime) = (rig::broker(common)?, rig::folder(common)?, runtime()?);
    let shops = Shops::now(common.merchants);
    let registry = rig::registry(folder.path(), shops, true)?;
    let (edge, _installation) = edge(common, &kafka, &registry, folder.path())?;
    let mut sides = [edge, limit(common, &kafka)?];
    sides[1].warm(common, &kafka, &runtime, shops)?;
    let mut rate = Figure::new("edge on Kafka against a bare handler", "orders/s", Target::RatioAtLeast(80));
    let mut p99 = Figure::new("p99 at 70 % of the edge's maximum", "µs", Target::RatioAtMost(150));
    let mut busy = Figure::new("processor time at the maximum, of one core's", "%", Target::None);
    // At one rate, so that both have as many records in a request to the broker.
    let mut cpu = Figure::new("processor time of all but HTTP and Kafka, at that load", "ns", Target::AtMost(5_000));
    for pair in 0..=common.pairs {
        let mut drive = |what: &str, pace: Pace| -> Outcome<[Driven; 2]> {
            let (mut found, run) = ([None, None], format!("{what}{pair}"));
            let load = Load { pace, ..closed(common, shops, &run) };
            for ours in order(pair) {
                let side = usize::from(!ours);
                found[side] = Some(sides[side].drive(kafka.bootstrap(), &runtime, load)?);
            }
            Ok(found.map(|found| found.expect("both were driven")))
        };
        let [most, limit_most] = drive("most", Pace::Closed)?;
        let [calm, limit] = drive("calm", Pace::Open { rate: most.sent.rate() * LOAD_PERCENT / 100 })?;
        say(&format!(
            "pair {pair}: {} against {} orders/s, {} against {} % of a core; p99 {} against {} µs; {} against {} ns an order",
            most.sent.rate(),
            limit_most.sent.rate(),
            most.busy,
            limit_most.busy,
            calm.sent.p99(),
            limit.sent.p99(),
            calm.cpu,
            limit.cpu
        ));
        if pair > 0 {
            rate.pair(most.sent.rate(), limit_most.sent.rate());
            busy.pair(most.busy, limit_most.busy);
            p99.pair(calm.sent.p99(), limit.sent.p99());
            cpu.ours.push(calm.cpu.saturating_sub(limit.cpu));
        }
    }
    Ok(RowResult::new("edge", common, vec![rate, busy, p99, cpu]))
}
