//! From 202 to the commission, as whoever asks for the order sees it, at half of what the installation takes at most.

use std::time::Instant;

use tokio::runtime::Runtime;

use super::edge::closed;
use super::result::{Figure, RowResult, Target};
use super::rig::{self, runtime};
use super::{Common, say};
use crate::peers::Outcome;
use crate::peers::load::{Load, Pace};
use crate::peers::process::Process;
use crate::shop::Shops;

/// One order in so many is followed: asking for them is not to be most of the work.
const FOLLOWED_ONE_IN: u64 = 50;
const EMBEDDED_MAX_MICROS: u64 = 100_000;
const KAFKA_MAX_MICROS: u64 = 300_000;

/// Runs both, each as often as there are pairs.
pub(super) fn run(common: &Common) -> Outcome<RowResult> {
    let (kafka, runtime) = (rig::broker(common)?, runtime()?);
    let mut embedded =
        Figure::new("202 to commission, p99 at half the maximum, embedded", "µs", Target::AtMost(EMBEDDED_MAX_MICROS));
    let mut on_kafka =
        Figure::new("202 to commission, p99 at half the maximum, on Kafka", "µs", Target::AtMost(KAFKA_MAX_MICROS));
    let shops = Shops::now(common.merchants);
    for pair in 0..=common.pairs {
        let folder = rig::folder(common)?;
        let registry = rig::registry(folder.path(), shops, true)?;
        let up = rig::up(common, &registry, folder.path(), &common.cores)?;
        let alone = lag(common, &runtime, &up, shops, "embedded", pair)?;
        up.stop()?;
        let prefix = format!("lag-{pair}-");
        let installation = rig::installation(common, &kafka, &prefix, &registry, folder.path(), &[]);
        let command = |name| installation.command(&["--log", "warn", name]);
        let processors = Process::start("conversions processors", &command("processors"), &common.cores)?;
        let ingest = Process::start("conversions ingest", &command("ingest"), &common.cores)?;
        if pair == 0 {
            rig::until_still(common, |number| {
                let run = format!("warm-up-{number}");
                let load = Load { address: rig::address(&ingest)?, ..closed(common, shops, &run) };
                runtime.block_on(commissioned(&load))
            })?;
        }
        let distributed = lag(common, &runtime, &ingest, shops, "kafka", pair)?;
        ingest.stop()?;
        processors.stop()?;
        say(&format!("pair {pair}: {alone} µs embedded, {distributed} µs on Kafka"));
        if pair > 0 {
            embedded.ours.push(alone);
            on_kafka.ours.push(distributed);
        }
    }
    Ok(RowResult::new("lag", common, vec![embedded, on_kafka]))
}

/// The p99 in microseconds. What it takes at most is what it commissions, not what it accepts: a queue that only grows has no
/// lag.
fn lag(common: &Common, runtime: &Runtime, edge: &Process, shops: Shops, name: &str, pair: u32) -> Outcome<u64> {
    let (most_run, half_run) = (format!("{name}-most-{pair}"), format!("{name}-half-{pair}"));
    let most = Load { address: rig::address(edge)?, ..closed(common, shops, &most_run) };
    runtime.block_on(async {
        rig::warm(&most).await?;
        let rate = (commissioned(&most).await? / 2).max(1);
        let half = Load { run: &half_run, pace: Pace::Open { rate }, follow: Some(FOLLOWED_ONE_IN), ..most };
        let sent = half.send().await?;
        half.settle(&sent, rig::deadline()).await?;
        if sent.lags.is_empty() {
            return Err("no order was followed".to_owned());
        }
        say(&format!(
            "{name}: {rate} orders/s, {} followed, {} not for want of time",
            sent.lags.len(),
            sent.unfollowed
        ));
        Ok(sent.lags.value_at_quantile(0.99))
    })
}

/// Orders a second that a load comes to, until the last has its commission.
async fn commissioned(load: &Load<'_>) -> Outcome<u64> {
    let begun = Instant::now();
    let sent = load.send().await?;
    let settled = load.settle(&sent, rig::deadline()).await?;
    let millis = u64::try_from(settled.duration_since(begun).as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(sent.orders * 1_000 / millis)
}
