//! Kafka's own kafka-producer-perf-test, on the broker of the bare handler, with bodies of the same orders: what the broker
//! takes of a producer that waits for no single record.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::result::{Figure, RowResult, Target};
use super::rig::{self, runtime};
use super::{Common, edge, say};
use crate::peers::Outcome;
use crate::shop::Shops;

const TOOL: &str = "org.apache.kafka.tools.ProducerPerformance";
/// Bodies that it takes from.
const BODIES: u64 = 10_000;
/// The settings of the edge's producer, by the names that Kafka's own has for them.
const PRODUCER: [&str; 3] = ["acks=all", "linger.ms=2", "compression.type=lz4"];

/// Runs the pairs.
pub(super) fn run(common: &Common) -> Outcome<RowResult> {
    let (kafka, folder, runtime) = (rig::broker(common)?, rig::folder(common)?, runtime()?);
    let shops = Shops::now(common.merchants);
    let bodies: Vec<String> = (0..BODIES).map(|number| shops.order("perf", number).body()).collect();
    let payloads = folder.path().join("bodies");
    fs::write(&payloads, bodies.join("\n")).map_err(|error| format!("{}: {error}", payloads.display()))?;
    kafka.topics(&["--create", "--topic", "perf", "--partitions", "6"]);
    let mut limit = edge::limit(common, &kafka)?;
    limit.warm(common, &kafka, &runtime, shops)?;
    let mut rate = Figure::new("bare handler against kafka-producer-perf-test", "orders/s", Target::None);
    for pair in 0..=common.pairs {
        let run = format!("perf{pair}");
        let handled = limit.drive(kafka.bootstrap(), &runtime, edge::closed(common, shops, &run))?;
        let produced = produce(common, kafka.bootstrap(), &payloads)?;
        let records = rig::records(kafka.bootstrap(), "", streams::Topic { id: 1, name: "perf" })?;
        let expected = common.orders * u64::from(pair + 1);
        if records != expected {
            return Err(format!("the tool wrote {records} records, not {expected}"));
        }
        say(&format!("pair {pair}: {} against {produced} records/s", handled.sent.rate()));
        if pair > 0 {
            rate.pair(handled.sent.rate(), produced);
        }
    }
    Ok(RowResult::new("producer", common, vec![rate]))
}

/// Records a second, as the tool says.
fn produce(common: &Common, bootstrap: &str, payloads: &Path) -> Outcome<u64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/local/kafka");
    let orders = common.orders.to_string();
    let mut command = Command::new("taskset");
    command.arg("-c").arg(&common.cores).arg(&script).args(["tool", TOOL, "--topic", "perf", "--throughput", "-1"]);
    command.args(["--num-records", &orders, "--payload-file"]).arg(payloads);
    command.args(["--bootstrap-server", bootstrap, "--command-property"]).args(PRODUCER);
    // With all of the JIT, which a tool of a second does without.
    let output = command.env("KAFKA_LOCAL_TOOL_JAVA_OPTS", "-Xmx512m").output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rfind(|line| line.contains("records sent")).unwrap_or_default();
    let rate = last.split("records sent, ").nth(1).and_then(|rest| rest.split(['.', ' ']).next()?.parse().ok());
    rate.ok_or_else(|| format!("{TOOL} said {said}{}", String::from_utf8_lossy(&output.stderr)))
}
