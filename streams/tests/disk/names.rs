//! Names of segments that come and go while syncs of the folder fail.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use streams::embedded::{EmbeddedLog, Options};
use streams::sim::disk::{Crash, Faults, Kind, NoFaults, Operation, SimDisk, Verdict};
use streams::{Message, Publisher};

use crate::process::LOG;
use crate::workers::IN;

/// Verdicts of the next syncs of the log's folder; after them, all proceed.
#[derive(Debug, Default)]
struct Script {
    verdicts: Mutex<Vec<Verdict>>,
    syncs: AtomicU32,
}

impl Faults for Script {
    fn verdict(&self, operation: &Operation) -> Verdict {
        if operation.kind != Kind::SyncFolder {
            return Verdict::Proceeds;
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.verdicts.lock().expect("no panic holds it").pop().unwrap_or(Verdict::Proceeds)
    }
}

#[test]
fn a_failed_sync_of_dropped_segments_leaves_no_hole() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let script = Arc::new(Script::default());
        let options = Options { segment_bytes_max: 100, ..Options::default() };
        let process = Arc::new(disk.process(Arc::clone(&script) as Arc<dyn Faults>));
        let log = EmbeddedLog::open_driven(process, Path::new(LOG), options.clone(), || {}).expect("it opens");
        for number in 0..8 {
            let message = Message { topic: IN, key: Vec::new(), value: vec![number; 100] };
            let _pending = log.publish(vec![message]).expect("room");
            assert!(log.pump());
        }
        let segments = log.segments().expect("segments");
        *script.verdicts.lock().expect("no panic holds it") = vec![Verdict::Crashes(Crash::PowerLoss), Verdict::Fails];
        log.drop_before(segments[0].end).expect_err("the folder does not sync");
        log.drop_before(segments[3].end).expect_err("the power goes");
        drop(log);
        let process = Arc::new(disk.process(Arc::new(NoFaults)));
        let log = EmbeddedLog::open_driven(process, Path::new(LOG), options, || {});
        let log = log.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(log.first() <= segments[1].end, "no more is gone than was asked for");
    }
}
