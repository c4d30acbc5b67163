//! The audit itself: each kind of fault, put into a sound log's records, is found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use schemas::records::Account;

use crate::up::audit::audit;
use crate::up::client::{Client, ONE};
use crate::up::cluster::{Cluster, on_each_cluster};
use crate::up::orders::{Click, Order};
use crate::up::poll;
use crate::up::topics::Topics;

on_each_cluster!(the_audit_finds_each);

type Tamper = fn(&mut Topics);

// A merchant's retry may have put a report or a status into the log twice: whoever loses one loses all of it.
const TAMPERINGS: [(&str, Tamper); 16] = [
    ("a report is lost", |topics| {
        let lost = topics.reports.remove(0);
        topics.reports.retain(|report| report.external_order_id != lost.external_order_id);
    }),
    ("a report is another", |topics| topics.reports[0].amount_minor += 1),
    ("an event is there twice", |topics| topics.reports.push(topics.reports[0].clone())),
    ("a status is lost", |topics| {
        let lost = topics.statuses.remove(0);
        topics.statuses.retain(|status| status.external_order_id != lost.external_order_id);
    }),
    ("a change is there twice", |topics| topics.transitions.push(topics.transitions[0].clone())),
    ("the last state is lost", |topics| {
        let lost = topics.transitions.pop().expect("a change");
        topics.transitions.retain(|change| (change.conversion_id, change.state) != (lost.conversion_id, lost.state));
    }),
    ("a timeline entry is lost", |topics| drop(topics.transitions[0].timeline.remove(0))),
    ("a click is asked for twice", |topics| topics.lookups.push(topics.lookups[0].clone())),
    ("a click is matched twice", |topics| topics.verdicts.push(topics.verdicts[0].clone())),
    ("a commission is there twice", |topics| topics.commissions.push(topics.commissions[0].clone())),
    ("a commission is another", |topics| topics.commissions[0].commission.amount_minor += 1),
    ("an entry is booked twice", |topics| topics.entries.push(topics.entries[0].clone())),
    ("an entry is lost", |topics| drop(topics.entries.remove(0))),
    ("an entry goes nowhere", |topics| {
        topics.entries[0].debit = Account::AffiliatePending;
        topics.entries[0].credit = Account::AffiliatePending;
    }),
    ("a balance is another", |topics| topics.balances.iter_mut().for_each(|change| change.balance_minor.0 += 1)),
    ("a balance is told twice", |topics| topics.balances.push(topics.balances[0].clone())),
];

fn the_audit_finds_each<C: Cluster>() {
    let mut cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let mut orders: Vec<Order> = (0..3).map(|number| Order::new(&ONE, format!("AUDIT-{number}"), 10_000)).collect();
    orders[1].click = Click::Missing;
    for order in &mut orders {
        order.deliver(&mut client);
        poll(Duration::from_secs(20), || order.unsettled(&client.conversion(&order.id)).map_or(Ok(()), Err));
    }
    cluster.quiet("tampering");
    cluster.stop();
    let sound = cluster.topics();
    audit(&sound, &orders, "before tampering");
    let missed: Vec<&str> = TAMPERINGS
        .iter()
        .filter(|(_, tamper)| {
            let mut topics = sound.clone();
            tamper(&mut topics);
            catch_unwind(AssertUnwindSafe(|| audit(&topics, &orders, "tampered"))).is_ok()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(missed.is_empty(), "the audit did not find that {missed:?}");
    let forgotten = catch_unwind(AssertUnwindSafe(|| audit(&sound, &orders[1..], "one order too many")));
    assert!(forgotten.is_err(), "the audit did not find an order that nobody sent");
}
