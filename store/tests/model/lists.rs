//! Lists, whichever store they are in.

use std::collections::BTreeMap;

use schemas::Timestamp;
use schemas::ids::OrderKey;
use schemas::records::{Cause, CauseType, Confidence, ConversionState, ConversionTransitioned, TimelineEntry};
use schemas::topics::TRANSITIONS;
use store::{ListCursor, ListOf, ListPage, ListQuery, ReadModel};

use super::common::{NOW, report, transition};
use super::reads::on_both_stores;
use super::seed::seed;
use super::side::{Embedded, Server, Side};

on_both_stores!(
    a_conversion_is_listed_once_it_was_processed,
    no_list_has_anothers,
    what_waits_for_a_reviewer_is_a_list_over_all_merchants,
    pages_have_every_row_once_whatever_arrives_between_them,
    a_page_of_long_rows_is_short,
);

fn query(merchant_id: &str, livemode: bool) -> ListQuery {
    let of = ListOf::Merchant(merchant_id.to_owned());
    ListQuery { of, livemode, state: None, confidence: None, from: None, until: None, after: None, limit: 100 }
}

fn page<S: Side>(side: &S, query: &ListQuery) -> ListPage {
    side.wait(side.model().list(query)).expect("listed")
}

fn of(merchant_id: &str, livemode: bool, row: ConversionTransitioned) -> ConversionTransitioned {
    let key = OrderKey { merchant_id, livemode, external_order_id: &row.external_order_id };
    let conversion_id = key.conversion_id();
    ConversionTransitioned { conversion_id, merchant_id: merchant_id.to_owned(), livemode, ..row }
}

fn a_conversion_is_listed_once_it_was_processed<S: Side>(side: &S) {
    side.report(&report("A", "cnvevt_1"));
    let listed = page(side, &query("mer_one", true));
    assert_eq!((listed.rows.len(), listed.next), (0, None), "a report alone");
    for revision in [2, 1, 3] {
        side.publish(TRANSITIONS, &[transition("A", revision)]);
    }
    side.catch_up();
    let listed = page(side, &query("mer_one", true));
    let last = ConversionTransitioned { timeline: Vec::new(), ..transition("A", 3) };
    assert_eq!((listed.rows, listed.next), (vec![last], None));
}

fn no_list_has_anothers<S: Side>(side: &S) {
    let names = [("mer_one", true), ("mer_one", false), ("mer_one-", true), ("mer_on", true)];
    let numbered = names.iter().enumerate();
    let rows: Vec<_> = numbered
        .map(|(number, (merchant_id, livemode))| of(merchant_id, *livemode, transition(&format!("A-{number}"), 1)))
        .collect();
    side.publish(TRANSITIONS, &rows);
    side.catch_up();
    for (row, (merchant_id, livemode)) in rows.iter().zip(names) {
        let listed = page(side, &ListQuery { limit: 1, ..query(merchant_id, livemode) });
        assert_eq!((listed.rows.len(), listed.next), (1, None));
        assert_eq!(listed.rows[0].conversion_id, row.conversion_id);
    }
    for merchant_id in ["mer_two", ""] {
        assert_eq!(page(side, &query(merchant_id, true)), ListPage { rows: Vec::new(), next: None });
    }
}

fn what_waits_for_a_reviewer_is_a_list_over_all_merchants<S: Side>(side: &S) {
    let low = |merchant_id: &str, livemode: bool, order: &str, revision: i64, state: ConversionState| {
        let row = ConversionTransitioned {
            state,
            confidence: Some(Confidence::Low),
            timeline: Vec::new(),
            ..transition(order, revision)
        };
        of(merchant_id, livemode, row)
    };
    use ConversionState::{Hold, Received, Rejected, Reversed};
    let queue = |livemode: bool| {
        let query = ListQuery { of: ListOf::Reviewers, ..query("", livemode) };
        let rows = page(side, &query).rows;
        let mut found: Vec<String> =
            rows.into_iter().map(|row| format!("{} {}", row.merchant_id, row.external_order_id)).collect();
        found.sort();
        found
    };
    let waiting = [("mer_one", "A"), ("mer_one", "B"), ("mer_one", "C"), ("mer_two", "D"), ("mer_two", "E")];
    let mut rows: Vec<_> = waiting.map(|(merchant_id, order)| low(merchant_id, true, order, 1, Received)).into();
    rows.push(low("mer_one", false, "T", 1, Received));
    // Of these nobody has to decide anything.
    rows.push(ConversionTransitioned { confidence: None, ..low("mer_one", true, "X", 1, Received) });
    rows.push(ConversionTransitioned { confidence: Some(Confidence::High), ..low("mer_one", true, "Y", 1, Hold) });
    side.publish(TRANSITIONS, &rows);
    side.catch_up();
    assert_eq!(queue(true), ["mer_one A", "mer_one B", "mer_one C", "mer_two D", "mer_two E"]);
    assert_eq!(queue(false), ["mer_one T"]);
    // One is approved, one rejected, one reversed, and one upgraded by its click; a rejection may be taken back.
    let by_click = ConversionTransitioned {
        confidence: Some(Confidence::High),
        timeline: transition("D", 2).timeline.into_iter().map(clicked).collect(),
        ..low("mer_two", true, "D", 2, Hold)
    };
    let decided = [
        low("mer_one", true, "A", 2, Hold),
        low("mer_one", true, "B", 2, Rejected),
        low("mer_one", true, "C", 2, Reversed),
        by_click,
    ];
    side.publish(TRANSITIONS, &decided);
    side.catch_up();
    assert_eq!(queue(true), ["mer_two E"]);
    side.publish(TRANSITIONS, &[low("mer_one", true, "B", 3, Received)]);
    // An earlier revision that is written again brings nothing back.
    side.publish(TRANSITIONS, &[low("mer_one", true, "A", 1, Received)]);
    side.catch_up();
    assert_eq!(queue(true), ["mer_one B", "mer_two E"]);
    let none = ListQuery { of: ListOf::Reviewers, confidence: Some(Confidence::High), ..query("", true) };
    assert_eq!(page(side, &none), ListPage { rows: Vec::new(), next: None });
}

fn clicked(entry: TimelineEntry) -> TimelineEntry {
    TimelineEntry { cause: Cause { kind: CauseType::Click, ..entry.cause }, ..entry }
}

/// A merchant's conversions, in the order of the list.
type Listed = BTreeMap<ListCursor, ConversionTransitioned>;

/// What a walk is begun with, and what comes while it is under way.
struct Round {
    dice: fastrand::Rng,
    merchant_id: String,
    rows: Listed,
    made: usize,
}

impl Round {
    fn row(&mut self) -> ConversionTransitioned {
        let dice = &mut self.dice;
        let at = match dice.u8(..4) {
            0 => dice.i64(0..3),
            1 => dice.i64(0..3_600_000),
            2 => dice.i64(-200..200) * 600_000,
            _ => dice.i64(-3..3) * 31_556_952_000,
        };
        let row = transition(&format!("A-{}", self.made), dice.i64(1..4));
        let state = dice.choice([ConversionState::Hold, ConversionState::Payable]).expect("one of two");
        let confidence = dice.choice([None, Some(Confidence::Low), Some(Confidence::High)]).expect("one of three");
        self.made += 1;
        let row = ConversionTransitioned { state, confidence, received_at: Timestamp(NOW.0 + at), ..row };
        let row = of(&self.merchant_id, true, row);
        let place = ListCursor::of(&row);
        self.rows.insert(place, ConversionTransitioned { timeline: Vec::new(), ..row.clone() });
        row
    }

    /// A later revision of a row that is there, which leaves what it is filtered by.
    fn again(&mut self) -> Option<ConversionTransitioned> {
        let row = self.dice.choice(self.rows.values_mut())?;
        *row = ConversionTransitioned { revision: row.revision + 1, conflicts: row.conflicts + 1, ..row.clone() };
        Some(row.clone())
    }
}

fn pages_have_every_row_once_whatever_arrives_between_them<S: Side>(side: &S) {
    let seed = seed();
    for number in 0..24 {
        let dice = fastrand::Rng::with_seed(seed.wrapping_add(number));
        let mut round = Round { dice, merchant_id: format!("mer_{number}"), rows: Listed::new(), made: 0 };
        walk_round(side, &mut round);
    }
}

fn walk_round<S: Side>(side: &S, round: &mut Round) {
    let rows: Vec<_> = (0..round.dice.usize(..80)).map(|_| round.row()).collect();
    side.publish(TRANSITIONS, &rows);
    side.catch_up();
    let merchant_id = round.merchant_id.clone();
    let bound = |round: &mut Round| round.dice.bool().then(|| NOW.0 + round.dice.i64(-100..100) * 600_000);
    let (from, until) = (bound(round).map(Timestamp), bound(round).map(Timestamp));
    let state = round.dice.bool().then_some(ConversionState::Hold);
    let confidence = round.dice.bool().then_some(Confidence::Low);
    let limit = round.dice.usize(1..12);
    let mut query = ListQuery { state, confidence, from, until, limit, ..query(&merchant_id, true) };
    let asked = |row: &ConversionTransitioned| {
        let in_time =
            from.is_none_or(|from| row.received_at >= from) && until.is_none_or(|until| row.received_at < until);
        in_time && query.admits(row.state, row.confidence)
    };
    let expected: Vec<ListCursor> =
        round.rows.iter().rev().filter(|(_, row)| asked(row)).map(|(place, _)| *place).collect();
    let before: Vec<ListCursor> = round.rows.keys().copied().collect();
    let mut found = Vec::new();
    loop {
        let page = page(side, &query);
        assert!(page.rows.len() <= limit);
        for row in page.rows {
            let place = ListCursor::of(&row);
            assert_eq!(Some(&row), round.rows.get(&place), "as of its last revision");
            found.push(place);
        }
        assert!(query.after.is_none() || page.next.is_none_or(|next| Some(next) < query.after), "{:?}", query.after);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
        let mut arriving: Vec<_> = (0..round.dice.usize(..4)).map(|_| round.row()).collect();
        arriving.extend(round.again());
        side.publish(TRANSITIONS, &arriving);
        side.catch_up();
    }
    assert!(found.is_sorted_by(|a, b| a > b), "in order, and none twice");
    found.retain(|place| before.contains(place));
    assert_eq!(found, expected);
}

fn a_page_of_long_rows_is_short<S: Side>(side: &S) {
    let metadata = Some("x".repeat(8 << 10));
    let rows: Vec<_> = (0..90)
        .map(|number| ConversionTransitioned { metadata: metadata.clone(), ..transition(&format!("A-{number}"), 1) })
        .collect();
    side.publish(TRANSITIONS, &rows);
    side.catch_up();
    let (mut query, mut lengths) = (query("mer_one", true), Vec::new());
    loop {
        let page = page(side, &query);
        lengths.push(page.rows.len());
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(lengths.iter().sum::<usize>(), 90);
    assert!(lengths.iter().all(|length| *length <= 40), "{lengths:?}");
}
