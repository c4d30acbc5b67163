//! How cost grows with state: `conversions processors` that knows a hundred times as many orders, against one that knows few;
//! and the memory that it takes then.

use std::time::Instant;

use tempfile::TempDir;
use testkit::Kafka;

use super::processors::{Watch, fill};
use super::result::{Figure, RowResult, Target};
use super::rig::{self, order};
use super::{Common, say};
use crate::edge::Installation;
use crate::peers::Outcome;
use crate::peers::process::{Process, peak_bytes};
use crate::shop::Shops;

const GROWS: u64 = 100;
const MEMORY_MAX_MIB: u64 = 1_024;
/// Orders that are written at once while state is filled, so that the topic is read while it is in memory.
const PORTION: u64 = 200_000;

/// An installation whose processors run all the time, and whoever reads what they write.
struct Grown<'a> {
    kafka: &'a Kafka,
    prefix: &'static str,
    shops: Shops,
    installation: Installation,
    process: Process,
    watch: Watch,
    orders: u64,
    folder: TempDir,
}

/// Runs the pairs.
pub(super) fn run(common: &Common) -> Outcome<RowResult> {
    let kafka = rig::broker(common)?;
    let mut rate = Figure::new("orders a second with 100 times the state", "orders/s", Target::RatioAtLeast(80));
    let mut memory = Figure::new("memory of the process with that state", "MiB", Target::AtMost(MEMORY_MAX_MIB));
    let mut sides =
        [grow(common, &kafka, "much-", common.orders * GROWS)?, grow(common, &kafka, "little-", common.orders)?];
    for pair in 0..=common.pairs {
        let mut found = [0; 2];
        for ours in order(pair) {
            found[usize::from(!ours)] = sides[usize::from(!ours)].take(common.orders)?;
        }
        say(&format!("pair {pair}: {} against {} orders/s", found[0], found[1]));
        if pair > 0 {
            rate.pair(found[0], found[1]);
        }
    }
    memory.ours.push(peak_bytes(sides[0].process.pid())? >> 20);
    for side in sides {
        side.end()?;
    }
    Ok(RowResult::new("growth", common, vec![rate, memory]))
}

fn grow<'a>(common: &Common, kafka: &'a Kafka, prefix: &'static str, orders: u64) -> Outcome<Grown<'a>> {
    let (folder, shops) = (rig::folder(common)?, Shops::now(common.merchants));
    let registry = rig::registry(folder.path(), shops, false)?;
    let settings = [("PROCESSORS_COMMIT_INTERVAL", "100ms"), ("PROCESSORS_WORKERS", "1")];
    let installation = rig::installation(common, kafka, prefix, &registry, folder.path(), &settings);
    let command = installation.command(&["--log", "warn", "processors"]);
    let process = Process::start("conversions processors", &command, &common.cores)?;
    let watch = Watch::open(kafka.bootstrap(), prefix)?;
    let mut grown = Grown { kafka, prefix, shops, installation, process, watch, orders: 0, folder };
    while grown.orders < orders {
        grown.take(PORTION.min(orders - grown.orders))?;
    }
    say(&format!("{prefix}: {} orders of state", grown.orders));
    Ok(grown)
}

impl Grown<'_> {
    /// Has so many new orders processed, each with a click of its own; orders a second.
    fn take(&mut self, orders: u64) -> Outcome<u64> {
        let numbers = self.orders..self.orders + orders;
        let begun = Instant::now();
        fill(self.kafka.bootstrap(), self.prefix, self.shops, numbers)?;
        self.orders += orders;
        let ended = self.watch.until(self.orders)?;
        let micros = u64::try_from(ended.duration_since(begun).as_micros()).unwrap_or(u64::MAX).max(1);
        Ok(orders * 1_000_000 / micros)
    }

    fn end(self) -> Outcome<()> {
        let Grown { installation, process, orders, folder, .. } = self;
        process.stop()?;
        rig::verify(&installation, orders)?;
        drop(folder);
        Ok(())
    }
}
