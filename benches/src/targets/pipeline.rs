//! `conversions up` with its log synced, against a service on PostgreSQL with `synchronous_commit`: each begins empty, with
//! its data on the same disk, and is done when each order that it accepted has its commission.

use std::path::Path;
use std::time::{Duration, Instant};

use super::result::{Figure, RowResult, Target};
use super::rig::{self, order, runtime};
use super::{Common, say};
use crate::peers::Outcome;
use crate::peers::load::{Load, Pace};
use crate::peers::postgres::Postgres;
use crate::peers::process::{Process, peak_bytes};
use crate::shop::Shops;

/// What one side came to.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// Orders a second until all had their commission.
    rate: u64,
    /// Until the 202, in microseconds.
    p99: u64,
    /// In bytes.
    memory: u64,
}

/// Runs the pairs.
pub(super) fn run(common: &Common) -> Outcome<RowResult> {
    let mut rate = Figure::new("whole pipeline against PostgreSQL", "orders/s", Target::RatioAtLeast(500));
    let mut p99 = Figure::new("p99 until 202 at its maximum", "µs", Target::None);
    let mut memory = Figure::new("memory, the server's with it", "MiB", Target::None);
    for pair in 0..=common.pairs {
        let mut found = [Found::default(); 2];
        for ours in order(pair) {
            found[usize::from(!ours)] = one(common, pair, ours)?;
        }
        let [ours, peers] = found;
        say(&format!("pair {pair}: {} against {} orders/s", ours.rate, peers.rate));
        if pair > 0 {
            rate.pair(ours.rate, peers.rate);
            p99.pair(ours.p99, peers.p99);
            memory.pair(ours.memory >> 20, peers.memory >> 20);
        }
    }
    Ok(RowResult::new("pipeline", common, vec![rate, p99, memory]))
}

fn one(common: &Common, pair: u32, ours: bool) -> Outcome<Found> {
    let (folder, shops) = (rig::folder(common)?, Shops::now(common.merchants));
    let registry = rig::registry(folder.path(), shops, true)?;
    if ours {
        let up = rig::up(common, &registry, folder.path(), &common.cores)?;
        let found = drive(common, &up, shops, pair)?;
        return Ok(Found { memory: peak_bytes(up.pid())?, ..found });
    }
    let (server, service) = alternative(common, &registry)?;
    let found = drive(common, &service, shops, pair)?;
    Ok(Found { memory: server.bytes()? + peak_bytes(service.pid())?, ..found })
}

fn alternative(common: &Common, registry: &Path) -> Outcome<(Postgres, Process)> {
    let server = Postgres::start(&common.folder, &common.cores)?;
    let service = server.serve(registry, &common.cores)?;
    Ok((server, service))
}

fn drive(common: &Common, process: &Process, shops: Shops, pair: u32) -> Outcome<Found> {
    let run = format!("order{pair}");
    let load = Load {
        address: rig::address(process)?,
        shops,
        merchant: None,
        run: &run,
        connections: common.connections,
        time: Duration::from_secs(common.seconds),
        pace: Pace::Closed,
        follow: None,
    };
    runtime()?.block_on(async {
        rig::warm(&load).await?;
        let begun = Instant::now();
        let sent = load.send().await?;
        let settled = load.settle(&sent, rig::deadline()).await?;
        let micros = u64::try_from(settled.duration_since(begun).as_micros()).unwrap_or(u64::MAX).max(1);
        Ok(Found { rate: sent.orders * 1_000_000 / micros, p99: sent.p99(), memory: 0 })
    })
}
