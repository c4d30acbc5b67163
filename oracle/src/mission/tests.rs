//! The rows of the contract's tables, one order each.

use std::time::Duration;

use schemas::records::{
    ClickRecorded, Confidence, ConfidenceReason, ConversionReported, ConversionState, OrderStatus, OrderStatusReported,
    ReportedStatus,
};
use schemas::registry::Registry;
use schemas::{Currency, Timestamp};

use super::{Decision, End, Now, Order, Reviews, end};

mod self_referrals;
mod test_payouts;

const T0: i64 = 1_781_429_400_000;
const DAY: i64 = 86_400_000;

const REGISTRY: &str = r#"
[[merchants]]
id = "m1"
name = "One"

[[merchants]]
id = "m2"
name = "Two"

[[affiliates]]
id = "a1"
name = "A"

[[affiliates]]
id = "a2"
name = "B"

[[campaigns]]
id = "c1"
merchant = "m1"

[[campaigns]]
id = "c1-short"
merchant = "m1"
lookback = "2d"

[[campaigns]]
id = "c1-slow"
merchant = "m1"
min_click_to_order = "30s"

[[campaigns]]
id = "c2"
merchant = "m2"

[[coupons]]
id = "k-june"
code = "Ten-Off"
campaign = "c1"
affiliate = "a2"
effective_from = "2026-06-14T09:30:00Z"
effective_until = "2026-06-15T09:30:00Z"

[[coupons]]
id = "k-july"
code = "TEN-OFF"
campaign = "c1-short"
affiliate = "a1"
effective_from = "2026-07-01T00:00:00Z"

[[coupons]]
id = "k-other"
code = "OTHERS"
campaign = "c2"
affiliate = "a1"

[[rules]]
id = "r-product"
level = "product"
merchant = "m1"
product = "RED"
percent = "12"

[[rules]]
id = "r-bounds"
level = "product"
merchant = "m1"
product = "BLUE"
percent = "12"
minimum = "5.00"
cap = "50.00"
currency = "NPR"

[[rules]]
id = "r-campaign"
level = "campaign"
campaign = "c1"
percent = "10"
effective_from = "2026-06-14T09:30:00Z"
effective_until = "2026-06-15T09:30:00Z"

[[rules]]
id = "r-merchant"
level = "merchant"
merchant = "m1"
fixed = "3.00"
currency = "NPR"

[[rules]]
id = "r-platform"
level = "platform"
percent = "5"
effective_until = "2026-07-14T09:30:00Z"
"#;

/// A pending order of 2999.00 NPR that names a click of an hour before, looked at two years later.
struct Case {
    report: ConversionReported,
    updates: Vec<OrderStatusReported>,
    click: Option<ClickRecorded>,
    reviews: Reviews,
    now_ms: i64,
    advanced_to: Option<Timestamp>,
}

impl Case {
    fn new() -> Case {
        let report = ConversionReported {
            event_id: "cnvevt_1".to_owned(),
            merchant_id: "m1".to_owned(),
            livemode: true,
            external_order_id: "O-1".to_owned(),
            click_id: Some("clk_1".to_owned()),
            external_product_id: None,
            amount_minor: 299_900,
            currency: Currency::parse("NPR").unwrap(),
            order_status: OrderStatus::Pending,
            ordered_at: None,
            received_at: Timestamp(T0),
            coupon_code: None,
            metadata: None,
            idempotency: None,
        };
        let click = ClickRecorded {
            click_id: "clk_1".to_owned(),
            merchant_id: "m1".to_owned(),
            campaign_id: "c1".to_owned(),
            affiliate_id: "a1".to_owned(),
            link_id: None,
            clicked_at: Timestamp(T0 - 3_600_000),
        };
        let now_ms = T0 + 730 * DAY;
        Case { report, updates: Vec::new(), click: Some(click), reviews: Reviews::default(), now_ms, advanced_to: None }
    }

    fn report(mut self, change: impl FnOnce(&mut ConversionReported)) -> Case {
        change(&mut self.report);
        self
    }

    fn click(mut self, change: impl FnOnce(&mut ClickRecorded)) -> Case {
        change(self.click.as_mut().unwrap());
        self
    }

    fn unknown_click(mut self) -> Case {
        self.click = None;
        self
    }

    /// An update received a day after the report, with the time sent in days after it.
    fn update(self, status: ReportedStatus, days: Option<i64>) -> Case {
        self.updated(status, days, None)
    }

    /// A partial refund of so many thousandths of a rupee, a day after the report.
    fn refund(self, thousandths: i64) -> Case {
        self.updated(ReportedStatus::Refunded, Some(1), Some(thousandths))
    }

    fn updated(mut self, status: ReportedStatus, days: Option<i64>, refunded_thousandths: Option<i64>) -> Case {
        self.updates.push(OrderStatusReported {
            event_id: format!("osevt_{}", self.updates.len()),
            merchant_id: "m1".to_owned(),
            livemode: true,
            external_order_id: "O-1".to_owned(),
            status,
            click_id: None,
            status_updated_at: days.map(|days| Timestamp(T0 + days * DAY)),
            refunded_thousandths,
            received_at: Timestamp(T0 + DAY),
            reason: None,
            metadata: None,
            idempotency: None,
        });
        self
    }

    fn at(mut self, now_ms: i64) -> Case {
        self.now_ms = now_ms;
        self
    }

    /// With its own time moved to then.
    fn moved_to(mut self, advanced_to: i64) -> Case {
        self.advanced_to = Some(Timestamp(advanced_to));
        self
    }

    fn order(&self) -> Order<'_> {
        let Case { report, updates, click, reviews, advanced_to, .. } = self;
        Order { report, updates, click: click.as_ref(), reviews, paid: false, advanced_to: *advanced_to }
    }

    fn end(&self) -> End {
        let (registry, order) = (Registry::parse(REGISTRY).unwrap(), self.order());
        end(order, &registry, &registry, Now { at: Timestamp(self.now_ms), skew_ms: 0 })
    }
}

/// `expected` is the state, the confidence or its reason with whom a review could credit, the rule and the amount, the
/// hold's end in days after the report, what was refunded, and the order's status.
#[track_caller]
fn check(case: Case, expected: &str) {
    let end = case.end();
    assert!(end.states.len() == 1 && end.judged.len() == 1, "the contract leaves it open: {end:?}");
    let mut shown = vec![format!("{:?}", end.states[0])];
    shown.push(match &end.judged[0] {
        (Some(Confidence::Low), Some(reason), Some(suggested)) => format!("{reason:?} {suggested}?"),
        (Some(Confidence::Low), Some(reason), None) => format!("{reason:?}"),
        (Some(confidence), ..) => format!("{confidence:?}"),
        (None, ..) => "awaited".to_owned(),
    });
    shown.extend(end.commission.map(|it| format!("{} {}", it.rule_id, it.amount_minor)));
    shown.extend(end.hold_until.map(|it| format!("{}d", (it.0 - T0) / DAY)));
    shown.extend(end.refunded.map(|it| format!("-{it}")));
    shown.extend(end.order_statuses.iter().map(|it| format!("{it:?}")));
    assert_eq!(shown.join(" "), expected);
}

#[test]
fn attribution() {
    let new = Case::new;
    check(new(), "CommissionCreated High r-campaign 29990 Pending");
    check(new().report(|it| it.click_id = None).unknown_click(), "Received NoClick Pending");
    check(new().unknown_click().at(T0 + 59_999), "Received awaited Pending");
    check(new().unknown_click().at(T0 + 60_000), "Received ClickUnknown Pending");
    check(new().click(|it| it.merchant_id = "m2".to_owned()).at(T0), "Received awaited Pending");
    check(new().click(|it| it.merchant_id = "m2".to_owned()), "Received ClickNotYours Pending");
    check(new().click(|it| it.clicked_at = Timestamp(T0)), "CommissionCreated High r-campaign 29990 Pending");
    check(new().click(|it| it.clicked_at = Timestamp(T0 + 1)), "Received ClickAfterOrder Pending");
    let before = |ms: i64| new().click(move |it| it.clicked_at = Timestamp(T0 - ms));
    check(before(30 * DAY), "CommissionCreated High r-campaign 29990 Pending");
    check(before(30 * DAY + 1), "Received ClickOutsideWindow Pending");
    let short = |ms: i64| before(ms).click(|it| it.campaign_id = "c1-short".to_owned());
    check(short(2 * DAY), "CommissionCreated High r-merchant 300 Pending");
    check(short(2 * DAY + 1), "Received ClickOutsideWindow Pending");
    // The order's own time counts, not the report's.
    let placed = |ms: i64| new().report(move |it| it.ordered_at = Some(Timestamp(T0 + ms)));
    check(placed(-3_600_001), "Received ClickAfterOrder Pending");
}

#[test]
fn coupons() {
    let named = |code: &'static str| Case::new().report(move |it| it.coupon_code = Some(code.to_owned()));
    let alone = |code| named(code).report(|it| it.click_id = None).unknown_click();
    check(named("TEN-OFF"), "CommissionCreated High r-campaign 29990 Pending");
    for code in ["TEN-OFF", "ten-off", "Ten-Off"] {
        check(alone(code), "Received CouponOnly a2? Pending");
    }
    for code in ["TEN-OF", "TEN-OFFF", "TEN_OFF", " TEN-OFF", "others", "OTHERS", "ţen-off"] {
        check(alone(code), "Received CouponUnknown Pending");
    }
    // From the first instant, until before the last, by the order's own time.
    let placed = |ms: i64| alone("TEN-OFF").report(move |it| it.ordered_at = Some(Timestamp(T0 + ms)));
    check(placed(-1), "Received CouponOutsideWindow Pending");
    check(placed(0), "Received CouponOnly a2? Pending");
    check(placed(DAY - 1), "Received CouponOnly a2? Pending");
    check(placed(DAY), "Received CouponOutsideWindow Pending");
    check(placed(17 * DAY), "Received CouponOnly a1? Pending");
    // A click that does not count leaves it to the coupon; one without a coupon that holds is told of itself.
    let clicked = |code| {
        [
            named(code).click(|it| it.clicked_at = Timestamp(T0 + 1)),
            named(code).click(|it| it.clicked_at = Timestamp(T0 - 31 * DAY)),
            named(code).click(|it| it.merchant_id = "m2".to_owned()),
            named(code).unknown_click(),
        ]
    };
    for case in clicked("TEN-OFF") {
        check(case, "Received CouponOnly a2? Pending");
    }
    let reasons = ["ClickAfterOrder", "ClickOutsideWindow", "ClickNotYours", "ClickUnknown"];
    for (case, reason) in clicked("OTHERS").into_iter().zip(reasons) {
        check(case, &format!("Received {reason} Pending"));
    }
    check(named("TEN-OFF").unknown_click().at(T0 + 59_999), "Received awaited Pending");
    check(alone("TEN-OFF").update(ReportedStatus::CommissionApproved, Some(1)), "Received CouponOnly a2? Pending");
    check(alone("TEN-OFF").update(ReportedStatus::Returned, Some(1)), "Reversed CouponOnly a2? Returned");
}

#[test]
fn orders_too_soon_after_their_click() {
    let slow = |ms: i64| {
        Case::new().click(move |it| {
            it.campaign_id = "c1-slow".to_owned();
            it.clicked_at = Timestamp(T0 - ms);
        })
    };
    check(slow(30_000), "CommissionCreated High r-merchant 300 Pending");
    check(slow(29_999), "Received ClickTooRecent a1? Pending");
    check(slow(0), "Received ClickTooRecent a1? Pending");
    check(slow(-1), "Received ClickAfterOrder Pending");
    // By the order's own time; and a coupon of somebody else is no better than a click.
    check(slow(30_000).report(|it| it.ordered_at = Some(Timestamp(T0 - 1))), "Received ClickTooRecent a1? Pending");
    let with_coupon = slow(29_999).report(|it| it.coupon_code = Some("TEN-OFF".to_owned()));
    check(with_coupon, "Received ClickTooRecent a1? Pending");
    check(slow(1).update(ReportedStatus::CommissionApproved, Some(1)), "Received ClickTooRecent a1? Pending");
}

#[test]
fn commissions() {
    let new = Case::new;
    let product = |name: &'static str, minor: i64| {
        new().report(move |it| {
            it.external_product_id = Some(name.to_owned());
            it.amount_minor = minor;
        })
    };
    check(product("RED", 299_900), "CommissionCreated High r-product 35988 Pending");
    check(product("GREEN", 299_900), "CommissionCreated High r-campaign 29990 Pending");
    check(product("BLUE", 100), "CommissionCreated High r-bounds 500 Pending");
    check(product("BLUE", 5_000), "CommissionCreated High r-bounds 600 Pending");
    check(product("BLUE", 500_000), "CommissionCreated High r-bounds 5000 Pending");
    // Half to even: 0.5, 1.5 and 2.5 minor units.
    check(product("GREEN", 5), "CommissionCreated High r-campaign 0 Pending");
    check(product("GREEN", 15), "CommissionCreated High r-campaign 2 Pending");
    check(product("GREEN", 25), "CommissionCreated High r-campaign 2 Pending");
    // From the first instant, until before the last.
    let placed = |ms: i64| new().report(move |it| it.ordered_at = Some(Timestamp(T0 + ms)));
    check(placed(-1), "CommissionCreated High r-merchant 300 Pending");
    check(placed(DAY - 1), "CommissionCreated High r-campaign 29990 Pending");
    check(placed(DAY), "CommissionCreated High r-merchant 300 Pending");
    let yen = |days: i64| placed(days * DAY).report(|it| it.currency = Currency::parse("JPY").unwrap());
    check(yen(2), "CommissionCreated High r-platform 14995 Pending");
    check(yen(29).click(|it| it.clicked_at = Timestamp(T0)), "CommissionCreated High r-platform 14995 Pending");
    let late = |days: i64| yen(days).click(|it| it.clicked_at = Timestamp(T0 + DAY));
    check(late(30), "Attributed High Pending");
}

#[test]
fn lifecycle() {
    use ReportedStatus::{
        Cancelled, CommissionApproved, CommissionRejected, Confirmed, Delivered, Paid, Pending, Refunded, Returned,
    };
    let new = Case::new;
    let day = |case: Case, day: i64| case.at(T0 + day * DAY);
    let high = |rest: &str| rest.replace(" High ", " High r-campaign 29990 ");
    let is = |case: Case, rest: &str| check(case, &high(rest));
    is(new().update(Pending, Some(1)), "CommissionCreated High Pending");
    is(day(new().update(Confirmed, Some(1)), 30), "Hold High 31d Confirmed");
    is(day(new().update(Confirmed, Some(1)), 31), "Payable High 31d Confirmed");
    is(new().update(Confirmed, None), "Payable High 31d Confirmed");
    is(day(new().update(Paid, Some(2)).update(Confirmed, Some(3)), 4), "Hold High 32d Confirmed");
    is(day(new().update(Delivered, Some(2)).update(Delivered, Some(5)), 6), "Hold High 16d Delivered");
    is(day(new().update(Confirmed, Some(1)).update(Delivered, Some(40)), 41), "Hold High 54d Delivered");
    is(day(new().report(|it| it.order_status = OrderStatus::Confirmed), 3), "Hold High 30d Confirmed");
    is(day(new().update(CommissionApproved, Some(1)), 1), "Payable High Pending");
    is(day(new().update(Confirmed, Some(1)).update(CommissionApproved, Some(2)), 2), "Payable High 31d Confirmed");
    is(new().update(CommissionRejected, Some(1)), "Reversed High Pending");
    is(new().update(Cancelled, Some(1)), "Reversed High Cancelled");
    is(new().update(Confirmed, Some(1)).update(Returned, Some(50)), "Reversed High 31d Returned");
    is(new().update(CommissionApproved, Some(1)).update(Refunded, Some(2)), "Reversed High Refunded");
    // For good; and whatever came first.
    is(new().update(Delivered, Some(3)).update(Cancelled, Some(2)), "Reversed High Cancelled");
    is(new().update(Cancelled, Some(2)).update(Confirmed, Some(2)), "Reversed High 32d Cancelled");
    is(new().report(|it| it.order_status = OrderStatus::Returned).update(Confirmed, Some(1)), "Reversed High Returned");
    // Older than what is known: only a clock that it starts, or a reversal.
    is(day(new().update(Delivered, Some(5)).update(Confirmed, Some(3)), 6), "Hold High 19d Delivered");
    is(day(new().update(Confirmed, Some(5)).update(Confirmed, Some(3)), 6), "Hold High 33d Confirmed");
    check(new().unknown_click().update(Confirmed, Some(1)), "Received ClickUnknown Confirmed");
    check(new().unknown_click().update(Returned, Some(1)), "Reversed ClickUnknown Returned");
}

#[test]
fn partial_refunds() {
    use ReportedStatus::{Cancelled, CommissionApproved, Confirmed, Returned};
    let new = Case::new;
    let is = |case: Case, expected: &str| check(case, &expected.replace("r-c", "High r-campaign"));
    is(new().refund(1_000_000), "CommissionCreated r-c 19990 -1000000 Pending");
    is(new().refund(1_000_000).refund(1_000_000), "CommissionCreated r-c 19990 -1000000 Pending");
    is(new().refund(1_000_000).refund(500_000), "CommissionCreated r-c 14990 -1500000 Pending");
    is(
        new().refund(1_000_000).updated(Returned, Some(1), Some(1_000_000)),
        "CommissionCreated r-c 9990 -2000000 Pending",
    );
    is(
        new().refund(1_000_000).updated(Returned, Some(2), Some(1_000_000)),
        "CommissionCreated r-c 9990 -2000000 Pending",
    );
    // Finer than the currency: 0.005 of a rupee is half a paisa, and a tenth of it too little to see.
    is(new().refund(5), "CommissionCreated r-c 29990 -5 Pending");
    is(new().refund(55), "CommissionCreated r-c 29989 -55 Pending");
    // All of it, and more than that, is a reversal; the commission stays at what it was before.
    is(new().refund(2_999_000), "Reversed r-c 29990 -2999000 Refunded");
    is(new().refund(1_000_000).refund(1_999_000), "Reversed r-c 19990 -2999000 Refunded");
    is(new().refund(2_000_000).refund(1_000_000), "Reversed r-c 19990 -2999000 Refunded");
    is(new().refund(1_000_000).updated(Returned, Some(2), None), "Reversed r-c 19990 -1000000 Returned");
    is(new().refund(1_000_000).updated(Cancelled, Some(0), None), "Reversed r-c 29990 Cancelled");
    is(new().refund(1_000_000).update(Cancelled, Some(1)), "Reversed r-c 19990 -1000000 Cancelled");
    // Clocks and approval are the order's.
    is(new().update(Confirmed, Some(1)).refund(1_000_000), "Payable r-c 19990 31d -1000000 Confirmed");
    is(new().update(CommissionApproved, Some(2)).refund(1_000_000), "Payable r-c 19990 -1000000 Pending");
    is(new().update(Confirmed, Some(1)).refund(3_000_000), "Reversed r-c 29990 31d -2999000 Refunded");
    // A minimum, a cap and a fixed amount shrink with the order.
    let product = |minor: i64| {
        new().report(move |it| {
            it.external_product_id = Some("BLUE".to_owned());
            it.amount_minor = minor;
        })
    };
    let blue = |case: Case, expected: &str| check(case, &expected.replace("r-b", "High r-bounds"));
    blue(product(1_000).refund(2_500), "CommissionCreated r-b 375 -2500 Pending");
    blue(product(1_000_000).refund(5_000_000), "CommissionCreated r-b 2500 -5000000 Pending");
    blue(product(10_000).refund(33_333), "CommissionCreated r-b 800 -33333 Pending");
    let before_campaign = new().report(|it| it.ordered_at = Some(Timestamp(T0 - 1)));
    check(before_campaign.refund(999_667), "CommissionCreated High r-merchant 200 -999667 Pending");
    check(new().unknown_click().refund(1_000_000), "Received ClickUnknown -1000000 Pending");
    check(new().unknown_click().refund(2_999_000), "Reversed ClickUnknown -2999000 Refunded");
    let nothing = new().report(|it| it.amount_minor = 0);
    is(nothing.refund(1), "Reversed r-c 0 -0 Refunded");
    let yen = new().report(|it| it.currency = Currency::parse("JPY").unwrap());
    check(yen.refund(149_950_500), "CommissionCreated High r-campaign 14995 -149950500 Pending");
}

#[test]
fn an_orders_own_time_is_the_later_one() {
    let held = || Case::new().update(ReportedStatus::Confirmed, Some(1)).at(T0 + 2 * DAY);
    let until = T0 + 31 * DAY;
    check(held().moved_to(until - 1), "Hold High r-campaign 29990 31d Confirmed");
    check(held().moved_to(until), "Payable High r-campaign 29990 31d Confirmed");
    check(held().moved_to(T0 - DAY), "Hold High r-campaign 29990 31d Confirmed");
    check(held().moved_to(T0).at(until), "Payable High r-campaign 29990 31d Confirmed");
    let awaited = || Case::new().unknown_click().at(T0);
    check(awaited().moved_to(T0 + 59_999), "Received awaited Pending");
    check(awaited().moved_to(T0 + 60_000), "Received ClickUnknown Pending");
    // Where it was moved to no clock is off.
    let (case, registry) = (held().moved_to(until - 1), Registry::parse(REGISTRY).unwrap());
    let now = Now { at: Timestamp(until - 5), skew_ms: 4 };
    assert_eq!(end(case.order(), &registry, &registry, now).states, [ConversionState::Hold]);
    let case = held().moved_to(until);
    assert_eq!(end(case.order(), &registry, &registry, now).states, [ConversionState::Payable]);
}

#[test]
fn what_the_contract_leaves_open() {
    let case = Case::new().update(ReportedStatus::Confirmed, Some(1)).update(ReportedStatus::Paid, Some(1));
    assert_eq!(case.end().order_statuses.len(), 2, "which of two updates of one instant comes last");
    let registry = Registry::parse(REGISTRY).unwrap();
    let order = case.order();
    let hold_until = Timestamp(T0 + DAY) + Duration::from_secs(30 * 86_400);
    for (off_ms, states) in [(-11, 1), (-10, 2), (0, 2), (9, 2), (10, 1)] {
        let now = Now { at: Timestamp(hold_until.0 + off_ms), skew_ms: 10 };
        let end = end(order, &registry, &registry, now);
        assert_eq!(end.states.len(), states, "{off_ms} ms after the hold: {:?}", end.states);
        assert!(end.states.iter().all(|it| matches!(it, ConversionState::Hold | ConversionState::Payable)));
    }
}

#[test]
fn reviewers_decide() {
    let decided = |affiliate_id: Option<&str>, campaign_id: Option<&str>, set_aside| {
        let mut case = Case::new().report(|it| it.order_status = OrderStatus::Confirmed).at(T0 + 10 * DAY);
        case.reviews = Reviews {
            decided: Some(Decision {
                affiliate_id: affiliate_id.map(str::to_owned),
                campaign_id: campaign_id.map(str::to_owned),
                reason: ConfidenceReason::ClickUnknown,
            }),
            set_aside,
        };
        case
    };
    let low = vec![(Some(Confidence::Low), Some(ConfidenceReason::ClickUnknown), None)];
    let rejected = decided(None, None, None).end();
    assert_eq!((rejected.states, rejected.judged), (vec![ConversionState::Rejected], low.clone()));
    assert_eq!((rejected.affiliate_id, rejected.commission), (None, None));
    let approved = decided(Some("a2"), None, None).end();
    assert_eq!((approved.states, approved.judged), (vec![ConversionState::Hold], low));
    assert_eq!((approved.affiliate_id.as_deref(), approved.campaign_id), (Some("a2"), None));
    assert!(approved.commission.is_some_and(|it| it.level != schemas::records::RuleLevel::Campaign));
    // What came before a reinstatement reverses no more; what came after it does.
    let cancelled = |set_aside| decided(Some("a2"), None, set_aside).update(ReportedStatus::Cancelled, Some(1));
    assert_eq!(cancelled(None).end().states, [ConversionState::Reversed]);
    assert_eq!(cancelled(Some(0)).end().states, [ConversionState::Reversed]);
    assert_eq!(cancelled(Some(1)).end().states, [ConversionState::Hold]);
    assert_eq!(cancelled(Some(1)).update(ReportedStatus::Returned, Some(0)).end().states, [ConversionState::Reversed]);
}
