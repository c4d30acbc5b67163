//! What the model says of disks is said of the machine's disk too, as far as that can be asked.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use streams::disk::{Access, Disk, RealDisk, sync_folders_above};
use streams::sim::disk::{Crash, Faults, Kind, NoFaults, Operation, SimDisk, Verdict};

/// Names the folder for the process that [`a_process_that_writes_and_dies`] is to be.
const CHILD: &str = "CONVERSIONS_TEST_DYING_IN";

/// A claim, of a disk and of an empty folder on it.
type Claim = fn(&dyn Disk, &Path);

const CLAIMS: [(&str, Claim); 7] = [
    ("folders", folders),
    ("files", files),
    ("lengths", lengths),
    ("missing names", missing_names),
    ("a name in place of another", a_name_in_place_of_another),
    ("a name that is gone", a_name_that_is_gone),
    ("times", times),
];

#[test]
fn the_model_and_the_machine_agree() {
    for (name, claim) in CLAIMS {
        let real = tempfile::tempdir().expect("a folder");
        claim(&RealDisk, real.path());
        let model = SimDisk::new(1).process(Arc::new(NoFaults));
        let folder = PathBuf::from("/claims").join(name);
        model.make_folder(&folder).expect("made");
        claim(&model, &folder);
    }
}

fn folders(disk: &dyn Disk, folder: &Path) {
    let deep = folder.join("a/b/c");
    disk.make_folder(&deep).expect("made with all above it");
    disk.make_folder(&deep).expect("it is there already");
    disk.create(&deep.join("file")).expect("made");
    assert_eq!(disk.list(&folder.join("a")).expect("listed"), ["b"]);
    assert_eq!(disk.list(&deep).expect("listed"), ["file"]);
    disk.sync_folder(&deep).expect("synced");
    sync_folders_above(disk, &deep).expect("synced");
}

fn files(disk: &dyn Disk, folder: &Path) {
    let path = folder.join("file");
    let file = disk.create(&path).expect("made");
    file.write_all_at(b"0123456789", 0).expect("written");
    file.write_all_at(b"xyz", 4).expect("written in place");
    let other = disk.open(&path, Access::Read).expect("opened");
    let mut bytes = [0; 10];
    other.read_exact_at(&mut bytes, 0).expect("read without a sync");
    assert_eq!(&bytes, b"0123xyz789");
    assert!(other.write_all_at(b"no", 0).is_err(), "it is open for reading");
    file.sync_data().expect("synced");
    file.sync_all().expect("synced");
    assert_eq!(disk.create(&path).expect("emptied").length().expect("known"), 0);
    assert_eq!(other.length().expect("known"), 0, "it is the same file");
}

fn lengths(disk: &dyn Disk, folder: &Path) {
    let file = disk.create(&folder.join("file")).expect("made");
    file.write_all_at(b"0123456789", 0).expect("written");
    file.set_length(4).expect("cut");
    file.write_all_at(b"end", 8).expect("written beyond the end");
    let mut bytes = [1; 11];
    file.read_exact_at(&mut bytes, 0).expect("read");
    assert_eq!(&bytes, b"0123\0\0\0\0end", "what was cut off does not come back");
    let beyond = file.read_exact_at(&mut [0; 2], 10).expect_err("there is one byte");
    assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
    file.set_length(13).expect("lengthened");
    assert_eq!(file.length().expect("known"), 13);
}

fn missing_names(disk: &dyn Disk, folder: &Path) {
    let missing = folder.join("missing");
    let kinds = [
        disk.open(&missing, Access::Read).map(drop),
        disk.open(&missing, Access::Write).map(drop),
        disk.remove(&missing),
        disk.rename(&missing, &folder.join("other")),
        disk.modified(&missing).map(drop),
        disk.list(&missing).map(drop),
        disk.sync_folder(&missing),
        disk.create(&missing.join("file")).map(drop),
    ];
    let kinds = kinds.map(|result| result.expect_err("it is not there").kind());
    assert_eq!(kinds, [ErrorKind::NotFound; 8]);
}

fn a_name_in_place_of_another(disk: &dyn Disk, folder: &Path) {
    let (new, old) = (folder.join("new"), folder.join("old"));
    disk.create(&old).expect("made").write_all_at(b"old", 0).expect("written");
    let file = disk.create(&new).expect("made");
    file.write_all_at(b"new", 0).expect("written");
    let replaced = disk.open(&old, Access::Read).expect("opened");
    disk.rename(&new, &old).expect("renamed");
    file.write_all_at(b"er", 3).expect("a file is the same under another name");
    assert_eq!(disk.list(folder).expect("listed"), ["old"]);
    let mut bytes = [0; 5];
    disk.open(&old, Access::Read).and_then(|file| file.read_exact_at(&mut bytes, 0)).expect("read");
    assert_eq!(&bytes, b"newer");
    replaced.read_exact_at(&mut bytes[..3], 0).expect("who has it open reads on");
    assert_eq!(&bytes[..3], b"old");
}

fn a_name_that_is_gone(disk: &dyn Disk, folder: &Path) {
    let path = folder.join("file");
    let file = disk.create(&path).expect("made");
    file.write_all_at(b"there", 0).expect("written");
    disk.remove(&path).expect("removed");
    assert!(disk.list(folder).expect("listed").is_empty());
    let mut bytes = [0; 5];
    file.read_exact_at(&mut bytes, 0).expect("who has it open reads on");
    assert_eq!(&bytes, b"there");
    assert_eq!(disk.create(&path).expect("made again").length().expect("known"), 0);
}

fn times(disk: &dyn Disk, folder: &Path) {
    let (early, late) = (folder.join("early"), folder.join("late"));
    disk.create(&early).expect("made").write_all_at(b"1", 0).expect("written");
    disk.create(&late).expect("made").write_all_at(b"2", 0).expect("written");
    let of = |path: &Path| disk.modified(path).expect("known");
    assert!(of(&early) <= of(&late) && of(&early) >= SystemTime::UNIX_EPOCH);
}

/// What a process leaves that dies without a sync: files written, cut, renamed and removed.
fn leave_unsynced(disk: &dyn Disk, folder: &Path) {
    let kept = disk.create(&folder.join("kept.new")).expect("made");
    kept.write_all_at(&[7; 5_000], 0).expect("written");
    kept.set_length(4_000).expect("cut");
    disk.rename(&folder.join("kept.new"), &folder.join("kept")).expect("renamed");
    kept.write_all_at(b"last", 4_000).expect("written");
    disk.create(&folder.join("gone")).expect("made");
    disk.remove(&folder.join("gone")).expect("removed");
}

fn check_unsynced(disk: &dyn Disk, folder: &Path) {
    assert_eq!(disk.list(folder).expect("listed"), ["kept"]);
    let kept = disk.open(&folder.join("kept"), Access::Read).expect("opened");
    assert_eq!(kept.length().expect("known"), 4_004);
    let mut bytes = [0; 4_004];
    kept.read_exact_at(&mut bytes, 0).expect("read");
    assert!(bytes[..4_000] == [7; 4_000] && &bytes[4_000..] == b"last");
}

/// The process of [`a_killed_process_loses_nothing_that_it_wrote`]; a test of nothing when it is not.
#[test]
fn a_process_that_writes_and_dies() {
    if let Some(folder) = std::env::var_os(CHILD) {
        leave_unsynced(&RealDisk, Path::new(&folder));
        std::process::abort();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    let ended = child.args(["--exact", "claims::a_process_that_writes_and_dies"]).env(CHILD, folder.path()).output();
    assert!(!ended.expect("it runs").status.success(), "it dies");
    check_unsynced(&RealDisk, folder.path());

    let disk = SimDisk::new(1);
    leave_unsynced(&disk.process(Arc::new(NoFaults)), Path::new("/"));
    disk.crash(Crash::Kill);
    check_unsynced(&disk.process(Arc::new(NoFaults)), Path::new("/"));
}

#[test]
fn a_full_disk_says_so() {
    let device = RealDisk.open(Path::new("/dev/full"), Access::Write).expect("every Linux has it");
    assert_eq!(device.write_all_at(b"1", 0).expect_err("it is full").kind(), ErrorKind::StorageFull);

    let disk = SimDisk::new(1);
    disk.set_bytes_max(8);
    let process = disk.process(Arc::new(NoFaults));
    let file = process.create(Path::new("/file")).expect("made");
    file.write_all_at(b"123456", 0).expect("there is room");
    assert_eq!(file.write_all_at(b"7890", 6).expect_err("it is full").kind(), ErrorKind::StorageFull);
    assert_eq!(file.length().expect("known"), 8, "what there was room for is there");
    file.write_all_at(b"abcdefgh", 0).expect("it is in place");
    assert_eq!(disk.bytes(), 8);
}

/// A file of 8 sectors that was synced, and then written again without.
fn half_synced(disk: &SimDisk) {
    let process = disk.process(Arc::new(NoFaults));
    let file = process.create(Path::new("/file")).expect("made");
    file.write_all_at(&[1; 4_096], 0).expect("written");
    file.sync_all().expect("synced");
    process.sync_folder(Path::new("/")).expect("synced");
    file.write_all_at(&[2; 4_096], 0).expect("written");
    process.create(Path::new("/unnamed")).expect("made").sync_all().expect("synced");
}

/// The bytes of each sector of the file, and the names there are.
fn left(disk: &SimDisk) -> (Vec<u8>, usize) {
    let process = disk.process(Arc::new(NoFaults));
    let file = process.open(Path::new("/file"), Access::Read).expect("a synced name stays");
    let mut bytes = vec![0; 4_096];
    file.read_exact_at(&mut bytes, 0).expect("a synced length stays");
    (bytes, process.list(Path::new("/")).expect("listed").len())
}

#[test]
fn a_power_loss_takes_any_part_of_what_was_not_synced() {
    let mut seen = [false; 5];
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        half_synced(&disk);
        disk.crash(Crash::PowerLoss);
        let (bytes, names) = left(&disk);
        assert!(bytes.iter().all(|byte| [1, 2].contains(byte)));
        let whole = |byte: u8| bytes.iter().all(|of| *of == byte);
        let torn = bytes.chunks(512).any(|sector| sector[0] != sector[511]);
        for (seen, now) in seen.iter_mut().zip([whole(1), whole(2), torn, names == 1, names == 2]) {
            *seen |= now;
        }
    }
    assert_eq!(seen, [true; 5], "all, nothing, torn; with the name and without");
}

/// Fails the first sync.
#[derive(Debug, Default)]
struct OneFailure(std::sync::atomic::AtomicBool);

impl Faults for OneFailure {
    fn verdict(&self, operation: &Operation) -> Verdict {
        let is_sync = operation.kind == Kind::Sync;
        if is_sync && !self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Verdict::Fails;
        }
        Verdict::Proceeds
    }
}

#[test]
fn what_a_failed_sync_forgot_no_later_one_writes() {
    let (mut lost, mut read_back) = (0, 0);
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let process = disk.process(Arc::new(OneFailure::default()));
        let file = process.create(Path::new("/file")).expect("made");
        file.write_all_at(&[2; 4_096], 0).expect("written");
        file.sync_all().expect_err("it fails");
        file.sync_all().expect("it says that all is well");
        process.sync_folder(Path::new("/")).expect("synced");
        let before = left(&disk).0;
        read_back += u32::from(before.contains(&2));
        disk.crash(Crash::PowerLoss);
        lost += u32::from(left(&disk).0 != [2; 4_096]);
    }
    assert!(lost > 40 && read_back > 40, "{lost} lost, {read_back} read back");
}

#[test]
fn the_time_of_a_file_is_that_of_its_last_write() {
    let disk = SimDisk::new(1);
    let process = disk.process(Arc::new(NoFaults));
    let file = process.create(Path::new("/file")).expect("made");
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    disk.set_now(later);
    assert!(process.modified(Path::new("/file")).expect("known") < later);
    file.write_all_at(b"1", 0).expect("written");
    assert_eq!(process.modified(Path::new("/file")).expect("known"), later);

    let real = tempfile::tempdir().expect("a folder");
    let path = real.path().join("file");
    let file = RealDisk.create(&path).expect("made");
    fs::File::options().write(true).open(&path).expect("opened").set_modified(later).expect("set");
    assert_eq!(RealDisk.modified(&path).expect("known"), later);
    file.write_all_at(b"1", 0).expect("written");
    assert!(RealDisk.modified(&path).expect("known") > later);
}
