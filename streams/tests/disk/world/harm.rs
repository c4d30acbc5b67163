//! What is done to a disk by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use streams::LogError;
use streams::embedded::EmbeddedLog;
use streams::sim::disk::{Crash, NoFaults};

use super::World;
use crate::process::LOG;

impl World {
    pub(super) fn fill_or_free(&mut self) {
        self.full = !self.full;
        let bytes_max = if self.full { self.disk.bytes() + self.dice.u64(..2_000) } else { u64::MAX };
        self.fate.note(format!("room for {bytes_max}"));
        self.disk.set_bytes_max(bytes_max);
        if self.full {
            self.fate.blame();
            self.fate.mark("the disk is nearly full");
        }
    }

    /// A synced byte is damaged while nobody looks: the log is refused until it is mended, and left as it is.
    pub(super) fn damage(&mut self) {
        if self.process.is_some() {
            self.crash(Crash::Kill);
        }
        let (files, proven) = (self.segments(), self.ends[0]);
        let Some(first) = files.first().map(|(start, ..)| *start).filter(|first| *first < proven) else { return };
        let position = self.dice.u64(first..proven);
        let (start, path, _) = files.iter().rfind(|(start, ..)| *start <= position).expect("the first is before it");
        let (at, mask) = (position - start, 1 << self.dice.u32(..8));
        assert!(self.disk.damage(path, at, mask), "the byte is there");
        self.fate.note(format!("damaged {} at {at}", path.display()));
        let process = Arc::new(self.disk.process(Arc::new(NoFaults)));
        match EmbeddedLog::open_driven(process, Path::new(LOG), self.options.clone(), || {}) {
            Err(LogError::Damaged(message)) => assert!(message.contains("byte"), "{message}"),
            other => panic!("byte {at} of {} is damaged, and it opens: {other:?}", path.display()),
        }
        assert_eq!(self.segments(), files, "what is refused is left alone");
        assert!(self.disk.damage(path, at, mask), "the byte is there");
        self.fate.mark("damage is refused");
    }

    /// Start, name and length of each segment, in order.
    fn segments(&self) -> Vec<(u64, PathBuf, u64)> {
        let files = self.disk.files(Path::new(LOG)).into_iter();
        let segment = |(path, bytes): (PathBuf, u64)| {
            let start = path.file_name()?.to_str()?.strip_suffix(".seg")?.parse().ok()?;
            Some((start, path, bytes))
        };
        files.filter_map(segment).collect()
    }
}
