//! What merchants and shoppers are going to do: worked out from the seed before anything happens.

use std::time::Duration;

use oracle::{Body, OrderId, Report, Status};
use schemas::records::{OrderStatus, ReportedStatus};
use schemas::{Currency, Timestamp};

use crate::random::Random;
use crate::terms::{COUPONS, Elsewhere, LINKS, PRODUCTS, SENDERS, Sender};

/// Everything that is going to be tried.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) orders: Vec<Order>,
    /// Clicks that come from elsewhere, and when each is written.
    pub(crate) elsewhere: Vec<(Duration, Elsewhere)>,
}

/// An order, and what is sent of it.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) sender: Sender,
    pub(crate) id: OrderId,
    pub(crate) click: Click,
    /// Requests, each with its time; the first is the report.
    pub(crate) requests: Vec<(Duration, Intent)>,
}

/// Which click an order names.
#[derive(Debug)]
pub(crate) enum Click {
    /// None.
    None,
    /// That of a shopper who followed a link at a time, if the link's answer came.
    Followed(Duration, &'static str),
    /// One with this id, whether or not there ever is such a click.
    Named(String),
}

/// What a merchant wants to say.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) body: Body,
    /// Whether it goes to two edges at once.
    pub(crate) twice: bool,
    /// When it is sent again after it was answered, from then.
    pub(crate) replay: Option<Duration>,
    /// How often it is tried before it is given up.
    pub(crate) attempts_max: u32,
    /// Whether it comes with an idempotency key.
    pub(crate) has_key: bool,
}

impl Intent {
    /// A refund of the whole, which is tried until it is answered.
    pub(crate) fn refund() -> Intent {
        let (status, status_updated_at) = (ReportedStatus::Refunded, None);
        let body = Body::Status(Status { status, status_updated_at, refunded_thousandths: None });
        Intent { body, twice: false, replay: None, attempts_max: 1_000, has_key: false }
    }
}

const STATUSES: [ReportedStatus; 9] = [
    ReportedStatus::Pending,
    ReportedStatus::Confirmed,
    ReportedStatus::Paid,
    ReportedStatus::Delivered,
    ReportedStatus::Cancelled,
    ReportedStatus::Returned,
    ReportedStatus::Refunded,
    ReportedStatus::CommissionApproved,
    ReportedStatus::CommissionRejected,
];

impl Plan {
    /// Plans this many orders, over `span`.
    pub(crate) fn draw(seed: u64, orders: usize, span: Duration, epoch_ms: i64) -> Plan {
        let mut plan = Plan { orders: Vec::new(), elsewhere: Vec::new() };
        for number in 0..orders {
            // Of its own, so that fewer orders are the same ones.
            let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64), "order");
            let order = draw_order(&mut random, number, span, epoch_ms, &mut plan.elsewhere);
            plan.orders.push(order);
        }
        plan
    }
}

fn wall(epoch_ms: i64, at: Duration) -> i64 {
    epoch_ms + i64::try_from(at.as_millis()).expect("a run does not last that long")
}

fn draw_order(
    random: &mut Random,
    number: usize,
    span: Duration,
    epoch_ms: i64,
    elsewhere: &mut Vec<(Duration, Elsewhere)>,
) -> Order {
    let sender = random.pick(&[SENDERS[0], SENDERS[0], SENDERS[1], SENDERS[2]]);
    // A run that is shrunk may be shorter.
    let at = random.time(Duration::from_secs(1), span.max(Duration::from_secs(1)));
    let now_ms = wall(epoch_ms, at);
    let ordered_at = match random.below(4) {
        0 | 1 => None,
        2 => Some(Timestamp(now_ms - i64::try_from(random.below(3_600_000)).expect("an hour"))),
        _ => Some(Timestamp(now_ms - i64::try_from(random.below(200_000_000)).expect("two days"))),
    };
    let placed = ordered_at.map_or(now_ms, |at| at.0);
    let click = draw_click(random, number, (at, placed, sender), elsewhere);
    let report = Report {
        click_id: None,
        external_product_id: random.happens(6_000).then(|| random.pick(&PRODUCTS).to_owned()),
        amount_minor: i64::try_from(random.below(1_000_000)).expect("a million"),
        currency: Currency::parse(sender.currency).expect("the senders have currencies"),
        order_status: random.pick(&[
            OrderStatus::Pending,
            OrderStatus::Pending,
            OrderStatus::Confirmed,
            OrderStatus::Confirmed,
            OrderStatus::Delivered,
            OrderStatus::Cancelled,
        ]),
        ordered_at,
        coupon_code: random.pick(&COUPONS).map(str::to_owned),
        metadata: random.happens(1_000).then(|| "{\"channel\": \"a b\"}".to_owned()),
    };
    let mut requests = vec![(at, intent(random, Body::Report(report.clone())))];
    if random.happens(2_500) {
        let other = conflicting(random, &report);
        let later = at.saturating_add(random.short(span)).saturating_sub(random.short(Duration::from_secs(5)));
        requests.push((later, intent(random, Body::Report(other))));
    }
    draw_statuses(random, (at, span, epoch_ms), &mut requests);
    draw_refunds(random, &report, (at, span, epoch_ms), &mut requests);
    if !sender.livemode {
        draw_clocks(random, (at, span, epoch_ms), &mut requests);
    }
    let id = OrderId {
        merchant_id: sender.merchant_id.to_owned(),
        livemode: sender.livemode,
        external_order_id: format!("O-{number}"),
    };
    Order { sender, id, click, requests }
}

fn intent(random: &mut Random, body: Body) -> Intent {
    Intent {
        body,
        twice: random.happens(1_500),
        replay: random.happens(2_500).then(|| random.short(Duration::from_secs(600))),
        attempts_max: random.pick(&[1, 3, 1_000, 1_000, 1_000]),
        has_key: random.happens(5_000),
    }
}

fn draw_click(
    random: &mut Random,
    number: usize,
    (at, placed_ms, sender): (Duration, i64, Sender),
    elsewhere: &mut Vec<(Duration, Elsewhere)>,
) -> Click {
    let own: Vec<&'static str> =
        LINKS.iter().filter(|(_, merchant)| *merchant == sender.merchant_id).map(|(link, _)| *link).collect();
    let foreign: Vec<&'static str> =
        LINKS.iter().filter(|(_, merchant)| *merchant != sender.merchant_id).map(|(link, _)| *link).collect();
    let click_id = format!("clk_elsewhere_{number}");
    let hour_ms = 3_600_000;
    let ago = |random: &mut Random, hours: u64| i64::try_from(random.below(hours * hour_ms)).expect("some hours");
    let (link, clicked_ms) = match random.below(10) {
        0 => return Click::None,
        1 => return Click::Named(format!("clk_never_{number}")),
        2..=4 => {
            let links = if random.happens(8_000) { &own } else { &foreign };
            return Click::Followed(at.saturating_sub(random.short(Duration::from_secs(60))), random.pick(links));
        }
        // In time, outside of some windows, after the order, and another merchant's.
        5 | 6 => (random.pick(&own), placed_ms - ago(random, 1)),
        7 => (random.pick(&own), placed_ms - ago(random, 50)),
        8 => (random.pick(&own), placed_ms + ago(random, 1)),
        _ => (random.pick(&foreign), placed_ms - ago(random, 1)),
    };
    let early = at.saturating_sub(random.short(Duration::from_secs(30)));
    let late = at.saturating_add(random.short(Duration::from_secs(1_200)));
    let written = if random.happens(4_000) { early } else { late };
    elsewhere.push((written, Elsewhere { click_id: click_id.clone(), link, clicked_at: Timestamp(clicked_ms) }));
    Click::Named(click_id)
}

/// The same order with something else in it.
fn conflicting(random: &mut Random, report: &Report) -> Report {
    let mut other = report.clone();
    match random.below(4) {
        0 => other.amount_minor += 1,
        1 => other.order_status = OrderStatus::Refunded,
        2 => other.external_product_id = Some("OTHER".to_owned()),
        _ => {
            other.coupon_code = Some("ELSE".to_owned());
            other.amount_minor += 100;
        }
    }
    other
}

fn draw_statuses(
    random: &mut Random,
    (at, span, epoch_ms): (Duration, Duration, i64),
    requests: &mut Vec<(Duration, Intent)>,
) {
    let mut last: Option<Timestamp> = None;
    for _ in 0..random.pick(&[0, 0, 1, 1, 2, 3, 5]) {
        let early = random.happens(2_000);
        let sent = if early {
            at.saturating_sub(random.short(Duration::from_secs(20)))
        } else {
            at.saturating_add(random.short(span.saturating_mul(2)))
        };
        let sent_ms = wall(epoch_ms, sent);
        let status_updated_at = match random.below(5) {
            0 | 1 => None,
            2 => Some(Timestamp(sent_ms - i64::try_from(random.below(600_000)).expect("ten minutes"))),
            3 => Some(Timestamp(sent_ms)),
            // The time of another update: the terminal one counts last.
            _ => last.filter(|last| last.0 <= sent_ms).or(Some(Timestamp(sent_ms))),
        };
        last = status_updated_at.or(last);
        let mut status = random.pick(&STATUSES);
        // Reversals are final: of fewer of them more becomes.
        if random.happens(5_000) {
            status = random.pick(&STATUSES[1..4]);
        }
        let body = Body::Status(Status { status, status_updated_at, refunded_thousandths: None });
        requests.push((sent, intent(random, body)));
    }
}

/// Makes refunds that are planned partial ones, and plans some in a row, or they would seldom come to the whole.
fn draw_refunds(
    random: &mut Random,
    report: &Report,
    (at, span, epoch_ms): (Duration, Duration, i64),
    requests: &mut Vec<(Duration, Intent)>,
) {
    for (_, intent) in requests.iter_mut() {
        if let Body::Status(status) = &mut intent.body
            && status.status.is_refund()
        {
            status.refunded_thousandths = draw_refund(random, report);
        }
    }
    for _ in 0..if random.happens(2_500) { random.between(1, 3) } else { 0 } {
        let sent = at.saturating_add(random.short(span.saturating_mul(2)));
        let sent_ms = wall(epoch_ms, sent);
        let status_updated_at = random.happens(5_000).then_some(Timestamp(sent_ms - sent_ms.rem_euclid(60_000)));
        let status = random.pick(&[ReportedStatus::Refunded, ReportedStatus::Refunded, ReportedStatus::Returned]);
        let refunded_thousandths = draw_refund(random, report);
        let body = Body::Status(Status { status, status_updated_at, refunded_thousandths });
        requests.push((sent, intent(random, body)));
    }
}

/// A part of the order or more than there is, in thousandths; now and then nothing, which is the whole.
fn draw_refund(random: &mut Random, report: &Report) -> Option<i64> {
    let whole = report.currency.thousandths(report.amount_minor);
    let minor = report.currency.thousandths(1);
    let amount = match random.below(8) {
        0 => return None,
        1 => i64::try_from(random.below(1_000_000)).expect("a million"),
        // Finer than the currency's minor unit, if there is anything finer.
        2 => whole / 7,
        3 => minor,
        4 => whole / 3 / minor * minor,
        5 => whole.saturating_add(1),
        _ => whole / 2,
    };
    Some(amount).filter(|amount| *amount > 0)
}

/// Moves the order's time: to where nothing is due, past some of what is, and past all; forwards and, in vain, backwards.
fn draw_clocks(
    random: &mut Random,
    (at, span, epoch_ms): (Duration, Duration, i64),
    requests: &mut Vec<(Duration, Intent)>,
) {
    let day_ms = 86_400_000;
    for _ in 0..random.pick(&[0, 0, 1, 1, 2, 3]) {
        let early = random.happens(3_000);
        let sent = if early {
            at.saturating_sub(random.short(Duration::from_secs(20)))
        } else {
            at.saturating_add(random.short(span.saturating_mul(2)))
        };
        let ahead_ms = random.pick(&[-day_ms, 60_000, day_ms / 24, day_ms, 5 * day_ms, 60 * day_ms]);
        let advance_to = Timestamp(wall(epoch_ms, sent) + ahead_ms);
        requests.push((sent, intent(random, Body::Clock(advance_to))));
    }
}
