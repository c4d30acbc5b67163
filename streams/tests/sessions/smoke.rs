use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::toy::OUT;
use crate::world::World;

#[test]
fn counts_once() {
    let world = World::new(4);
    let t = Instant::now();
    let worker = world.start("one");
    worker.await_ready(4);
    eprintln!("ready after {:?}", t.elapsed());
    world.send((0..1000).map(|i| (format!("k{}", i % 10), "count".to_owned())));
    let t = Instant::now();
    let values = world.await_values(OUT, 1000);
    eprintln!("all after {:?} {:?}", t.elapsed(), worker.stats);
    assert_eq!(values.len(), 1000);
    worker.stop();
    let t = Instant::now();
    let worker = world.start("one");
    worker.await_ready(4);
    eprintln!("again after {:?}", t.elapsed());
    let two = world.start("two");
    two.await_ready(2);
    worker.await_ready(2);
    eprintln!("two after {:?} {:?}", t.elapsed(), two.stats);
    world.send((0..1000).map(|i| (format!("k{}", i % 10), "count".to_owned())));
    let values = world.await_values(OUT, 2000);
    for k in 0..10 {
        assert!(values.contains(&format!("k{k}=200")), "{k}");
    }
    assert_eq!(values.len(), 2000);
    eprintln!("{:?} {:?}", worker.stats.commits.load(Ordering::Relaxed), two.stats);
    worker.stop();
    two.stop();
}
