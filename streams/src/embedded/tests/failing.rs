//! Bounds, the order of sync and acknowledgement, and disks that fail.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use super::layer::{Layer, Layered};
use super::*;
use crate::disk::DiskFile;

/// What the disk behind a [`Gate`] does next.
#[derive(Debug, Default)]
struct Orders {
    /// Syncs wait.
    hold: bool,
    /// Syncs that have begun.
    begun: usize,
    fail_write: bool,
    fail_sync: bool,
}

/// Gives orders to a disk and sees what it does.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<(Mutex<Orders>, Condvar)>);

impl Gate {
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.0.0.lock().expect("a lock"));
        self.0.1.notify_all();
    }

    fn wait_until(&self, done: impl Fn(&Orders) -> bool) {
        let held = self.0.0.lock().expect("a lock");
        drop(self.0.1.wait_while(held, |orders| !done(orders)).expect("a lock"));
    }
}

impl Layer for Gate {
    fn write(&self, file: &dyn DiskFile, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.0.0.lock().expect("a lock").fail_write {
            file.write_all_at(&bytes[..bytes.len() / 2], at)?;
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"));
        }
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &dyn DiskFile) -> io::Result<()> {
        self.order(|orders| orders.begun += 1);
        self.wait_until(|orders| !orders.hold);
        if self.0.0.lock().expect("a lock").fail_sync {
            return Err(io::Error::other("the device is gone"));
        }
        file.sync_data()
    }
}

fn gated(folder: &TempDir, options: Options) -> (EmbeddedLog, Gate) {
    let gate = Gate::default();
    let disk = Arc::new(Layered(Arc::new(gate.clone())));
    let log = EmbeddedLog::open_on(disk, folder.path(), options).expect("the log opens");
    (log, gate)
}

fn one(value: &str) -> Vec<Message> {
    vec![message(ORDERS, "k", value)]
}

/// Whether a publish has been answered by now.
fn is_resolved(pending: &mut Pending) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::future::Future::poll(std::pin::Pin::new(pending), &mut context).is_ready()
}

#[test]
fn nothing_is_acknowledged_or_read_before_it_is_synced() {
    let folder = folder();
    let (log, gate) = gated(&folder, Options::default());
    gate.order(|orders| orders.hold = true);
    let mut first = log.publish(one("1")).expect("room");
    gate.wait_until(|orders| orders.begun == 1);
    let mut others: Vec<Pending> = (2..10).map(|n| log.publish(one(&n.to_string())).expect("room")).collect();
    assert!(!is_resolved(&mut first));
    assert!(others.iter_mut().all(|pending| !is_resolved(pending)));
    assert!(read_all(&log, &ALL).is_empty());
    assert_eq!(log.stats().queue_messages, 8);
    gate.order(|orders| orders.hold = false);
    wait(first).expect("durable");
    for pending in others {
        wait(pending).expect("durable");
    }
    assert_eq!(read_all(&log, &ALL).len(), 9);
    let stats = log.stats();
    assert_eq!((stats.syncs, stats.frames, stats.messages, stats.queue_bytes), (2, 9, 9, 0));
    assert!(stats.sync_max_us >= stats.sync_last_us && stats.sync_sum_us >= stats.sync_max_us);
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_again_later() {
    for bound_by_bytes in [false, true] {
        let folder = folder();
        let bound = if bound_by_bytes {
            Options { queue_bytes_max: 3 * (48 + 10 + 2), ..Options::default() }
        } else {
            Options { queue_messages_max: 3, ..Options::default() }
        };
        let (log, gate) = gated(&folder, bound);
        gate.order(|orders| orders.hold = true);
        let mut pending = vec![log.publish(one("0")).expect("room")];
        gate.wait_until(|orders| orders.begun == 1);
        for number in 1..=3 {
            pending.push(log.publish(one(&number.to_string())).expect("room"));
        }
        assert!(matches!(log.publish(one("4")), Err(PublishError::Full)));
        gate.order(|orders| orders.hold = false);
        for pending in pending {
            wait(pending).expect("durable");
        }
        publish(&log, one("5"));
        assert_eq!(values(&read_all(&log, &ALL)), ["0", "1", "2", "3", "5"]);
    }
}

#[test]
fn a_batch_is_bounded() {
    let folder = folder();
    let (log, gate) = gated(&folder, Options { batch_bytes_max: 130, ..Options::default() });
    gate.order(|orders| orders.hold = true);
    let mut pending = vec![log.publish(one("0")).expect("room")];
    gate.wait_until(|orders| orders.begun == 1);
    pending.extend((1..=4).map(|number| log.publish(one(&number.to_string())).expect("room")));
    pending.push(log.publish(one(&"x".repeat(500))).expect("room"));
    gate.order(|orders| orders.hold = false);
    for pending in pending {
        wait(pending).expect("durable");
    }
    assert_eq!(log.stats().syncs, 1 + 2 + 1);
}

#[test]
fn after_a_failed_write_or_sync_everything_fails_for_ever() {
    for fail_write in [true, false] {
        let folder = folder();
        let (log, gate) = gated(&folder, Options::default());
        publish(&log, one("kept"));
        let mut session = assigned(&log, "c", &[ORDERS]);
        assert_eq!(poll(&mut session).len(), 1);
        gate.order(|orders| {
            orders.fail_write = fail_write;
            orders.fail_sync = !fail_write;
        });
        let Commit::Unknown(LogError::Io { context, .. }) = session.commit(&Step::default()) else {
            panic!("expected that it is unknown");
        };
        assert!(context.contains("00000000000000000000.seg") && context.contains("restart"), "{context}");
        gate.order(|orders| *orders = Orders::default());
        assert!(log.is_failed());
        assert!(log.failure().is_some_and(|reason| reason.starts_with(&context)));
        assert!(matches!(log.publish(one("more")), Err(PublishError::Failed(_))));
        assert!(matches!(session.commit(&Step::default()), Commit::Unknown(LogError::Io { .. })));
        assert!(matches!(session.poll(&Limits::default(), NO_WAIT), Err(LogError::Io { .. })));
        assert!(matches!(session.reset(), Err(LogError::Io { .. })));
        assert!(matches!(log.reader(&ALL, None).next(&Limits::default(), NO_WAIT), Err(LogError::Io { .. })));
        assert!(log.close().is_err());
        drop((session, log));
        let log = open(&folder, Options::default());
        assert_eq!(values(&read_all(&log, &ALL)), ["kept"]);
    }
}

#[test]
fn those_in_the_queue_of_a_log_that_fails_are_told() {
    let folder = folder();
    let (log, gate) = gated(&folder, Options::default());
    gate.order(|orders| (orders.hold, orders.fail_sync) = (true, true));
    let first = log.publish(one("1")).expect("room");
    gate.wait_until(|orders| orders.begun == 1);
    let second = log.publish(one("2")).expect("room");
    let mut reader = log.reader(&ALL, None);
    let waiting = std::thread::spawn(move || reader.next(&Limits::default(), Duration::from_secs(60)));
    gate.order(|orders| orders.hold = false);
    assert!(matches!(wait(first), Err(PublishError::Failed(reason)) if reason.contains("the device is gone")));
    assert!(matches!(wait(second), Err(PublishError::Failed(_))));
    assert!(matches!(waiting.join().expect("no panic"), Err(LogError::Io { .. })));
}

#[test]
fn closing_writes_what_was_taken_and_takes_no_more() {
    let folder = folder();
    let (log, gate) = gated(&folder, Options::default());
    let mut session = assigned(&log, "c", &[ORDERS]);
    let mut reader = log.reader(&ALL, None);
    gate.order(|orders| orders.hold = true);
    let pending: Vec<Pending> = (0..5).map(|number| log.publish(one(&number.to_string())).expect("room")).collect();
    let closing = std::thread::spawn({
        let log = log.clone();
        move || log.close()
    });
    gate.order(|orders| orders.hold = false);
    closing.join().expect("no panic").expect("closed");
    for pending in pending {
        wait(pending).expect("durable");
    }
    assert!(matches!(log.publish(one("late")), Err(PublishError::Closed)));
    let step = Step { outputs: one("late"), changes: Vec::new() };
    assert!(matches!(session.commit(&step), Commit::Aborted(LogError::Closed)));
    assert!(matches!(session.poll(&Limits::default(), NO_WAIT), Err(LogError::Closed)));
    assert_eq!(reader.next(&Limits::default(), NO_WAIT).expect("readable").len(), 5);
    assert!(matches!(reader.next(&Limits::default(), NO_WAIT), Err(LogError::Closed)));
    log.close().expect("closing again is nothing");
}

#[test]
fn a_segment_that_cannot_be_begun_fails_the_log() {
    let folder = folder();
    let (log, _gate) = gated(&folder, segments_of(100));
    publish(&log, one(&"x".repeat(100)));
    fs::remove_dir_all(folder.path()).expect("removed");
    let pending = log.publish(one("2")).expect("room");
    assert!(matches!(wait(pending), Err(PublishError::Failed(reason)) if reason.contains("creating")));
    assert!(log.is_failed());
}

#[test]
fn threads_that_publish_together_lose_nothing() {
    let folder = folder();
    let log = open(&folder, segments_of(20_000));
    let mut session = assigned(&log, "c", &[ORDERS]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..50 {
                    publish(log, vec![message(ORDERS, &thread.to_string(), &number.to_string())]);
                }
            });
        }
        let mut seen = 0;
        while seen < 400 {
            if let Polled::Records(records) =
                session.poll(&Limits::default(), Duration::from_secs(60)).expect("readable")
            {
                seen += records.len();
                let outputs = records.iter().map(|_| message(CLICKS, "k", "out")).collect();
                commit(&mut session, outputs, Vec::new());
            }
        }
    });
    let records = read_all(&log, &[ORDERS]);
    for thread in 0..8 {
        let own: Vec<Record> = records.iter().filter(|r| r.key == thread.to_string()).cloned().collect();
        let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(values(&own), expected);
    }
    assert_eq!(read_all(&log, &[CLICKS]).len(), 400);
    assert!(log.stats().syncs < log.stats().frames);
}
