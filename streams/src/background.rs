//! Threads whose work can wait for longer than a request: on a full machine they get a third of the share of any other.

use std::panic::resume_unwind;
use std::thread;

/// A third of the share of a thread of ordinary priority, where they compete: enough to keep up with what the others bring.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Has this thread yield to others, and each that it makes from then on.
#[cfg(target_os = "linux")]
pub fn yield_to_others() {
    use rustix::process::{getpriority_process, setpriority_process};

    // Of one that yields more already, as the whole process may, nothing is taken back.
    let yields = getpriority_process(None).is_ok_and(|niceness| niceness >= NICENESS);
    if !yields && let Err(error) = setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the threads of the background have the priority of all others");
    }
}

/// Nothing: this system would have the whole process yield, and not this thread.
#[cfg(not(target_os = "linux"))]
pub fn yield_to_others() {}

/// Does something, such as opening a library's client, from a thread that yields to others: the threads that the library
/// makes do so too, and there is no other way to tell them.
pub fn open<T: Send>(open: impl FnOnce() -> T + Send) -> T {
    let open = || {
        yield_to_others();
        open()
    };
    thread::scope(|scope| scope.spawn(open).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).expect("the priority of this thread")
    }

    /// What is made there yields, and who asked for it does not.
    #[test]
    fn what_is_opened_in_the_background_yields() {
        let before = niceness();
        let (own, made) = open(|| (niceness(), thread::spawn(niceness).join().expect("a thread")));
        assert_eq!((own, made), (NICENESS.max(before), NICENESS.max(before)));
        assert_eq!(niceness(), before);
    }
}
