//! Merchants, browsers and administrators from a seed: they retry, differ, come late, early and never, and now and then
//! write rubbish.

use std::sync::Arc;

use oracle::{Answer, Body, Facts, OrderId, Report, Status};
use schemas::ids::{OrderKey, account_key};
use schemas::records::{
    ClickRecorded, ConversionReported, ConversionState, ConversionTransitioned, OrderStatus, OrderStatusReported,
    PayoutChanged, PayoutOutcome, PayoutReported, PayoutState, ReportedStatus, Review, ReviewDecided, ReviewDecision,
    TestClockAdvanced,
};
use schemas::registry::Registry;
use schemas::topics::{CLICKS, CONVERSIONS, PAYOUT_REPORTS, PAYOUTS, TRANSITIONS};
use schemas::{Currency, Timestamp, decode};
use streams::log::Limits;

use crate::registry::{FIRST, SECOND};
use crate::world::{DAY, SECOND as SECOND_MS, T0, World};

const STATUSES: [ReportedStatus; 9] = [
    ReportedStatus::Pending,
    ReportedStatus::Confirmed,
    ReportedStatus::Paid,
    ReportedStatus::Delivered,
    ReportedStatus::CommissionApproved,
    ReportedStatus::Cancelled,
    ReportedStatus::Returned,
    ReportedStatus::Refunded,
    ReportedStatus::CommissionRejected,
];
const CLICK_IDS: [&str; 6] = ["clk_old", "clk_1", "clk_2", "clk_3", "clk_4", "clk_5"];
const LINKS: [&str; 3] = ["l1", "l1-short", "l2"];

/// A record of a run, as a reader is shown it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) topic: u16,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// A run under way.
pub(crate) struct Run {
    random: u64,
    /// Decides of moved clocks alone.
    clocks: u64,
    pub(crate) world: World,
    pub(crate) facts: Facts,
    registry: Arc<Registry>,
    reported: Vec<(OrderId, Report)>,
    events: u64,
    clicks_left: Vec<&'static str>,
}

impl Run {
    /// A run of some 40 things that happen, ended long after the last of them.
    pub(crate) fn of(seed: u64) -> Run {
        let registry = Arc::new(Registry::parse(FIRST).unwrap());
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let records_max = 1 + usize::try_from(draw(&mut random, 7)).unwrap();
        let mut facts = Facts::new(0);
        facts.registry(Arc::clone(&registry), T0);
        let world = World::new(&registry, Limits { records_max, bytes_max: 1 << 20 });
        let clicks_left = CLICK_IDS[1..].to_vec();
        let clocks = random.rotate_left(32) | 1;
        let mut run = Run { random, clocks, world, facts, registry, reported: Vec::new(), events: 0, clicks_left };
        for click in run.registry.clicks().to_vec() {
            run.world.write(&CLICKS, click.click_id.as_bytes(), &click);
        }
        let (things, change_at) = (10 + run.draw(40), run.draw(120));
        for thing in 0..things {
            if thing == change_at {
                run.change_registry();
            }
            run.something();
            std::mem::swap(&mut run.random, &mut run.clocks);
            run.clock();
            std::mem::swap(&mut run.random, &mut run.clocks);
            run.pass();
        }
        run.world.settle();
        run.world.at(T0 + 600 * DAY);
        run.world.settle();
        for weeks in 1..=3 {
            run.end_payouts();
            run.world.settle();
            run.world.at(T0 + (600 + 8 * weeks) * DAY);
            run.world.settle();
        }
        // What is due at once must have been done by then.
        run.world.at(run.now() + SECOND_MS);
        run.world.settle();
        run
    }

    pub(crate) fn now(&self) -> i64 {
        self.world.now()
    }

    /// The log, as a reader is shown it.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let shown = self.world.records().into_iter().enumerate().map(|(offset, message)| Shown {
            topic: message.topic.id,
            partition: 0,
            offset: offset as u64,
            key: message.key,
            value: message.value,
        });
        shown.collect()
    }

    fn draw(&mut self, below: u64) -> u64 {
        draw(&mut self.random, below)
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        let index = self.draw(all.len() as u64);
        all[usize::try_from(index).unwrap()].clone()
    }

    fn change_registry(&mut self) {
        self.world.settle();
        let now = self.now() + 1;
        self.world.at(now);
        let registry = Arc::new(Registry::parse(SECOND).unwrap());
        self.world.set_registry(&registry);
        self.facts.registry(Arc::clone(&registry), now);
        self.facts.registry_everywhere(now);
        self.registry = registry;
    }

    fn pass(&mut self) {
        let pass = [0, 0, 1, 20 * SECOND_MS, 70 * SECOND_MS, DAY, 9 * DAY];
        let wait = self.one_of(&pass);
        if wait >= DAY || self.draw(3) > 0 {
            self.world.settle();
        }
        self.world.at(self.now() + wait);
        if self.draw(3) > 0 {
            self.world.settle();
        }
    }

    fn something(&mut self) {
        match self.draw(22) {
            0..=4 => self.report(),
            5 => self.again(true),
            6 => self.again(false),
            7..=13 => self.status(),
            14 => self.click(),
            15..=18 => self.review(),
            19 | 20 => self.outcome(),
            _ => self.rubbish(),
        }
    }

    /// Moves the time of an order of test mode, or in vain that of a live one.
    fn clock(&mut self) {
        if self.draw(6) > 0 {
            return;
        }
        // The order that is one of test mode.
        let order = OrderId { livemode: self.draw(8) == 0, external_order_id: "O-5".to_owned(), ..self.order() };
        let now = self.now();
        let ahead = self.one_of(&[-DAY, 0, 60 * SECOND_MS, DAY, 20 * DAY, 400 * DAY, 400 * DAY + 1]);
        let record = TestClockAdvanced {
            event_id: self.event("tcevt"),
            merchant_id: order.merchant_id.clone(),
            livemode: order.livemode,
            external_order_id: order.external_order_id.clone(),
            advanced_to: Timestamp(now + ahead),
            received_at: Timestamp(now),
            idempotency: None,
        };
        if order.livemode || ahead > 400 * DAY {
            let value = schemas::encode(&record);
            self.facts.poison(CONVERSIONS.number, &key(&order).to_bytes(), &value);
            self.world.write_bytes(&CONVERSIONS, &key(&order).to_bytes(), value);
            return;
        }
        let request = self.facts.sent(order.clone(), Body::Clock(record.advanced_to), now);
        self.world.write(&CONVERSIONS, &key(&order).to_bytes(), &record);
        self.facts.answered(request, now, Answer::Recorded { event_id: record.event_id });
    }

    fn order(&mut self) -> OrderId {
        let merchant_id = self.one_of(&["m1", "m1", "m1", "m2"]).to_owned();
        let number = self.draw(6);
        OrderId { merchant_id, livemode: number != 5, external_order_id: format!("O-{number}") }
    }

    fn report(&mut self) {
        let order = self.order();
        let near = [0, 1, 5 * SECOND_MS, DAY, 2 * DAY, 2 * DAY + 1, 31 * DAY];
        let ordered_at = (self.draw(3) > 0).then(|| Timestamp(self.now() - self.one_of(&near)));
        let report = Report {
            click_id: (self.draw(6) > 0).then(|| self.one_of(&CLICK_IDS).to_owned()),
            external_product_id: self.one_of(&[None, Some("RED".to_owned()), Some("BLUE".to_owned())]),
            amount_minor: self.one_of(&[0_i64, 1, 4, 20, 999, 123_456, 299_900, 9_999_999_999]),
            currency: Currency::parse(self.one_of(&["NPR", "NPR", "JPY"])).unwrap(),
            order_status: self.one_of(&[
                OrderStatus::Pending,
                OrderStatus::Confirmed,
                OrderStatus::Delivered,
                OrderStatus::Cancelled,
            ]),
            ordered_at,
            coupon_code: self.one_of(&[None, None, Some("ten"), Some("TEN"), Some("tea")]).map(str::to_owned),
            metadata: self.one_of(&[None, Some(r#"{"a": 1}"#.to_owned())]),
        };
        self.send_report(order, report);
    }

    /// A re-send of an order, the same or with another amount.
    fn again(&mut self, same: bool) {
        if self.reported.is_empty() {
            return;
        }
        let known = self.reported.clone();
        let (order, mut report) = self.one_of(&known);
        if !same {
            report.amount_minor += 1;
        }
        self.send_report(order, report);
    }

    fn event(&mut self, prefix: &str) -> String {
        self.events += 1;
        format!("{prefix}_{}", self.events)
    }

    fn send_report(&mut self, order: OrderId, report: Report) {
        let now = self.now();
        let request = self.facts.sent(order.clone(), Body::Report(report.clone()), now);
        let duplicate = Answer::Duplicate { conversion_id: key(&order).conversion_id().to_string() };
        // Claims are courtesy: sometimes the edge knows nothing of an order that it has recorded.
        let claimed = self.reported.iter().any(|(known, _)| *known == order) && self.draw(3) > 0;
        if claimed && self.reported.contains(&(order.clone(), report.clone())) {
            self.facts.answered(request, now, duplicate);
            return;
        }
        let record = ConversionReported {
            event_id: self.event("cnvevt"),
            merchant_id: order.merchant_id.clone(),
            livemode: order.livemode,
            external_order_id: order.external_order_id.clone(),
            click_id: report.click_id.clone(),
            external_product_id: report.external_product_id.clone(),
            amount_minor: report.amount_minor,
            currency: report.currency,
            order_status: report.order_status,
            ordered_at: report.ordered_at,
            received_at: Timestamp(now),
            coupon_code: report.coupon_code.clone(),
            metadata: report.metadata.clone(),
            idempotency: None,
        };
        self.world.write(&CONVERSIONS, &key(&order).to_bytes(), &record);
        self.reported.push((order, report));
        if self.draw(4) > 0 {
            let answer = if claimed { duplicate } else { Answer::Recorded { event_id: record.event_id } };
            self.facts.answered(request, now, answer);
        }
    }

    fn status(&mut self) {
        let order = self.order();
        let index = match self.draw(8) {
            0 => self.draw(9),
            1..=3 => 6 + self.draw(2),
            _ => self.draw(5),
        };
        let now = self.now();
        // Few distinct times, so that equal ones, stale ones and the same ones again are common.
        let sent = (self.draw(4) > 0).then(|| {
            let days = i64::try_from(self.draw(12)).unwrap() - 2;
            Timestamp((T0 + days * DAY).min(now))
        });
        let status = STATUSES[usize::try_from(index).unwrap()];
        let goes_back = matches!(status, ReportedStatus::Returned | ReportedStatus::Refunded);
        // Of few amounts, so that equal ones are common; finer than minor units, and more than an order has.
        let refunded_thousandths =
            (goes_back && self.draw(4) > 0).then(|| self.one_of(&[1, 5, 2_000, 10_000, 10_000, 333_333, 1_500_000]));
        let status = Status { status, status_updated_at: sent, refunded_thousandths };
        // Another edge had it in its queue: the same update may come to the log with an earlier receipt.
        let received_at = Timestamp(now - self.one_of(&[0, 0, 5 * SECOND_MS]));
        let request = self.facts.sent(order.clone(), Body::Status(status.clone()), received_at.0);
        let record = OrderStatusReported {
            event_id: self.event("osevt"),
            merchant_id: order.merchant_id.clone(),
            livemode: order.livemode,
            external_order_id: order.external_order_id.clone(),
            status: status.status,
            click_id: None,
            status_updated_at: status.status_updated_at,
            refunded_thousandths: status.refunded_thousandths,
            received_at,
            reason: None,
            metadata: None,
            idempotency: None,
        };
        self.world.write(&CONVERSIONS, &key(&order).to_bytes(), &record);
        if self.draw(4) > 0 {
            self.facts.answered(request, now, Answer::Recorded { event_id: record.event_id });
        }
    }

    fn click(&mut self) {
        let Some(click_id) = self.clicks_left.pop() else { return };
        let (link, now) = (self.one_of(&LINKS), self.now());
        let registered = self.registry.link(link).unwrap();
        let campaign = self.registry.campaign(&registered.campaign_id).unwrap();
        let click = ClickRecorded {
            click_id: click_id.to_owned(),
            merchant_id: campaign.merchant_id.clone(),
            campaign_id: campaign.id.clone(),
            affiliate_id: registered.affiliate_id.clone(),
            link_id: Some(link.to_owned()),
            clicked_at: Timestamp(now),
        };
        let told = self.draw(4) > 0;
        self.facts.click(link, now, told.then(|| (now, click_id.to_owned())));
        // The redirect does not wait: a click may be lost, or written twice.
        for _ in 0..self.one_of(&[0, 1, 1, 1, 2]) {
            self.world.write(&CLICKS, click_id.as_bytes(), &click);
        }
    }

    /// One reviewer or two at once, on what was shown lately or long ago.
    fn review(&mut self) {
        let shown = self.world.records().into_iter().filter(|it| it.topic.id == TRANSITIONS.number);
        let shown: Vec<ConversionTransitioned> = shown.map(|it| decode(&it.value).unwrap()).collect();
        if shown.is_empty() {
            return;
        }
        let latest = shown[shown.len().saturating_sub(12)..].to_vec();
        let seen = self.one_of(&latest);
        for _ in 0..self.one_of(&[1, 1, 2]) {
            let likely = match seen.state {
                ConversionState::Rejected | ConversionState::Reversed => ReviewDecision::Reinstate,
                _ => ReviewDecision::Approve,
            };
            let decision = self.one_of(&[likely, likely, ReviewDecision::Approve, ReviewDecision::Reject]);
            let affiliate_id = self.one_of(&["a1", "a2"]).to_owned();
            let decided = ReviewDecided {
                event_id: self.event("revevt"),
                merchant_id: seen.merchant_id.clone(),
                livemode: seen.livemode,
                external_order_id: seen.external_order_id.clone(),
                review: Review {
                    decision,
                    revision: seen.revision,
                    affiliate_id: (decision == ReviewDecision::Approve).then_some(affiliate_id),
                    reviewer: "asha".to_owned(),
                    role: "administrator".to_owned(),
                    reason: "as it seems".to_owned(),
                    request_id: "req".to_owned(),
                },
                decided_at: Timestamp(self.now()),
            };
            let order = OrderId {
                merchant_id: seen.merchant_id.clone(),
                livemode: seen.livemode,
                external_order_id: seen.external_order_id.clone(),
            };
            // A producer may have written it twice.
            for _ in 0..self.one_of(&[1, 1, 1, 2]) {
                self.world.write(&CONVERSIONS, &key(&order).to_bytes(), &decided);
            }
        }
    }

    /// An administrator reports a payout, whether or not another has.
    fn outcome(&mut self) {
        let known = self.payouts();
        if !known.is_empty() {
            let payout = self.one_of(&known);
            self.report_payout(&payout);
        }
    }

    /// Administrators report every payout that is on its way, and sometimes two of them report one.
    fn end_payouts(&mut self) {
        let (open, ended): (Vec<_>, Vec<_>) =
            self.payouts().into_iter().partition(|it| it.state == PayoutState::InTransit);
        for payout in open.iter().filter(|open| ended.iter().all(|it| it.payout_id != open.payout_id)) {
            self.report_payout(payout);
            if self.draw(2) == 0 {
                self.report_payout(payout);
            }
        }
    }

    fn payouts(&self) -> Vec<PayoutChanged> {
        let records = self.world.records().into_iter().filter(|message| message.topic.id == PAYOUTS.number);
        records.map(|message| schemas::decode(&message.value).unwrap()).collect()
    }

    fn report_payout(&mut self, payout: &PayoutChanged) {
        let report = PayoutReported {
            event_id: self.event("payevt"),
            payout_id: payout.payout_id.clone(),
            outcome: self.one_of(&[PayoutOutcome::Paid, PayoutOutcome::Failed]),
            reference: self.one_of(&[None, Some("BANK-1".to_owned())]),
            reported_by: None,
            received_at: Timestamp(self.now()),
        };
        self.facts.payout_reported(report.clone());
        let ledger = account_key(&payout.affiliate_id, payout.currency.code(), payout.livemode);
        self.world.write(&PAYOUT_REPORTS, &ledger, &report);
    }

    fn rubbish(&mut self) {
        let order = self.order();
        let (key, value) = (key(&order).to_bytes(), vec![0xC3, 1, 2, 3]);
        self.facts.poison(CONVERSIONS.number, &key, &value);
        self.world.write_bytes(&CONVERSIONS, &key, value);
    }
}

fn key(order: &OrderId) -> OrderKey<'_> {
    let OrderId { merchant_id, livemode, external_order_id } = order;
    OrderKey { merchant_id, livemode: *livemode, external_order_id }
}

/// xorshift64: a number below a bound.
fn draw(random: &mut u64, below: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 11) % below
}
