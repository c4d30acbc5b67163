//! A snapshot is whole, or it is refused, and a store that was filled from half of one is not believed.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use streams::driver::Stores;
use streams::retention::Keeper;
use streams::snapshot::{FolderStores, Snapshot};
use streams::store::{MemoryStore, StateFolder};
use streams::{Change, StateStore, StoreError};
use tempfile::TempDir;

use crate::world::rows;

const ROWS: u64 = 100_000;
const POSITION: u64 = 77;

fn stores(folder: &TempDir, state: &str, version: u32) -> FolderStores {
    let state = StateFolder::open(&folder.path().join(state), 1 << 20).expect("the state opens");
    FolderStores::new(state, folder.path(), "toy", version)
}

/// Stores with many rows, some of them empty or large, and their snapshot.
fn written(folder: &TempDir) -> FolderStores {
    let mut stores = stores(folder, "state", 1);
    let mut store = Stores::open(&mut stores, 0).expect("the store opens");
    let change = |number: u64| {
        let value = match number % 1_000 {
            0 => Bytes::new(),
            1 => Bytes::from(vec![7; 20_000]),
            _ => Bytes::from(number.to_be_bytes().repeat(3)),
        };
        Change { key: Bytes::from([b"s", &number.to_be_bytes()[..]].concat()), value: Some(value) }
    };
    let changes: Vec<Change> = (0..ROWS).map(change).collect();
    store.apply(&changes, POSITION).expect("applied");
    assert_eq!(stores.kept().expect("readable"), None);
    assert_eq!(stores.keep().expect("written"), Some(POSITION));
    assert_eq!(stores.kept().expect("readable"), Some(POSITION));
    stores
}

fn file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("toy-0.snapshot")
}

/// A folder with a snapshot, and its bytes.
fn snapshot() -> (TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    written(&folder);
    let bytes = fs::read(file(&folder)).expect("a file");
    (folder, bytes)
}

fn must_be_refused(folder: &TempDir, bytes: &[u8], what: &str) {
    fs::write(file(folder), bytes).expect("written");
    let snapshot = Snapshot::new(folder.path(), "toy-0", 1);
    assert!(snapshot.position().is_err(), "{what}");
    let mut store = MemoryStore::default();
    assert!(snapshot.load(&mut store).is_err(), "{what}");
    assert_eq!(store, MemoryStore::default(), "{what}");
}

#[test]
fn a_round_trip() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = written(&folder);
    let mut after = stores(&folder, "other", 1);
    let mut store = Stores::open(&mut after, 0).expect("the store opens");
    after.load_snapshot(0, &mut *store).expect("loaded");
    assert_eq!(store.position(), Some(POSITION));
    let found = rows(&after);
    assert_eq!(found.len(), usize::try_from(ROWS).expect("it fits"));
    assert!(found == rows(&before), "the rows are others");
}

#[test]
fn an_empty_store_needs_no_snapshot_and_a_stamped_one_without_rows_has_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stores = stores(&folder, "state", 1);
    let mut store = Stores::open(&mut stores, 0).expect("the store opens");
    assert_eq!(stores.keep().expect("nothing to write"), None);
    assert!(!file(&folder).exists());
    store.apply(&[], 5).expect("stamped");
    assert_eq!(stores.keep().expect("written"), Some(5));
    let mut found = MemoryStore::default();
    stores.snapshot(0).load(&mut found).expect("loaded");
    assert_eq!((found.position(), found.rows().count()), (Some(5), 0));
}

#[test]
fn a_truncated_one_is_refused() {
    let (folder, bytes) = snapshot();
    let block =
        36 + 8 + usize::try_from(u32::from_be_bytes(bytes[28..32].try_into().expect("4 bytes"))).expect("it fits");
    let end = bytes.len();
    for length in [0, 1, 7, 8, 27, 28, 35, 36, block - 8, block - 1, block, block + 4, end / 2, end - 24, end - 17] {
        must_be_refused(&folder, &bytes[..length], &format!("{length} of {end} bytes"));
    }
    for cut in 1..=16 {
        must_be_refused(&folder, &bytes[..end - cut], &format!("{cut} bytes cut off"));
    }
    must_be_refused(&folder, &[&bytes[..], &[0]].concat(), "a byte too many");
}

#[test]
fn a_damaged_one_is_refused() {
    let (folder, mut bytes) = snapshot();
    let step = bytes.len() / 60;
    let places: Vec<usize> =
        (0..60).chain((60..bytes.len()).step_by(step)).chain(bytes.len() - 24..bytes.len()).collect();
    for at in places {
        // The version: it is another then, and the checksum tells first.
        bytes[at] ^= 0x10;
        must_be_refused(&folder, &bytes, &format!("byte {at}"));
        bytes[at] ^= 0x10;
    }
    // A run of zeros reads as an empty block, but it is not the end.
    for length in [8, 16, 24, 32, 4_096] {
        must_be_refused(&folder, &[&bytes[..28], &vec![0; length]].concat(), "zeros after the header");
    }
}

#[test]
fn one_of_another_version_is_as_good_as_none() {
    let (folder, _) = snapshot();
    let snapshot = Snapshot::new(folder.path(), "toy-0", 2);
    assert_eq!(snapshot.position().expect("readable"), None);
    let mut store = MemoryStore::default();
    snapshot.load(&mut store).expect("nothing to load");
    assert_eq!(store, MemoryStore::default());
    let none = Snapshot::new(Path::new("no such folder"), "toy-0", 1);
    assert_eq!(none.position().expect("there is none"), None);
    none.load(&mut store).expect("there is none");
}

/// A store whose process dies after so many blocks.
struct Dying {
    store: Box<dyn StateStore>,
    blocks: usize,
}

fn dead() -> StoreError {
    StoreError { context: "a test", message: "dead".to_owned() }
}

impl StateStore for Dying {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(key)
    }
    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.store.scan(from, until, visit)
    }
    fn apply(&mut self, _: &[Change], _: u64) -> Result<(), StoreError> {
        Err(dead())
    }
    fn fill(&mut self, rows: &[Change]) -> Result<(), StoreError> {
        if self.blocks == 0 {
            return Err(dead());
        }
        self.blocks -= 1;
        self.store.fill(rows)
    }
    fn position(&self) -> Option<u64> {
        self.store.position()
    }
    fn wipe(&mut self) -> Result<(), StoreError> {
        Err(dead())
    }
}

#[test]
fn a_load_that_is_cut_off_is_begun_again_and_never_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = rows(&written(&folder));
    let bytes = fs::read(file(&folder)).expect("a file");
    for blocks in [0, 1, 2, usize::MAX] {
        let mut stores = stores(&folder, "other", 1);
        let store = Stores::open(&mut stores, 0).expect("the store opens");
        assert_eq!(store.position(), None);
        assert_eq!(store.get(&[b"s", &[0; 8][..]].concat()).expect("readable"), None);
        let mut dying = Dying { store, blocks };
        assert!(stores.load_snapshot(0, &mut dying).is_err());
        assert_eq!(dying.get(&[b"s", &[0; 8][..]].concat()).expect("readable").is_some(), blocks > 0);
        // Retention may come by in the middle of a load: half a store must not take the place of the whole snapshot.
        assert_eq!(stores.keep().expect("nothing to write"), None);
        assert!(fs::read(file(&folder)).expect("a file") == bytes, "the snapshot is another");
    }
    let mut stores = stores(&folder, "other", 1);
    let mut store = Stores::open(&mut stores, 0).expect("the store opens");
    stores.load_snapshot(0, &mut *store).expect("loaded");
    assert!(rows(&stores) == before, "the rows are others");
}
