//! Whatever order the facts of an order arrive in, the end is the same.

use proptest::prelude::*;
use schemas::records::{
    ClickRecorded, Confidence, ConversionReported, ConversionState, ConversionTransitioned, OrderStatus,
    OrderStatusReported, ReportedStatus, TestClockAdvanced,
};
use schemas::{Currency, Timestamp};
use streams::Message;
use streams::log::Limits;

use crate::payouts::registry as with_payouts;
use crate::simulated::{moved, of_order};
use crate::world::{CHANGED, DAY, REGISTRY, SECOND, T0, World, click, clicked, report, reported, status, updated};

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

#[derive(Clone, Debug)]
pub(crate) struct Facts {
    report: ConversionReported,
    conflicts: Vec<ConversionReported>,
    click: Option<ClickRecorded>,
    updates: Vec<OrderStatusReported>,
    clocks: Vec<TestClockAdvanced>,
}

impl Facts {
    /// The same in test mode, where the order's time is moved besides, to so many days after its report.
    fn in_test_mode(mut self, days: &[i64]) -> Facts {
        self.report.livemode = false;
        self.conflicts.iter_mut().for_each(|conflict| conflict.livemode = false);
        self.updates.iter_mut().for_each(|update| update.livemode = false);
        self.clocks = days.iter().map(|days| moved(T0 + days * DAY)).collect();
        self
    }
}

/// Random facts of one order.
pub(crate) fn facts() -> impl Strategy<Value = Facts> {
    let order = (
        prop::sample::select(vec![
            OrderStatus::Pending,
            OrderStatus::Confirmed,
            OrderStatus::Delivered,
            OrderStatus::Cancelled,
        ]),
        0..5_000_000i64,
        prop::sample::select(vec![None, Some("RED"), Some("BLUE")]),
        prop::option::of(-40 * DAY..0i64),
        prop::sample::select(vec!["NPR", "JPY", "KWD"]),
        (prop::bool::weighted(0.9), prop::sample::select(vec![None, Some("TEN"), Some("ten"), Some("TWO")])),
    );
    let clicks = prop::option::weighted(0.85, (-35 * DAY..DAY, prop::bool::weighted(0.9)));
    // Few distinct times, so that equal ones, stale ones and duplicates are common; most statuses are not terminal.
    let status_index = prop_oneof![6 => 0..4usize, 1 => 4..9usize, 2 => 5..7usize];
    // Of a refund a part in sixths of the order, finer than a minor unit, or all.
    let part = prop::option::weighted(0.8, 0..5i64);
    let update = (status_index, prop::option::of(-2..6i64), 0..6i64, part);
    (order, clicks, prop::collection::vec(update, 0..7), 0..3usize).prop_map(|(order, click_at, updates, conflicts)| {
        let (order_status, amount_minor, product, ordered_at, currency, (names_click, coupon)) = order;
        let report = ConversionReported {
            order_status,
            amount_minor,
            external_product_id: product.map(str::to_owned),
            ordered_at: ordered_at.map(|offset| Timestamp(T0 + offset)),
            currency: Currency::parse(currency).expect("a currency"),
            click_id: names_click.then(|| "clk_1".to_owned()),
            coupon_code: coupon.map(str::to_owned),
            ..report()
        };
        let conflicts = (0..conflicts)
            .map(|number| ConversionReported {
                amount_minor: 77 + number as i64,
                event_id: format!("cnvevt_c{number}"),
                ..report.clone()
            })
            .chain([ConversionReported { event_id: "cnvevt_dup".to_owned(), ..report.clone() }])
            .collect();
        let click = click_at.map(|(offset, own)| ClickRecorded {
            clicked_at: Timestamp(T0 + offset),
            merchant_id: if own { "m1" } else { "m2" }.to_owned(),
            ..click()
        });
        let updates = updates
            .into_iter()
            .map(|(index, at, received, part)| {
                let update = status(STATUSES[index], at.map(|at| T0 + at * DAY), T0 + received * 10 * SECOND);
                let thousandths = part.map(|part| report.currency.thousandths(amount_minor) * part / 6 + 1);
                let refunded_thousandths = thousandths.filter(|_| update.status.is_refund());
                OrderStatusReported {
                    event_id: format!("{}_{part:?}", update.event_id),
                    refunded_thousandths,
                    ..update
                }
            })
            .collect();
        Facts { report, conflicts, click, updates, clocks: Vec::new() }
    })
}

/// The facts as messages, in an order drawn from `seed` in which only the report comes before its own re-sends.
fn interleave(facts: &Facts, seed: u64) -> Vec<Message> {
    let mut random = seed | 1;
    let mut draw = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let resends = facts.conflicts.iter().map(reported);
    let mut messages: Vec<(u64, Message)> = resends.map(|message| (u64::MAX / 4 + draw() / 2, message)).collect();
    messages.push((draw() % (u64::MAX / 4), reported(&facts.report)));
    messages.extend(facts.click.iter().map(|click| (draw(), clicked(click))));
    messages.extend(facts.updates.iter().map(|update| (draw(), updated(update))));
    messages.extend(facts.clocks.iter().map(|clock| (draw(), of_order(clock))));
    messages.sort_by_key(|(place, _)| *place);
    messages.into_iter().map(|(_, message)| message).collect()
}

/// What must not depend on the order of arrival: all but the count of revisions, the story told on the way, where the
/// facts are, and the windows that a click which credits nobody was held against last.
fn end(world: &World) -> (ConversionTransitioned, [i64; 3]) {
    let mut conversion = world.conversion();
    let is_high = conversion.confidence == Some(Confidence::High);
    let explanation = conversion.explanation.as_mut().expect("every transition is explained");
    explanation.facts.clear();
    explanation.click = explanation.click.filter(|_| is_high);
    let timeless = ConversionTransitioned { revision: 0, seq: 0, timeline: Vec::new(), at: Timestamp(0), ..conversion };
    (timeless, world.balances())
}

fn is_attributed(world: &World) -> bool {
    world.transitions().iter().any(|it| it.confidence == Some(Confidence::High))
}

fn run(facts: &Facts, seed: u64) -> World {
    run_under(REGISTRY, None, facts, seed).0
}

/// Runs the facts under `registry` and, if it is to change, under [`CHANGED`] from before the fact with that index.
/// Tells whether the order was attributed by then.
pub(crate) fn run_under(registry: &str, change_at: Option<usize>, facts: &Facts, seed: u64) -> (World, bool) {
    let mut attributed = false;
    let records_max = 1 + usize::try_from(seed % 5).expect("small");
    let mut world = World::with(registry, Limits { records_max, bytes_max: 1 << 20 });
    let mut now = T0 + 60 * SECOND;
    for (index, message) in interleave(facts, seed).into_iter().enumerate() {
        if change_at == Some(index) {
            attributed = is_attributed(&world);
            world.set_registry(CHANGED);
        }
        // Sometimes time passes between two facts, even past a hold; sometimes several come in one step.
        match (seed >> (index % 48)) % 5 {
            0 => world.write(message),
            1 => {
                now += 9 * DAY;
                world.send(message).at(now);
            }
            _ => {
                now += 20 * SECOND;
                world.send(message).at(now);
            }
        }
    }
    world.at(now).at(T0 + 400 * DAY);
    (world, attributed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_ends_alike(facts in facts(), seeds in (any::<u64>(), any::<u64>())) {
        let (left, right) = (run(&facts, seeds.0), run(&facts, seeds.1));
        prop_assert!(left.dead_letters().is_empty(), "{:?}", left.dead_letters());
        prop_assert_eq!(end(&left), end(&right));

        let (conversion, [pending, payable, merchant]) = end(&left);
        prop_assert_eq!(pending + payable + merchant, 0);
        let derived = conversion.commission.as_ref().map_or(0, |commission| commission.amount_minor);
        let reversed = conversion.state == ConversionState::Reversed;
        prop_assert_eq!(pending + payable, if reversed { 0 } else { derived });
    }

    /// With a clock that is moved, and payouts that are simulated at cut-offs before, between and after the statuses.
    #[test]
    fn any_interleaving_of_a_test_order_ends_alike(
        facts in facts(),
        days in prop::collection::vec(0..80_i64, 0..4),
        seeds in (any::<u64>(), any::<u64>()),
    ) {
        let (facts, registry) = (facts.in_test_mode(&days), with_payouts(None, false));
        let left = run_under(&registry, None, &facts, seeds.0).0;
        let right = run_under(&registry, None, &facts, seeds.1).0;
        prop_assert!(left.dead_letters().is_empty(), "{:?}", left.dead_letters());
        prop_assert_eq!(end(&left), end(&right));
        // Whatever is payable is paid by the end, and nothing of it is booked.
        let (conversion, [pending, payable, merchant]) = end(&left);
        let earns = conversion.commission.as_ref().is_some_and(|commission| commission.amount_minor > 0);
        prop_assert!(!earns || conversion.state != ConversionState::Payable);
        prop_assert_eq!(pending + payable + merchant, 0);
    }

    /// A change of rules and windows on the way ends like the one registry or like the other, never between them.
    #[test]
    fn a_changed_registry_touches_what_is_not_attributed(facts in facts(), seed in any::<u64>(), at in 0..8usize) {
        let (changed, attributed) = run_under(REGISTRY, Some(at), &facts, seed);
        prop_assert!(changed.dead_letters().is_empty(), "{:?}", changed.dead_letters());
        // A change after the last fact finds every order that is ever attributed attributed.
        let came = interleave(&facts, seed).len() > at;
        let alone = if attributed || !came { REGISTRY } else { CHANGED };
        prop_assert_eq!(end(&changed), end(&run_under(alone, None, &facts, seed).0));
    }
}
