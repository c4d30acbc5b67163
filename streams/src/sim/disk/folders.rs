//! The names on a disk, as the system has them and as the disk has them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(u64),
}

/// A change of names that the disk does not have for certain.
#[derive(Clone, Debug)]
enum Change {
    Made(String, Entry),
    Renamed(String, String, u64),
    Removed(String, u64),
}

type Names = BTreeMap<String, Entry>;

#[derive(Clone, Debug, Default)]
struct Folder {
    /// What everybody sees.
    names: Names,
    /// What is left if all changes are lost.
    durable: Names,
    /// Since the last sync, in order.
    changes: Vec<Change>,
}

/// All folders, by their paths.
#[derive(Debug)]
pub(super) struct Folders(BTreeMap<PathBuf, Folder>);

impl Default for Folders {
    fn default() -> Self {
        Folders(BTreeMap::from([(PathBuf::from("/"), Folder::default())]))
    }
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("there is no {}", path.display()))
}

fn split(path: &Path) -> io::Result<(&Path, String)> {
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(folder), Some(name)) => Ok((folder, name.to_owned())),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, format!("{} is no path from the root", path.display()))),
    }
}

impl Folders {
    fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.0.get_mut(path).ok_or_else(|| missing(path))
    }

    /// Makes a folder and those that are missing above it.
    pub(super) fn make(&mut self, path: &Path) -> io::Result<()> {
        if self.0.contains_key(path) {
            return Ok(());
        }
        let (above, name) = split(path)?;
        self.make(above)?;
        self.folder(above)?.change(Change::Made(name, Entry::Folder));
        self.0.insert(path.to_owned(), Folder::default());
        Ok(())
    }

    /// The names in a folder, in order.
    pub(super) fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let folder = self.0.get(path).ok_or_else(|| missing(path))?;
        Ok(folder.names.keys().cloned().collect())
    }

    /// The file of this name.
    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        let (folder, name) = split(path)?;
        match self.0.get(folder).and_then(|folder| folder.names.get(&name)) {
            Some(Entry::File(number)) => Ok(*number),
            Some(Entry::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(missing(path)),
        }
    }

    /// Names a new file.
    pub(super) fn add(&mut self, path: &Path, number: u64) -> io::Result<()> {
        let (folder, name) = split(path)?;
        self.folder(folder)?.change(Change::Made(name, Entry::File(number)));
        Ok(())
    }

    /// Gives a file another name; returns the file.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<u64> {
        let number = self.file(from)?;
        let ((folder, from), (target, to)) = (split(from)?, split(to)?);
        assert_eq!(folder, target, "a file stays in its folder");
        self.folder(folder)?.change(Change::Renamed(from, to, number));
        Ok(number)
    }

    /// Takes a file's name away.
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let number = self.file(path)?;
        let (folder, name) = split(path)?;
        self.folder(folder)?.change(Change::Removed(name, number));
        Ok(())
    }

    /// The disk has the names of a folder.
    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.folder(path)?;
        folder.durable.clone_from(&folder.names);
        folder.changes.clear();
        Ok(())
    }

    /// What the disk has is all there is, and that is any of the changes.
    pub(super) fn lose_power(&mut self, dice: &mut fastrand::Rng) {
        for folder in self.0.values_mut() {
            let kept = dice.u8(..3);
            for change in std::mem::take(&mut folder.changes) {
                if kept == 1 || kept == 2 && dice.bool() {
                    apply(&mut folder.durable, change);
                }
            }
            folder.names.clone_from(&folder.durable);
        }
        let named: BTreeSet<PathBuf> = self.0.iter().flat_map(|(path, folder)| folder.folders(path)).collect();
        self.0.retain(|path, _| path.parent().is_none() || named.contains(path) && is_reachable(&named, path));
    }

    /// Files that have a name now.
    pub(super) fn current(&self) -> BTreeSet<u64> {
        self.0.values().flat_map(|folder| files(&folder.names)).collect()
    }

    /// Files that have a name, or had one that a crash may bring back.
    pub(super) fn files(&self) -> BTreeSet<u64> {
        self.0.values().flat_map(|folder| folder.files()).collect()
    }
}

/// Whether all folders above are named.
fn is_reachable(named: &BTreeSet<PathBuf>, path: &Path) -> bool {
    path.ancestors().all(|above| above.parent().is_none() || named.contains(above))
}

fn files(names: &Names) -> impl Iterator<Item = u64> {
    names.values().filter_map(|entry| match entry {
        Entry::File(number) => Some(*number),
        Entry::Folder => None,
    })
}

impl Folder {
    fn change(&mut self, change: Change) {
        apply(&mut self.names, change.clone());
        self.changes.push(change);
    }

    fn files(&self) -> impl Iterator<Item = u64> {
        let changed = self.changes.iter().filter_map(|change| match change {
            Change::Made(_, Entry::File(number)) | Change::Renamed(_, _, number) | Change::Removed(_, number) => {
                Some(*number)
            }
            Change::Made(_, Entry::Folder) => None,
        });
        files(&self.names).chain(files(&self.durable)).chain(changed)
    }

    fn folders(&self, path: &Path) -> Vec<PathBuf> {
        let names = self.names.iter().filter(|(_, entry)| matches!(entry, Entry::Folder));
        names.map(|(name, _)| path.join(name)).collect()
    }
}

fn apply(names: &mut Names, change: Change) {
    match change {
        Change::Made(name, entry) => {
            names.insert(name, entry);
        }
        Change::Renamed(from, to, number) => {
            if names.get(&from) == Some(&Entry::File(number)) {
                names.remove(&from);
            }
            names.insert(to, Entry::File(number));
        }
        Change::Removed(name, number) => {
            if names.get(&name) == Some(&Entry::File(number)) {
                names.remove(&name);
            }
        }
    }
}
