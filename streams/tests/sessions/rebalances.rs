//! Partitions that move between workers under load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::world::World;

const KEYS: usize = 40;

#[test]
fn from_one_worker_to_three_and_back() {
    let world = World::new(6);
    let sent = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) == 0 {
                world.count(KEYS, 5);
                sent.fetch_add(5, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let one = world.start("one");
        one.await_ready(6);
        let (two, three) = (world.start("two"), world.start("three"));
        [&one, &two, &three].iter().for_each(|worker| worker.await_ready(2));
        thread::sleep(Duration::from_millis(500));
        two.stop();
        // Its place is kept, and it comes back to it on the state that it had.
        let two = world.start("two");
        two.await_ready(2);
        two.leave();
        three.leave();
        one.await_ready(6);
        thread::sleep(Duration::from_millis(500));
        done.store(1, Ordering::Relaxed);
        one
    })
    .stop();
    let sent = sent.load(Ordering::Relaxed);
    let last = world.start("one");
    world.check_counts(KEYS, sent);
    last.stop();
}
