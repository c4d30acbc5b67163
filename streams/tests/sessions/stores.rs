//! When a store is used again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use streams::kafka::KafkaStores;
use streams::snapshot::FolderStores;
use streams::store::StateFolder;
use streams::{Change, Clock, StateStore, Stores};

const HOUR_MS: i64 = 3_600_000;

#[derive(Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn stores(folder: &Path, changelog: &str, clock: &Arc<TestClock>) -> KafkaStores {
    let state = StateFolder::open(&folder.join("state"), 1 << 20).expect("the state opens");
    let inner = FolderStores::new(state, Path::new(""), "toy", 1);
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let unseen_max = Duration::from_secs(10 * 3_600);
    KafkaStores::new(inner, &folder.join("stamps"), "toy", changelog, unseen_max, clock).expect("stores")
}

fn changes() -> Vec<Change> {
    vec![Change { key: Bytes::from_static(b"sk"), value: Some(Bytes::from_static(b"v")) }]
}

/// Writes a store, lets time pass, and says whether its rows are there again.
#[track_caller]
fn check(work: impl FnOnce(&mut dyn StateStore, &TestClock), hours: i64, changelog: &str, kept: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TestClock::default());
    let mut store = stores(folder.path(), "a changelog", &clock).open(3).expect("opened");
    work(&mut *store, &clock);
    let position = store.position();
    drop(store);
    clock.0.fetch_add(hours * HOUR_MS, Ordering::Relaxed);
    let again = stores(folder.path(), changelog, &clock).open(3).expect("opened");
    assert_eq!(again.position(), position.filter(|_| kept));
    assert_eq!(again.get(b"sk").expect("read").is_some(), kept);
}

fn restored(store: &mut dyn StateStore, _: &TestClock) {
    store.apply(&changes(), 5).expect("written");
    store.apply(&[], 7).expect("written");
}

#[test]
fn a_store_is_used_again_with_its_own_changelog_and_in_time() {
    check(restored, 10, "a changelog", true);
    check(restored, 11, "a changelog", false);
    check(restored, 1, "another changelog", false);
    // A restore that was cut off counts from where it began, and one that went on from when it was last at the end.
    check(|store, _| store.apply(&changes(), 5).expect("written"), 10, "a changelog", true);
    check(
        |store, clock| {
            restored(store, clock);
            clock.0.fetch_add(9 * HOUR_MS, Ordering::Relaxed);
            store.apply(&changes(), 9).expect("written");
        },
        9,
        "a changelog",
        true,
    );
    check(
        |store, clock| {
            clock.0.fetch_add(9 * HOUR_MS, Ordering::Relaxed);
            store.apply(&changes(), 5).expect("not yet at the end");
        },
        9,
        "a changelog",
        false,
    );
}

#[test]
fn the_last_to_open_a_store_is_the_one_who_writes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stores = stores(folder.path(), "a changelog", &Arc::default());
    let mut slow = stores.open(3).expect("opened");
    restored(&mut *slow, &TestClock::default());
    let mut other = stores.clone().open(4).expect("opened");
    let mut quick = stores.clone().open(3).expect("opened");
    quick.apply(&changes(), 8).expect("it is its own");
    let refused = slow.apply(&changes(), 8).expect_err("it is another's by now").to_string();
    assert_eq!(refused, "state store, writing: another worker of this process has partition 3 now");
    assert!(slow.wipe().is_err());
    other.apply(&changes(), 1).expect("another partition is another matter");
    assert_eq!(quick.position(), Some(8));
}
