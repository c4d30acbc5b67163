//! A state folder that cannot be trusted is emptied, and the log makes it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use streams::store::{FjallStore, StateFolder};
use streams::{Change, StateStore, StoreError};
use tempfile::TempDir;

use crate::world::{World, copy};

fn open(folder: &TempDir) -> StateFolder {
    StateFolder::open(folder.path(), 1 << 20).expect("the folder opens")
}

fn store(folder: &StateFolder) -> FjallStore {
    folder.store("it", 1).expect("the store opens")
}

fn row(key: &str, value: &[u8]) -> Change {
    Change { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(Bytes::copy_from_slice(value)) }
}

/// A folder with a store of one row, and `close` or not.
fn folder(close: bool) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let state = open(&folder);
    store(&state).apply(&[row("sa", b"1")], 9).expect("applied");
    if close {
        state.close().expect("closed");
    }
    folder
}

fn has_row(store: &FjallStore) -> bool {
    store.get(b"sa").expect("readable").is_some()
}

#[test]
fn rows_of_another_version_are_deleted() {
    let folder = folder(true);
    let state = open(&folder);
    assert!(has_row(&store(&state)));
    let other = state.store("it", 2).expect("the store opens");
    assert_eq!((has_row(&other), other.position()), (false, None));
    assert_eq!(state.store("it", 1).expect("the store opens").position(), None);
}

#[test]
fn another_version_is_restored_from_the_log() {
    let world = World::new();
    let mut running = world.open();
    running.send("a", "count");
    running.settle();
    drop(running);
    let before = world.kept();
    let world = World { version: 2, ..world };
    world.plan.get().restores.clear();
    let mut running = world.open();
    running.settle();
    assert_eq!(world.plan.get().restores, [None]);
    drop(running);
    assert_eq!(world.kept(), before);
}

#[test]
fn rows_without_a_stamp_are_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = open(&folder);
    store(&state).write(&[row("sa", b"1")]).expect("written");
    assert!(!has_row(&store(&state)));
}

#[test]
fn a_disk_that_fails_takes_nothing_with_it() {
    for close in [true, false] {
        let folder = folder(close);
        let (database, away) = (folder.path().join("db"), folder.path().join("away"));
        fs::rename(&database, &away).expect("moved");
        // Nothing can be opened by a link to itself.
        std::os::unix::fs::symlink("db", &database).expect("a link");
        let error = StateFolder::open(folder.path(), 1 << 20).expect_err("it cannot be opened");
        assert!(error.to_string().contains("opening the database"), "{error}");
        fs::remove_file(&database).expect("the link is there");
        fs::rename(&away, &database).expect("moved");
        fs::write(folder.path().join("OPEN.new"), b"").expect("what a full disk leaves");
        assert!(has_row(&store(&open(&folder))));
    }
}

#[test]
fn an_orderly_close_and_a_crash_of_the_process_keep_everything() {
    for close in [true, false] {
        let folder = folder(close);
        assert_eq!(folder.path().join("OPEN").exists(), !close);
        let found = store(&open(&folder));
        assert_eq!((has_row(&found), found.position()), (true, Some(9)), "close: {close}");
    }
}

#[test]
fn a_crash_of_the_system_empties_the_folder() {
    for other in ["11111111-2222-3333-4444-555555555555\n", ""] {
        let folder = folder(false);
        fs::write(folder.path().join("OPEN"), other).expect("written");
        let state = open(&folder);
        let found = store(&state);
        assert_eq!((has_row(&found), found.position()), (false, None));
        drop((found, state));
        assert_ne!(fs::read_to_string(folder.path().join("OPEN")).expect("a file"), other);
        // It is this boot's from now on.
        store(&open(&folder)).apply(&[row("sa", b"1")], 9).expect("applied");
        assert!(has_row(&store(&open(&folder))));
    }
}

#[test]
fn a_folder_that_another_has_open_is_left_alone() {
    let folder = folder(true);
    let state = open(&folder);
    let store = store(&state);
    let error = StateFolder::open(folder.path(), 1 << 20).expect_err("it is open");
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(has_row(&store));
    drop((store, state));
    assert!(has_row(&self::store(&open(&folder))));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// The large tables of a world's database.
fn tables(world: &World) -> Vec<PathBuf> {
    let in_tables = |path: &PathBuf| path.parent().is_some_and(|folder| folder.ends_with("tables"));
    let is_large = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() > 1 << 20);
    files(&world.path("state/db")).into_iter().filter(|path| in_tables(path) && is_large(path)).collect()
}

/// A world whose store has tables on disk, and not only a journal.
fn flushed() -> World {
    let world = World::new();
    let (state, stores) = world.open_stores("state");
    let mut other = state.store("other", 1).expect("the store opens");
    // More than a memtable, so that it is written out.
    for number in 0..20_u64 {
        let rows: Vec<Change> = (0..1_000)
            .map(|row_number| row(&format!("s{number:02}{row_number:04}"), &noise(number * 1_000 + row_number)))
            .collect();
        other.apply(&rows, number + 1).expect("applied");
    }
    // It is written out in the background, and a database that is dropped before does not begin with it.
    let (mut before, deadline) = (0, Instant::now() + Duration::from_secs(60));
    loop {
        let bytes = tables(&world).iter().map(|table| fs::metadata(table).map_or(0, |table| table.len())).sum();
        if bytes > 0 && bytes == before {
            break;
        }
        assert!(Instant::now() < deadline, "no table is written: {:?}", files(&world.path("state/db")));
        before = bytes;
        std::thread::sleep(Duration::from_millis(50));
    }
    drop((other, stores, state));
    let mut running = world.open();
    for key in ["a", "b", "a"] {
        running.send(key, "count");
        running.settle();
    }
    drop(running);
    world
}

/// A kilobyte that does not compress.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(1_024);
    while bytes.len() < 1_024 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

#[test]
fn garbage_in_a_file_of_the_database_is_found_and_the_log_restores() {
    let world = flushed();
    let before = world.kept();
    copy(&world.path("state"), &world.path("sound"));
    let all = files(&world.path("sound/db"));
    assert!(all.len() > 8, "{all:?}");
    for file in all {
        let name = file.strip_prefix(world.path("sound")).expect("it is in there").to_owned();
        let length = fs::metadata(&file).expect("a file").len();
        for garbage in [vec![0xA5; usize::try_from(length).expect("it fits")], Vec::new()] {
            fs::remove_dir_all(world.path("state")).expect("deleted");
            copy(&world.path("sound"), &world.path("state"));
            fs::write(world.path("state").join(&name), garbage).expect("written");
            let mut running = world.open();
            let settled = running.try_settle();
            drop(running);
            if settled.is_err() {
                let mut running = world.open();
                running.settle();
            }
            assert_eq!(world.kept(), before, "{}", name.display());
        }
    }
}

fn read_all(store: &FjallStore) -> Result<usize, StoreError> {
    let mut count = 0;
    store.scan(b"s", b"t", &mut |_, _| {
        count += 1;
        true
    })?;
    Ok(count)
}

#[test]
fn damage_that_reading_finds_is_cured_by_the_next_start() {
    let world = flushed();
    let tables = tables(&world);
    assert!(!tables.is_empty(), "{:?}", files(&world.path("state/db")));
    for table in tables {
        let mut bytes = fs::read(&table).expect("readable");
        bytes[5_000..500_000].fill(0xA5);
        fs::write(table, bytes).expect("written");
    }
    let (state, _) = world.open_stores("state");
    let store = state.store("other", 1).expect("the store opens");
    let found = read_all(&store);
    assert!(found.is_err(), "{found:?} {:?}", files(&world.path("state/db")));
    drop(store);
    state.close().expect("closed");
    let (state, _) = world.open_stores("state");
    let store = state.store("other", 1).expect("the store opens");
    assert_eq!((read_all(&store).expect("readable"), store.position()), (0, None));
    drop((store, state));
    let mut running = world.open();
    running.settle();
    drop(running);
    assert_eq!(world.kept(), world.restored());
}
