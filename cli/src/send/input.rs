//! The input as a stream: read by a thread of its own into a bounded queue, so that a file of any size takes the same
//! memory, and a slow server slows reading down.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{Receiver, channel};

use super::framing::{Item, Items};
use crate::error::CliError;

/// An input that is open.
pub(super) struct Input {
    /// The bytes.
    pub(super) reader: Box<dyn Read + Send>,
    /// How many there are, when that is known.
    pub(super) bytes: Option<u64>,
}

/// Opens a file, or stdin for `-`.
///
/// # Errors
/// The file cannot be read.
pub(super) fn open(path: &Path) -> Result<Input, CliError> {
    if path == Path::new("-") {
        return Ok(Input { reader: Box::new(io::stdin()), bytes: None });
    }
    let unreadable = |error: io::Error| {
        CliError::Failed(format!("cannot read {} ({error}): check the path, or give - for stdin", path.display()))
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok(Input { reader: Box::new(file), bytes })
}

/// Reads the items of an input into a queue of this capacity, until the input or the queue's reader ends.
///
/// The thread is not waited for when the program ends early: it may be waiting for a keyboard.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn spawn(
    reader: Box<dyn Read + Send>,
    capacity: usize,
) -> io::Result<(Receiver<Item>, JoinHandle<io::Result<()>>)> {
    let (sender, receiver) = channel(capacity);
    let thread = std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        let mut items = Items::new(BufReader::with_capacity(64 * 1024, reader));
        while let Some(item) = items.next()? {
            if sender.blocking_send(item).is_err() {
                break;
            }
        }
        Ok(())
    })?;
    Ok((receiver, thread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// An input without end that counts what is taken from it.
    struct Endless {
        taken: Arc<AtomicUsize>,
    }

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let line = b"{\"a\":1}\n";
            let whole = buffer.len() / line.len() * line.len();
            buffer[..whole].chunks_exact_mut(line.len()).for_each(|chunk| chunk.copy_from_slice(line));
            self.taken.fetch_add(whole, Ordering::SeqCst);
            Ok(whole)
        }
    }

    #[test]
    fn reads_no_further_than_the_queue_has_room() {
        let taken = Arc::new(AtomicUsize::new(0));
        let (mut receiver, thread) = spawn(Box::new(Endless { taken: taken.clone() }), 16).expect("a thread");
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(receiver.len(), 16, "the queue is full and reading waits");
        assert!(taken.load(Ordering::SeqCst) <= 64 * 1024, "one buffer and no more");
        for line in 1..=100 {
            assert_eq!(receiver.blocking_recv().map(|item| item.line), Some(line));
        }
        drop(receiver);
        thread.join().expect("ends when nobody takes").expect("readable");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = open(Path::new("/no/such/file")).err().expect("there is none").to_string();
        assert!(error.contains("/no/such/file"), "{error}");
        assert!(open(Path::new("/")).is_err());
    }
}
