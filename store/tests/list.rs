//! The list of a merchant's conversions, as the embedded store has it.

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use common::{NOW, World, claim, id, message, publish, report, transition, wait};
use schemas::Timestamp;
use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{Confidence, ConversionState, ConversionTransitioned};
use schemas::topics::{CONVERSIONS, TRANSITIONS};
use store::{Claims, EmbeddedStore, ListCursor, ListOf, ListPage, ListQuery, ReadModel};
use streams::Message;
use streams::log::Limits;

fn query(merchant_id: &str, livemode: bool) -> ListQuery {
    let of = ListOf::Merchant(merchant_id.to_owned());
    ListQuery { of, livemode, state: None, confidence: None, from: None, until: None, after: None, limit: 100 }
}

fn page(store: &EmbeddedStore, query: &ListQuery) -> ListPage {
    wait(store.list(query)).expect("listed")
}

fn orders(store: &EmbeddedStore, query: &ListQuery) -> Vec<String> {
    page(store, query).rows.into_iter().map(|row| row.external_order_id).collect()
}

/// The transition of an order that was received so long after [`NOW`].
fn received(order: &str, ms: i64) -> ConversionTransitioned {
    ConversionTransitioned { received_at: Timestamp(NOW.0 + ms), ..transition(order, 1) }
}

fn of(merchant_id: &str, livemode: bool, row: ConversionTransitioned) -> ConversionTransitioned {
    let key = OrderKey { merchant_id, livemode, external_order_id: &row.external_order_id };
    let conversion_id = key.conversion_id();
    ConversionTransitioned { conversion_id, merchant_id: merchant_id.to_owned(), livemode, ..row }
}

fn transitions<'a>(rows: impl IntoIterator<Item = &'a ConversionTransitioned>) -> Vec<Message> {
    rows.into_iter().map(|row| message(TRANSITIONS, row)).collect()
}

#[test]
fn a_conversion_is_listed_once_it_was_processed() {
    let world = World::new();
    let mut process = world.start();
    let report = report("A", "cnvevt_1");
    let offset = publish(&process.log, vec![message(CONVERSIONS, &report)]);
    wait(process.store.claim_conversion(id("A"), &claim(&report, offset))).expect("claimed");
    process.catch_up();
    let listed = page(&process.store, &query("mer_one", true));
    assert_eq!((listed.rows.len(), listed.next), (0, None), "a report alone");
    for revision in [2, 1, 3] {
        publish(&process.log, transitions([&transition("A", revision)]));
    }
    process.catch_up();
    let listed = page(&process.store, &query("mer_one", true));
    let last = ConversionTransitioned { timeline: Vec::new(), ..transition("A", 3) };
    assert_eq!((listed.rows, listed.next), (vec![last], None));
}

#[test]
fn no_list_has_anothers() {
    let world = World::new();
    let mut process = world.start();
    let names = [("mer_one", true), ("mer_one", false), ("mer_one-", true), ("mer_on", true)];
    let rows: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(number, (merchant_id, livemode))| of(merchant_id, *livemode, received(&format!("A-{number}"), 0)))
        .collect();
    publish(&process.log, transitions(&rows));
    process.catch_up();
    let mut cursor = None;
    for (number, (merchant_id, livemode)) in names.into_iter().enumerate() {
        let query = ListQuery { limit: 1, ..query(merchant_id, livemode) };
        let listed = page(&process.store, &query);
        assert_eq!((listed.rows.len(), listed.next), (1, None));
        assert_eq!(listed.rows[0].external_order_id, format!("A-{number}"));
        // Another's place, whatever it is, shows one's own.
        let after = cursor.replace(ListCursor { at: NOW, id: [255; 16] });
        assert_eq!(orders(&process.store, &ListQuery { after, ..query }), [format!("A-{number}")]);
    }
    assert!(orders(&process.store, &query("mer_two", true)).is_empty());
    assert!(orders(&process.store, &query("", true)).is_empty());
}

#[test]
fn a_merchant_that_is_no_name_is_passed_over() {
    let world = World::new();
    let mut process = world.start();
    let strange = ConversionTransitioned { merchant_id: "mer\0\u{1}".to_owned(), ..transition("A", 1) };
    publish(&process.log, transitions([&strange, &transition("B", 1)]));
    process.catch_up();
    assert_eq!(process.store.stats().skipped, 1);
    assert_eq!(orders(&process.store, &query("mer_one", true)), ["B"]);
}

#[test]
fn a_filter_that_finds_little_takes_several_pages() {
    const ROWS: i64 = 12_000;
    let world = World::new();
    let mut process = world.start();
    let row = |number: i64| {
        let found = number == ROWS / 2 || number == 1;
        let state = if found { ConversionState::Reversed } else { ConversionState::Hold };
        let confidence = Some(if found { Confidence::Low } else { Confidence::High });
        ConversionTransitioned { state, confidence, timeline: Vec::new(), ..received(&format!("A-{number}"), number) }
    };
    for first in (0..ROWS).step_by(500) {
        publish(&process.log, transitions(&(first..first + 500).map(row).collect::<Vec<_>>()));
    }
    process.catch_up();
    for (state, confidence) in [(Some(ConversionState::Reversed), None), (None, Some(Confidence::Low))] {
        let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = page(&process.store, &ListQuery { state, confidence, after, ..query("mer_one", true) });
            pages += 1;
            found.extend(page.rows.into_iter().map(|row| row.external_order_id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, [format!("A-{}", ROWS / 2), "A-1".to_owned()]);
        assert!(pages >= 2, "one page looked at {ROWS} rows");
    }
}

#[test]
fn paging_neither_skips_nor_repeats_while_it_is_fed() {
    const FIRST: i64 = 300;
    const ROUNDS_MIN: usize = 30;
    const FED_MIN: i64 = 10;
    let world = World::new();
    let mut process = world.start();
    let first: Vec<_> = (0..FIRST).map(|number| received(&format!("A-{number}"), 10 * (number / 3))).collect();
    publish(&process.log, transitions(&first));
    process.catch_up();
    let expected: BTreeSet<ConversionId> = first.iter().map(|row| row.conversion_id).collect();
    let (fed, done) = (AtomicI64::new(0), AtomicBool::new(false));
    let (store, log, feeder) = (process.store.clone(), &process.log, &mut process.feeder);
    thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let number = fed.load(Ordering::Relaxed);
                // Newer ones, older ones, some in between, and another revision of one that is there.
                let late = received(&format!("B-{number}"), (number * 37) % 2_000 - 500);
                let again = ConversionTransitioned {
                    received_at: first[usize::try_from(number % FIRST).expect("small")].received_at,
                    ..transition(&format!("A-{}", number % FIRST), 2)
                };
                publish(log, transitions([&late, &again]));
                feeder.step(&Limits::default(), Duration::ZERO).expect("fed");
                fed.store(number + 1, Ordering::Relaxed);
            }
        });
        for round in 0.. {
            if round >= ROUNDS_MIN && fed.load(Ordering::Relaxed) > FED_MIN {
                break;
            }
            assert!(!feeding.is_finished(), "the feeder stopped");
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = page(&store, &ListQuery { after, limit: 7 + round % 30, ..query("mer_one", true) });
                seen.extend(page.rows.iter().map(|row| (row.received_at, row.conversion_id)));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert!(seen.is_sorted_by(|one, next| one > next), "in order, and none twice");
            let seen: BTreeSet<ConversionId> = seen.into_iter().map(|(_, id)| id).collect();
            assert!(expected.is_subset(&seen), "{} are missing", expected.difference(&seen).count());
        }
        done.store(true, Ordering::Relaxed);
        feeding.join().expect("fed");
    });
}
