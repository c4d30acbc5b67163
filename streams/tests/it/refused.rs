//! A refused record or timer leaves its dead letter and nothing else.

use std::sync::atomic::Ordering;

use streams::driver::TIMER_TOPIC;

use crate::toy::{IN, NAME};
use crate::world::{T0, World};

#[test]
fn a_refused_record_is_a_dead_letter_and_its_neighbours_are_not() {
    let world = World::new();
    let mut running = world.open();
    let refused = format!("count;put x72 x01;delete x62;timer {} never;pad 9;refuse no", T0 - 1);
    let offset = running.send_all(&[("a", "count;put x62 x07"), ("a", &refused), ("a", "count")]);
    running.settle();
    assert_eq!(running.driver.progress().steps.load(Ordering::Relaxed), 1, "they were neighbours in one step");
    assert_eq!(running.outputs(), ["a=1", "a=2"]);
    let place = format!("{NAME} {}/0@{}", IN.id, offset + 1);
    assert_eq!(running.dead_letters(), [format!("{place} a={refused} at {T0}: told-to: it says no")]);
    let rows = [(b"sa".to_vec(), 2_u64.to_be_bytes().to_vec()), (b"sb".to_vec(), vec![7])];
    assert_eq!(crate::world::rows(&running.stores), rows);
    assert_eq!(running.driver.progress().dead_letters.load(Ordering::Relaxed), 1);
    drop(running);
    assert_eq!(world.restored(), rows);
}

#[test]
fn a_refused_timer_is_a_dead_letter_once() {
    let world = World::new();
    let mut running = world.open();
    running.send("a", &format!("timer {T0} refuse:it;timer {T0} fine"));
    running.settle();
    let letters = [format!("{NAME} {TIMER_TOPIC}/0@0 refuse:it= at {T0}: told-to: it says it")];
    assert_eq!(running.dead_letters(), letters);
    assert_eq!(
        running.fired(),
        [format!("fine {T0}")],
        "what the refused one did is undone, what the other did is not"
    );
    for restart in 0..2 {
        running.settle_at(T0 + 1_000 * (restart + 1));
        drop(running);
        running = world.open();
    }
    running.settle();
    assert_eq!(running.dead_letters(), letters);
    assert_eq!(crate::world::rows(&running.stores), []);
}
