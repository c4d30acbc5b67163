//! Processes on Kafka that are told to end while they start.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::up::cluster::Cluster;
use crate::up::kafka::OnKafka;

const SIGTERM: i32 = 15;
/// A start takes about as long, where nothing else is done.
const START_MS: u64 = 600;

#[test]
fn one_signal_is_enough_at_any_moment_of_a_start() {
    let mut cluster = OnKafka::stopped();
    for after_ms in (0..START_MS).step_by(40) {
        for ended in cluster.start_and_terminate(Duration::from_millis(after_ms)) {
            // Before it has begun anything it may leave the signal to the system.
            assert!(ended.code() == Some(0) || ended.signal() == Some(SIGTERM), "after {after_ms} ms: {ended}");
        }
    }
    cluster.restart();
}
