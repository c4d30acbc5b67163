use proptest::prelude::*;
use std::time::Duration;

use schemas::records::OrderStatus;
use schemas::{Currency, Timestamp};
use streams::store::MemoryStore;
use streams::{Change, StateStore};

use super::super::ahead::Ahead;
use super::super::fold::Batch;
use super::super::places::parse_place;
use super::super::rows::conversion_key;
use super::*;

const FREE: Bounds = Bounds { looked_at_max: usize::MAX, look_max: Duration::MAX, bytes_max: usize::MAX };
const MERCHANTS: [&str; 3] = ["mer", "mer-", "mer_two"];

/// A conversion of the first merchant, live.
fn conversion(number: u8, received_at: i64) -> ConversionTransitioned {
    ConversionTransitioned {
        conversion_id: ConversionId([number; 16]),
        revision: 1,
        seq: 1,
        event_id: format!("cnvevt_{number}"),
        merchant_id: MERCHANTS[0].to_owned(),
        livemode: true,
        external_order_id: format!("A-{number}"),
        state: ConversionState::Received,
        confidence: None,
        confidence_reason: None,
        click_id: None,
        affiliate_id: None,
        campaign_id: None,
        suggested_affiliate_id: None,
        external_product_id: None,
        amount_minor: 1,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Pending,
        ordered_at: Timestamp(received_at),
        received_at: Timestamp(received_at),
        coupon_code: None,
        metadata: None,
        commission: None,
        hold_until: None,
        refunded_thousandths: None,
        conflicts: 0,
        timeline: Vec::new(),
        explanation: None,
        at: Timestamp(received_at),
    }
}

fn all(limit: usize) -> ListQuery {
    ListQuery {
        of: ListOf::Merchant(MERCHANTS[0].to_owned()),
        livemode: true,
        state: None,
        confidence: None,
        from: None,
        until: None,
        after: None,
        limit,
    }
}

fn place(row: &ConversionTransitioned) -> ListCursor {
    ListCursor::of(row)
}

/// Feeds a conversion as the feeder does.
fn feed(rows: &mut MemoryStore, conversion: &ConversionTransitioned) {
    let ahead = Ahead::new();
    let mut batch = Batch::new(&*rows, &ahead);
    batch.transition(conversion.clone()).expect("folded");
    let changes = batch.into_changes();
    rows.apply(&changes, 0).expect("applied");
}

fn fed(conversions: &[ConversionTransitioned]) -> MemoryStore {
    let mut rows = MemoryStore::default();
    conversions.iter().for_each(|conversion| feed(&mut rows, conversion));
    rows
}

/// A page as the numbers of its conversions, and that of its cursor.
#[track_caller]
fn check(rows: &MemoryStore, query: &ListQuery, bounds: &Bounds, expected: &[u8], next: Option<u8>) {
    let page = page(rows, query, bounds).expect("listed");
    let numbers: Vec<u8> = page.rows.iter().map(|row| row.conversion_id.0[0]).collect();
    assert_eq!((numbers.as_slice(), page.next.map(|next| next.id[0])), (expected, next), "{query:?}");
}

#[test]
fn newest_first_and_of_one_time_by_id() {
    let rows = fed(&[conversion(1, 10), conversion(9, 20), conversion(3, 20), conversion(7, 5)]);
    check(&rows, &all(10), &FREE, &[9, 3, 1, 7], None);
    check(&rows, &all(4), &FREE, &[9, 3, 1, 7], None);
    check(&rows, &all(2), &FREE, &[9, 3], Some(3));
    let after = |received_at, number| {
        let place = ListCursor { at: Timestamp(received_at), id: [number; 16] };
        ListQuery { after: Some(place), ..all(10) }
    };
    check(&rows, &after(20, 9), &FREE, &[3, 1, 7], None);
    check(&rows, &after(20, 4), &FREE, &[3, 1, 7], None);
    check(&rows, &after(5, 7), &FREE, &[], None);
    check(&rows, &after(i64::MAX, 255), &FREE, &[9, 3, 1, 7], None);
    check(&rows, &after(0, 0), &FREE, &[], None);
    check(&rows, &all(0), &FREE, &[9], Some(9));
}

#[test]
fn from_is_included_and_until_is_not() {
    let rows = fed(&[conversion(1, 0), conversion(2, 10), conversion(3, 20)]);
    let between =
        |from: i64, until: i64| ListQuery { from: Some(Timestamp(from)), until: Some(Timestamp(until)), ..all(10) };
    check(&rows, &between(10, 20), &FREE, &[2], None);
    check(&rows, &between(10, 21), &FREE, &[3, 2], None);
    check(&rows, &between(11, 20), &FREE, &[], None);
    check(&rows, &between(0, 1), &FREE, &[1], None);
    check(&rows, &between(0, i64::MAX), &FREE, &[3, 2, 1], None);
    for (from, until) in [(10, 10), (20, 10), (0, 0), (i64::MAX, 0), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX)] {
        check(&rows, &between(from, until), &FREE, &[], None);
    }
    check(&rows, &between(i64::MIN, i64::MAX), &FREE, &[3, 2, 1], None);
}

#[test]
fn each_bound_ends_a_page_that_can_be_gone_on_from() {
    let state = |number: u8| if number.is_multiple_of(50) { ConversionState::Hold } else { ConversionState::Payable };
    let row = |number: u8| ConversionTransitioned { state: state(number), ..conversion(number, 1) };
    let rows = fed(&(1..=200).map(row).collect::<Vec<_>>());
    let held = |number| {
        let after = (number < 255).then_some(ListCursor { at: Timestamp(1), id: [number; 16] });
        ListQuery { state: Some(ConversionState::Hold), after, ..all(10) }
    };
    check(&rows, &held(255), &FREE, &[200, 150, 100, 50], None);
    let looks = |looked_at_max| Bounds { looked_at_max, ..FREE };
    check(&rows, &held(255), &looks(120), &[200, 150, 100], Some(81));
    check(&rows, &held(81), &looks(20), &[], Some(61));
    check(&rows, &held(61), &looks(20), &[50], Some(41));
    check(&rows, &held(41), &looks(40), &[], None);
    check(&rows, &held(41), &looks(39), &[], Some(2));
    check(&rows, &held(255), &Bounds { look_max: Duration::ZERO, ..FREE }, &[200, 150], Some(137));
    let bytes = rows.get(&conversion_key(ConversionId([200; 16]))).expect("read").expect("there").len();
    check(&rows, &held(255), &Bounds { bytes_max: 1, ..FREE }, &[200], Some(200));
    check(&rows, &held(255), &Bounds { bytes_max: bytes, ..FREE }, &[200], Some(200));
    check(&rows, &held(255), &Bounds { bytes_max: bytes + 1, ..FREE }, &[200, 150], Some(150));
}

#[test]
fn what_counts_is_the_conversion() {
    let mut rows = fed(&[conversion(1, 10), conversion(2, 20)]);
    let reversed = ConversionTransitioned { revision: 2, state: ConversionState::Reversed, ..conversion(1, 10) };
    let received = ListQuery { state: Some(ConversionState::Received), ..all(10) };
    let (key, value) = list_row(&conversion(1, 10));
    feed(&mut rows, &reversed);
    // Old revisions change nothing.
    feed(&mut rows, &conversion(1, 10));
    check(&rows, &ListQuery { state: Some(ConversionState::Reversed), ..all(10) }, &FREE, &[1], None);
    check(&rows, &received, &FREE, &[2], None);
    // The row of the list as it was a moment ago.
    rows.apply(&[Change { key: key.into(), value: Some(value) }], 0).expect("applied");
    check(&rows, &received, &FREE, &[2], None);
    // A row that is not where its conversion is.
    let (key, value) = list_row(&conversion(2, 15));
    rows.apply(&[Change { key: key.into(), value: Some(value) }], 0).expect("applied");
    check(&rows, &all(10), &FREE, &[2, 1], None);
}

#[test]
fn damage_is_an_error() {
    let (key, value) = list_row(&conversion(1, 10));
    let damaged = [
        (key.clone(), value.slice(1..)),
        (key.clone(), value.slice(..value.len() - 1)),
        (key.clone(), Bytes::new()),
        (key, value),
    ];
    for (number, (key, value)) in damaged.into_iter().enumerate() {
        let mut rows = MemoryStore::default();
        rows.apply(&[Change { key: key.into(), value: Some(value) }], 0).expect("applied");
        let error = page(&rows, &all(10), &FREE).expect_err("damaged").to_string();
        assert!(error.contains("delete the state folder"), "{number}: {error}");
    }
    assert!(parse_place(&[0; 23]).is_err());
}

prop_compose! {
    fn any_conversion()(
        number in 0_u8..40,
        received_at in 0_i64..6,
        revision in 1_i64..4,
        merchant in 0_usize..3,
        livemode in prop::bool::weighted(0.8),
        state in prop_oneof![
            Just(ConversionState::Hold), Just(ConversionState::Payable), Just(ConversionState::Received),
        ],
        confidence in prop_oneof![Just(None), Just(Some(Confidence::High)), Just(Some(Confidence::Low))],
    ) -> ConversionTransitioned {
        // Whose it is and when it came never changes.
        let (merchant, livemode, received_at) =
            if number < 30 { (0, true, i64::from(number) % 6) } else { (merchant, livemode, received_at) };
        let id = number.wrapping_mul(101).wrapping_add(u8::try_from(merchant * 3 + usize::from(livemode)).expect("small"));
        let row = conversion(id, received_at);
        ConversionTransitioned { merchant_id: MERCHANTS[merchant].to_owned(), livemode, revision, state, confidence, ..row }
    }
}

prop_compose! {
    fn any_query()(
        livemode in prop::bool::weighted(0.8),
        state in prop_oneof![Just(None), Just(Some(ConversionState::Hold)), Just(Some(ConversionState::Payable))],
        confidence in prop_oneof![3 => Just(None), 1 => Just(Some(Confidence::High)), 1 => Just(Some(Confidence::Low))],
        from in prop::option::weighted(0.3, 0_i64..7),
        until in prop::option::weighted(0.3, 0_i64..7),
        limit in 1_usize..8,
        of in prop_oneof![3 => Just(ListOf::Merchant(MERCHANTS[0].to_owned())), 1 => Just(ListOf::Reviewers)],
    ) -> ListQuery {
        let (from, until) = (from.map(Timestamp), until.map(Timestamp));
        ListQuery { of, livemode, state, confidence, from, until, ..all(limit) }
    }
}

/// What the rows must say: each conversion as of its highest revision, the first of which was fed.
#[derive(Default)]
struct Model(std::collections::BTreeMap<ListCursor, ConversionTransitioned>);

impl Model {
    /// Feeds both; `false` if the conversion is known under another place, which nothing that happens can bring.
    fn feed(&mut self, rows: &mut MemoryStore, conversion: &ConversionTransitioned) {
        let of_another = |known: &&ConversionTransitioned| {
            known.conversion_id == conversion.conversion_id
                && (known.received_at, &known.merchant_id, known.livemode)
                    != (conversion.received_at, &conversion.merchant_id, conversion.livemode)
        };
        if self.0.values().find(of_another).is_some() {
            return;
        }
        feed(rows, conversion);
        let known = self.0.entry(place(conversion)).or_insert_with(|| conversion.clone());
        if known.revision < conversion.revision {
            *known = conversion.clone();
        }
    }

    /// What a query without a cursor or a limit has to find.
    fn asked_for(&self, query: &ListQuery) -> Vec<ConversionTransitioned> {
        let newest_first = self.0.values().rev();
        let is_of = |row: &&ConversionTransitioned| match &query.of {
            ListOf::Merchant(merchant_id) => row.merchant_id == *merchant_id,
            ListOf::Reviewers => true,
        };
        let of_caller = newest_first.filter(|row| row.livemode == query.livemode).filter(is_of);
        let in_time = of_caller.filter(|row| {
            query.from.is_none_or(|from| row.received_at >= from)
                && query.until.is_none_or(|until| row.received_at < until)
        });
        in_time.filter(|row| query.admits(row.state, row.confidence)).cloned().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn paging_neither_skips_nor_repeats_while_rows_arrive(
        first in prop::collection::vec(any_conversion(), 0..60),
        arrivals in prop::collection::vec(prop::collection::vec(any_conversion(), 0..4), 0..30),
        query in any_query(),
        looked_at_max in prop_oneof![1_usize..6, Just(usize::MAX)],
        bytes_max in prop_oneof![Just(1_usize), Just(200), Just(usize::MAX)],
    ) {
        let (mut rows, mut model) = (MemoryStore::default(), Model::default());
        first.iter().for_each(|row| model.feed(&mut rows, row));
        // Those that match all the while are found once; those that came or went meanwhile at most once.
        let mut must: Vec<ListCursor> = model.asked_for(&query).iter().map(place).collect();
        let bounds = Bounds { looked_at_max, bytes_max, ..FREE };
        let (mut found, mut after, mut arrivals) = (Vec::new(), None, arrivals.into_iter());
        for pages in 0.. {
            prop_assert!(pages < 200, "no end");
            let asked_for = model.asked_for(&query);
            let page = page(&rows, &ListQuery { after, ..query.clone() }, &bounds).expect("listed");
            prop_assert!(page.rows.len() <= query.limit);
            for row in &page.rows {
                prop_assert!(asked_for.contains(row), "{:?} was not asked for", row);
            }
            found.extend(page.rows.iter().map(place));
            let Some(next) = page.next else { break };
            prop_assert!(after.is_none_or(|after| next < after), "no progress");
            after = Some(next);
            arrivals.next().into_iter().flatten().for_each(|row| model.feed(&mut rows, &row));
            let now = model.asked_for(&query);
            must.retain(|place_of| now.iter().any(|row| place(row) == *place_of));
        }
        prop_assert!(found.is_sorted_by(|one, next| one > next), "in order, and none twice: {:?}", found);
        let missing: Vec<_> = must.iter().filter(|place| !found.contains(place)).collect();
        prop_assert!(missing.is_empty(), "{:?} are missing in {:?}", missing, found);
    }
}
