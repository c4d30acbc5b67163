//! The embedded log: segmented files, one checksummed frame for each step, one group-committed sync for all.
//!
//! # Constraints
//!
//! 1. What was acknowledged is on the disk and is never lost, whatever stops the process or the machine.
//! 2. A step (outputs, state changes, input position) is there as a whole or not at all.
//! 3. Readers see only what is durable. Otherwise something could be derived from records that a crash then takes back.
//! 4. Damage to what was durable is never passed over in silence. A torn tail, which nobody was promised, is no damage.
//! 5. Nothing is without a bound: queue, batch, frame, memory, segment.
//! 6. One thread writes one file at its end; nothing that was written is ever changed, and old files are removed whole.
//!
//! # Positions
//!
//! The log is the endless concatenation of its segment files, headers and all. A *position* is the address of a byte in
//! it, a `u64`. A segment file is named by the position of its first byte, in 20 digits, so byte `b` of the file `s` is
//! at position `s + b`, and a segment starts where the one before it ends. The position of a frame is that of its first
//! byte; the position at the end of one segment and the first frame's in the next mean the same place in the stream.
//!
//! The offset of a record is the position of its frame plus its index in the frame. A record takes more than one byte
//! of its frame, so offsets of different frames never overlap and have the order of the log.
//!
//! # On disk
//!
//! All numbers are little-endian. A segment file is a header and then frames, with nothing between or after them.
//!
//! | segment header | bytes | |
//! |---|---|---|
//! | magic | 8 | `streams\0` |
//! | format version | 4 | 1; another is refused before anything else is believed |
//! | checksum | 4 | CRC-32 of the header after this field |
//! | length | 4 | of the header |
//! | consumers | 4 | how many follow |
//! | start | 8 | the position of the file's first byte, as in its name |
//! | for each consumer | | length of the name (1), name, committed input position (8), end of its last frame with state changes or 0 (8) |
//!
//! The positions of the consumers are those at the start of the segment, so dropping older segments loses none.
//!
//! | frame header | bytes | |
//! |---|---|---|
//! | magic | 4 | `F5 66 72 6D` |
//! | checksum | 4 | CRC-32 of the body followed by the header after this field (the body first, because it is known first) |
//! | body length | 4 | |
//! | kind | 4 | 1: published messages; 2: a step |
//! | records | 4 | how many |
//! | changes | 4 | how many |
//! | position | 8 | of the frame itself: bytes that look like a frame inside a body are none |
//! | durable | 8 | the position up to which everything was synced when this frame was written |
//! | topics | 8 | bit `id mod 64` for the topic of each record, so that readers pass over frames they do not want |
//!
//! | frame body | bytes | |
//! |---|---|---|
//! | steps only | | length of the consumer's name (1), name, its new input position (8) |
//! | each record | 10 + | topic (2), length of key (4), length of value (4), key, value |
//! | each change | 8 + | length of key (4), length of value (4; `FFFFFFFF`: the row is deleted), key, value |
//!
//! # Order of operations, and what a crash leaves
//!
//! *Writing a batch:* (1) the frames that wait are put one after the other, each saying `durable` = the end of the
//! batch before; (2) one write; (3) one `fdatasync`; (4) readers see them; (5) whoever waits is answered.
//! A crash before (3) has ended leaves any subset of the batch's bytes, and nobody was answered. One after it leaves the
//! whole batch, and those who were not answered find it done. A write or sync that fails is never tried again: the log
//! takes no more and everybody gets the error, because after a failed sync nobody knows which pages are on the disk.
//!
//! *Beginning a log:* (1) the folder is made; (2) the names of all folders above it are synced, whoever made them; (3) its
//! first segment is begun. So a log with a segment is one whose folder a crash leaves where it is.
//!
//! *Beginning a segment*, when the last has reached its size and all of it is synced: (1) the header is written to
//! `….seg.new` and synced; (2) the file is renamed; (3) the folder is synced; (4) the next batch goes to it.
//! A crash leaves no file, a `.new` file, which opening removes, or a whole and empty segment. So a header is never
//! torn, and every segment but the last is known to be durable to its end.
//!
//! *Dropping segments:* the oldest is removed and the folder synced, then the next; one whose folder did not sync is synced
//! before the next is removed. A crash leaves fewer segments, with no hole. The consumers' positions are in the header of the first that is left.
//!
//! *Opening:* every frame of every segment is read and checked.
//!
//! - Anything wrong in a segment that is not the last is damage, and so is a missing segment.
//! - Something wrong at position X of the last segment is a torn tail if no sound frame after it says `durable` > X:
//!   then nothing from X on can have been acknowledged by a batch that another followed. The file is cut at X and synced.
//!   If a sound frame says `durable` > X, the bytes at X were synced and are damage.
//! - Damage is refused, with the file, the byte and what to do. Nothing is changed then.
//! - What the frames do not prove to be durable, which is the last batch, is written again in place and synced before
//!   anybody reads it. The process before may have died between write and sync, or of a failed sync.
//!
//! What this cannot tell from a torn tail is damage to the very last batch while the log was not open.

mod buffer;
mod consumers;
mod cursor;
mod draft;
mod fields;
mod frame;
mod handle;
mod options;
mod pump;
mod queue;
mod reader;
mod recover;
mod segment;
mod session;
mod shared;
mod stats;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use consumers::ConsumerInfo;
pub use handle::{EmbeddedLog, SegmentInfo};
pub use options::Options;
pub use reader::Reader;
pub use session::EmbeddedSession;
pub use stats::Stats;
pub use view::LogView;
