//! What each order is and what is sent of it, from the seed and its number alone: nothing of it is kept in memory.

use schemas::Timestamp;

use super::dice::Dice;
use super::scenario::Scenario;
use super::schedule::Schedule;
use super::terms::{CLICKS, Crowd, Merchant, Product};

const GROUP: u64 = 2;
const ORDER: u64 = 3;
const AMOUNTS_MINOR: [u64; 2] = [1_000, 600_000];
/// How long before its order a click is made that is recorded late.
const CLICKED_BEFORE_MS: i64 = 30_000;
/// Most updates of an order.
pub(super) const UPDATES_MAX: usize = 3;

/// Everything that a scenario draws.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    scenario: Scenario,
    schedule: Schedule,
    crowd: Crowd,
    /// When the first phase begins.
    epoch: Timestamp,
}

/// What is reported in one request for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) merchant: Merchant,
    /// Wrongly signed: none of its orders may be let in.
    pub(super) forged: bool,
    /// When it is meant to be sent, in microseconds from the epoch.
    pub(super) intended: u64,
}

/// The click that an order names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Click {
    None,
    Unknown,
    /// One of the registry's, by its number among the merchant's.
    Known(u32),
    /// One that is recorded this many microseconds after the order's report.
    Late(u64),
}

/// What is told of an order after its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Update {
    pub(super) status: Status,
    /// What is refunded this time, in minor units; none: no partial refund.
    pub(super) refunded: Option<u64>,
    /// How many microseconds after the report.
    pub(super) delay: u64,
}

/// A status of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Confirmed,
    Delivered,
    Cancelled,
    Returned,
    Refunded,
    Approved,
    Rejected,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Confirmed => "confirmed",
            Status::Delivered => "delivered",
            Status::Cancelled => "cancelled",
            Status::Returned => "returned",
            Status::Refunded => "refunded",
            Status::Approved => "commission_approved",
            Status::Rejected => "commission_rejected",
        }
    }
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) group: Group,
    pub(super) click: Click,
    pub(super) product: Product,
    /// In minor units.
    pub(super) amount: u64,
    /// Reported as confirmed, or else as pending.
    pub(super) confirmed: bool,
    /// In the order of their times.
    pub(super) updates: Vec<Update>,
    /// Microseconds from the report to its duplicate.
    pub(super) duplicate: Option<u64>,
    /// And to one that differs.
    pub(super) conflict: Option<u64>,
}

impl Plan {
    pub(super) fn new(scenario: Scenario, epoch: Timestamp) -> Plan {
        let (schedule, crowd) = (Schedule::of(&scenario), Crowd::of(&scenario));
        Plan { scenario, schedule, crowd, epoch }
    }

    pub(super) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The orders of a group.
    pub(super) fn orders_of(&self, group: u64) -> std::ops::Range<u64> {
        let batch = u64::from(self.scenario.batch);
        group * batch..(group + 1) * batch
    }

    pub(super) fn group(&self, group: u64) -> Group {
        let mut dice = Dice::of(self.scenario.seed, GROUP, group);
        let merchant = self.crowd.pick(&mut dice);
        let forged = dice.per_mille(self.scenario.shares.bad_signature);
        Group { merchant, forged, intended: self.schedule.time_of(group) }
    }

    pub(super) fn order(&self, number: u64) -> Order {
        let group = self.group(number / u64::from(self.scenario.batch));
        let (shares, delays) = (&self.scenario.shares, &self.scenario.delays);
        let mut dice = Dice::of(self.scenario.seed, ORDER, number);
        let click = match u32::try_from(dice.below(1_000)).unwrap_or(u32::MAX) {
            at if at < shares.no_click => Click::None,
            at if at < shares.no_click + shares.unknown_click => Click::Unknown,
            at if at < shares.no_click + shares.unknown_click + shares.late_click => {
                Click::Late(1_000 * dice.within(delays.late_click_ms))
            }
            _ => Click::Known(u32::try_from(dice.below(CLICKS.into())).unwrap_or(0)),
        };
        let product = match dice.below(20) {
            0 => Product::Free,
            1..=5 => Product::Red,
            _ => Product::Other,
        };
        let amount = dice.within(AMOUNTS_MINOR);
        let confirmed = dice.per_mille(500);
        let mut resend = |share| dice.per_mille(share).then(|| 1_000 * dice.within(delays.resend_ms));
        let (duplicate, conflict) = (resend(shares.duplicate), resend(shares.conflict));
        let updates =
            if dice.per_mille(shares.updates) { course(&mut dice, amount, delays.update_ms) } else { Vec::new() };
        Order { number, group, click, product, amount, confirmed, updates, duplicate, conflict }
    }

    /// The instant that is so many microseconds after the epoch.
    pub(super) fn instant(&self, micros: u64) -> Timestamp {
        Timestamp(self.epoch.0 + i64::try_from(micros / 1_000).expect("no run is that long"))
    }

    /// The id that the merchant has for the order: no other run's, since it has the epoch in it.
    pub(super) fn id(&self, number: u64) -> String {
        format!("F{:x}-{number}", self.epoch.0)
    }

    pub(super) fn click_id(&self, order: &Order) -> Option<String> {
        match order.click {
            Click::None => None,
            Click::Unknown => Some(format!("clk_nobody_{}", self.id(order.number))),
            Click::Known(click) => Some(order.group.merchant.click(click)),
            Click::Late(_) => Some(format!("clk_late_{}", self.id(order.number))),
        }
    }

    /// The body of an order's report.
    pub(super) fn report(&self, order: &Order) -> String {
        self.report_of(order, order.amount)
    }

    /// A report that differs from the first in its amount.
    pub(super) fn conflicting(&self, order: &Order) -> String {
        self.report_of(order, order.amount + 1)
    }

    fn report_of(&self, order: &Order, amount: u64) -> String {
        let money = order.group.merchant.money();
        let click = self.click_id(order).map(|click| format!("\"clickId\":\"{click}\",")).unwrap_or_default();
        let status = if order.confirmed { "confirmed" } else { "pending" };
        format!(
            "{{{click}\"externalOrderId\":\"{}\",\"externalProductId\":\"{}\",\"orderAmount\":\"{}\",\"currency\":\"{}\",\
             \"orderStatus\":\"{status}\",\"orderedAt\":\"{}\",\"metadata\":{{\"channel\":\"festival\"}}}}",
            self.id(order.number),
            order.product.id(),
            money.decimal(amount),
            money.code(),
            self.instant(order.group.intended),
        )
    }

    /// The body of an order's update, by its place.
    pub(super) fn update(&self, order: &Order, place: usize) -> String {
        let update = order.updates[place];
        let money = order.group.merchant.money();
        let refunded = update.refunded.map(|minor| format!(",\"refundedAmount\":\"{}\"", money.decimal(minor)));
        format!(
            "{{\"externalOrderId\":\"{}\",\"status\":\"{}\",\"statusUpdatedAt\":\"{}\"{}}}",
            self.id(order.number),
            update.status.name(),
            self.instant(order.group.intended + update.delay),
            refunded.unwrap_or_default(),
        )
    }

    /// The body that records an order's late click.
    pub(super) fn late_click(&self, order: &Order) -> String {
        let ordered_at = self.instant(order.group.intended);
        format!(
            "{{\"clickId\":\"{}\",\"linkId\":\"{}\",\"clickedAt\":\"{}\"}}",
            self.click_id(order).unwrap_or_default(),
            order.group.merchant.link(),
            Timestamp(ordered_at.0 - CLICKED_BEFORE_MS),
        )
    }
}

/// One of the ways that an order may go after its report.
fn course(dice: &mut Dice, amount: u64, update_ms: [u64; 2]) -> Vec<Update> {
    let part = |of: u64| Some(amount / of);
    let course: &[(Status, Option<u64>)] = match dice.below(9) {
        0 => &[(Status::Confirmed, None)],
        1 | 2 => &[(Status::Confirmed, None), (Status::Delivered, None)],
        3 => &[(Status::Cancelled, None)],
        4 => &[(Status::Confirmed, None), (Status::Refunded, part(4))],
        5 => &[(Status::Delivered, None), (Status::Returned, part(2)), (Status::Refunded, part(3))],
        6 => &[(Status::Confirmed, None), (Status::Approved, None)],
        7 => &[(Status::Confirmed, None), (Status::Delivered, None), (Status::Returned, None)],
        _ => &[(Status::Confirmed, None), (Status::Refunded, part(1)), (Status::Rejected, None)],
    };
    let mut delay = 0;
    let at = |(status, refunded): &(Status, Option<u64>)| {
        // A millisecond at least: which of two of one instant counts first is another matter.
        delay += 1_000 * dice.within(update_ms).max(1);
        Update { status: *status, refunded: *refunded, delay }
    };
    course.iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const EPOCH: Timestamp = Timestamp(1_781_429_400_000);

    fn plan(change: impl FnOnce(&mut Scenario)) -> Plan {
        let mut scenario = Scenario::example();
        change(&mut scenario);
        Plan::new(scenario, EPOCH)
    }

    #[test]
    fn the_same_again_in_any_order() {
        let (one, other) = (plan(|_| ()), plan(|_| ()));
        let mut backwards: Vec<Order> = (0..500).rev().map(|number| one.order(number)).collect();
        backwards.reverse();
        assert_eq!(backwards, (0..500).map(|number| other.order(number)).collect::<Vec<_>>());
        let another = plan(|it| it.seed += 1);
        assert_ne!(backwards, (0..500).map(|number| another.order(number)).collect::<Vec<_>>());
    }

    #[test]
    fn shares_are_what_the_scenario_says() {
        let plan = plan(|it| it.shares.late_click = 100);
        let orders: Vec<Order> = (0..900).cycle().take(900).map(|number| plan.order(number)).collect();
        let count = |what: fn(&Order) -> bool| orders.iter().filter(|order| what(order)).count();
        assert!((45..110).contains(&count(|it| it.click == Click::None)));
        assert!((55..130).contains(&count(|it| matches!(it.click, Click::Late(_)))));
        assert!((45..105).contains(&count(|it| it.duplicate.is_some())));
        assert!((380..520).contains(&count(|it| !it.updates.is_empty())));
        assert!(count(|it| it.updates.len() > UPDATES_MAX) == 0);
        assert!((5..40).contains(&count(|it| it.group.forged)));
        assert!(orders.iter().all(|it| it.updates.is_sorted_by(|a, b| a.delay / 1_000 < b.delay / 1_000)));
    }

    #[test]
    fn a_batch_is_one_merchants() {
        let plan = plan(|it| it.batch = 50);
        for group in 0..5 {
            let merchants: BTreeSet<u32> =
                plan.orders_of(group).map(|number| plan.order(number).group.merchant.0).collect();
            assert_eq!(merchants, BTreeSet::from([plan.group(group).merchant.0]));
        }
    }

    #[test]
    fn bodies_are_json_that_say_what_is_planned() {
        let plan = plan(|it| it.shares.late_click = 300);
        for number in 0..300 {
            let order = plan.order(number);
            let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
            let report = json(plan.report(&order));
            assert_eq!(report["externalOrderId"], plan.id(number));
            assert_eq!(report["clickId"].as_str(), plan.click_id(&order).as_deref());
            assert_ne!(report["orderAmount"], json(plan.conflicting(&order))["orderAmount"]);
            for place in 0..order.updates.len() {
                let update = json(plan.update(&order, place));
                assert_eq!(update["refundedAmount"].is_null(), order.updates[place].refunded.is_none());
            }
            if let Click::Late(_) = order.click {
                assert!(json(plan.late_click(&order))["clickedAt"].as_str() < report["orderedAt"].as_str());
            }
        }
    }
}
