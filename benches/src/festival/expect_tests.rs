use super::super::book::Book;
use super::super::plan::{Group, Update};
use super::super::terms::{Merchant, Product};
use super::*;

/// Merchant 0 pays 10 % of what is neither red nor free, in NPR.
fn order(updates: &[(Status, Option<u64>)]) -> Order {
    let at = |(place, (status, refunded)): (usize, &(Status, Option<u64>))| Update {
        status: *status,
        refunded: *refunded,
        delay: 1_000 * (1 + place as u64),
    };
    Order {
        number: 0,
        group: Group { merchant: Merchant(0), forged: false, intended: 0 },
        click: Click::Known(0),
        product: Product::Other,
        amount: 100_000,
        confirmed: false,
        updates: updates.iter().enumerate().map(at).collect(),
        duplicate: None,
        conflict: None,
    }
}

fn accepted(parts: &[Part]) -> Line {
    let book = Book::new(1, 1, 0, 1);
    parts.iter().for_each(|part| book.set_accepted(0, *part));
    book.read(0)
}

fn all(order: &Order) -> Line {
    let parts: Vec<Part> = (0..order.updates.len()).map(Part::Update).chain([Part::Report]).collect();
    accepted(&parts)
}

fn shown(state: &str, commission: Option<&str>) -> Shown {
    Shown {
        state: state.to_owned(),
        confidence: Some("HIGH".to_owned()),
        confidence_reason: None,
        commission: commission
            .map(|amount| ShownCommission { amount: amount.to_owned(), level: "merchant".to_owned() }),
        refunded_amount: None,
        order_amount: "1000.00".to_owned(),
        currency: "NPR".to_owned(),
        conflicts: 0,
    }
}

#[test]
fn where_statuses_bring_an_order() {
    let check = |updates: &[(Status, Option<u64>)], state, amount, refunded: Option<&str>| {
        let order = order(updates);
        let shown = Shown { refunded_amount: refunded.map(str::to_owned), ..shown(state, Some(amount)) };
        assert_eq!(super::check(&order, all(&order), false, Some(&shown)), None, "{updates:?}");
    };
    use Status::{Approved, Cancelled, Confirmed, Delivered, Refunded, Rejected, Returned};
    check(&[], "commission_created", "100.00", None);
    check(&[(Confirmed, None)], "hold", "100.00", None);
    check(&[(Confirmed, None), (Delivered, None)], "hold", "100.00", None);
    check(&[(Approved, None)], "payable", "100.00", None);
    check(&[(Confirmed, None), (Cancelled, None)], "reversed", "100.00", None);
    check(&[(Rejected, None), (Approved, None)], "reversed", "100.00", None);
    check(&[(Delivered, None), (Refunded, Some(25_000))], "hold", "75.00", Some("250.00"));
    check(&[(Returned, Some(50_000)), (Refunded, Some(33_333))], "commission_created", "16.67", Some("833.33"));
    check(&[(Returned, Some(50_000)), (Refunded, Some(60_000))], "reversed", "50.00", Some("1000.00"));
    check(&[(Refunded, Some(100_000)), (Rejected, None)], "reversed", "100.00", Some("1000.00"));
    check(&[(Returned, Some(50_000)), (Returned, None)], "reversed", "50.00", Some("500.00"));
}

#[test]
fn a_short_hold_has_ended() {
    let order = order(&[(Status::Confirmed, None)]);
    assert_eq!(check(&order, all(&order), true, Some(&shown("payable", Some("100.00")))), None);
    assert!(check(&order, all(&order), true, Some(&shown("hold", Some("100.00")))).is_some());
}

#[test]
fn each_kind_of_wrong_answer_is_found() {
    let order = order(&[(Status::Confirmed, None)]);
    let right = || shown("hold", Some("100.00"));
    let what = |shown: Option<Shown>| check(&order, all(&order), false, shown.as_ref()).map(|wrong| wrong.what);
    assert_eq!(what(Some(right())), None);
    assert_eq!(what(None), Some("lost"));
    assert_eq!(what(Some(shown("payable", Some("100.00")))), Some("state"));
    assert_eq!(what(Some(shown("hold", Some("100.01")))), Some("commission"));
    assert_eq!(what(Some(shown("hold", None))), Some("commission"));
    let low = Shown { confidence: Some("LOW".into()), confidence_reason: Some("no_click".into()), ..right() };
    assert_eq!(what(Some(low)), Some("confidence"));
    assert_eq!(what(Some(Shown { confidence: None, ..right() })), Some("confidence"));
    assert_eq!(what(Some(Shown { refunded_amount: Some("1.00".into()), ..right() })), Some("refunded"));
    assert_eq!(what(Some(Shown { order_amount: "1000.01".into(), ..right() })), Some("amount"));
    assert_eq!(what(Some(Shown { currency: "JPY".into(), ..right() })), Some("amount"));
    assert_eq!(what(Some(Shown { conflicts: 1, ..right() })), Some("conflicts"));
    let level = |level: &str| Some(ShownCommission { amount: "100.00".into(), level: level.into() });
    assert_eq!(what(Some(Shown { commission: level("platform"), ..right() })), Some("commission"));
}

#[test]
fn what_was_refused_or_forged_must_not_be_there() {
    let plain = order(&[]);
    let there = shown("commission_created", Some("100.00"));
    let what = |order: &Order, line, shown| check(order, line, false, shown).map(|wrong| wrong.what);
    assert_eq!(what(&plain, Line::default(), Some(&there)), Some("let in"));
    assert_eq!(what(&plain, Line::default(), None), None);
    let mut forged = order(&[]);
    forged.group.forged = true;
    assert_eq!(what(&forged, Line::default(), Some(&there)), Some("let in"));
    assert_eq!(what(&forged, Line::default(), None), None);
}

#[test]
fn what_is_unclear_may_be_either_way_and_no_third() {
    let order = order(&[(Status::Confirmed, None), (Status::Cancelled, None)]);
    let book = Book::new(1, 1, 0, 1);
    book.set_accepted(0, Part::Report);
    book.set_accepted(0, Part::Update(0));
    book.set_unclear(0, Part::Update(1));
    let fits = |state| check(&order, book.read(0), false, Some(&shown(state, Some("100.00")))).is_none();
    assert!(fits("hold") && fits("reversed") && !fits("commission_created"));
    let report_unclear = Book::new(1, 1, 0, 1);
    report_unclear.set_unclear(0, Part::Report);
    let fits = |shown: Option<&Shown>| check(&order, report_unclear.read(0), false, shown).is_none();
    assert!(
        fits(None) && fits(Some(&shown("commission_created", Some("100.00")))) && !fits(Some(&shown("hold", None)))
    );
    book.set_unclear(0, Part::Conflict);
    let counted = Shown { conflicts: 2, ..shown("hold", Some("100.00")) };
    assert_eq!(check(&order, book.read(0), false, Some(&counted)), None);
}

#[test]
fn clicks_decide_on_confidence() {
    let (mut order, line) = (order(&[]), accepted(&[Part::Report]));
    let low = |reason: &str| Shown {
        confidence: Some("LOW".into()),
        confidence_reason: Some(reason.into()),
        ..shown("received", None)
    };
    for (click, reason) in
        [(Click::None, "no_click"), (Click::Unknown, "click_unknown"), (Click::Late(5), "click_unknown")]
    {
        order.click = click;
        assert_eq!(check(&order, line, false, Some(&low(reason))), None, "{click:?}");
    }
    let high = shown("commission_created", Some("100.00"));
    assert_eq!(check(&order, line, false, Some(&high)).map(|wrong| wrong.what), Some("state"));
    assert_eq!(check(&order, accepted(&[Part::Report, Part::Click]), false, Some(&high)), None);
}
