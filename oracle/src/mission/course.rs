//! Where the statuses bring an order.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Timestamp;
use schemas::records::{ConversionReported, OrderStatus, OrderStatusReported, ReportedStatus};

use super::fraction::Fraction;

/// Where they have brought it.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// The order's status, of which there may be several where the contract leaves open which of two updates of one
    /// instant comes last.
    pub(super) order_statuses: BTreeSet<OrderStatus>,
    /// The first confirmation or payment.
    pub(super) settled: Option<Timestamp>,
    /// The first delivery.
    pub(super) delivered: Option<Timestamp>,
    /// The first approval of the commission.
    pub(super) approved: Option<Timestamp>,
    pub(super) reversed: bool,
    /// The sum of the partial refunds, at most the order, in thousandths of the currency's unit.
    pub(super) refunded: Option<i64>,
    /// The part of the order that its commission is of: all but the partial refunds, without the one that was the rest.
    pub(super) left: Fraction,
}

/// The report's status first, with its clock from receipt; then the updates by their times, of one instant the partial
/// refunds after all others, the smaller first, and then the terminal ones. After the first terminal one, and once all is
/// refunded, nothing counts.
///
/// `updates` may be in any order, and have the same update several times: its earliest receipt counts.
///
/// Of the first `set_aside` of them the reversals are none, and of the report; of partial refunds everything stays.
pub(super) fn course(report: &ConversionReported, updates: &[OrderStatusReported], set_aside: Option<usize>) -> Course {
    let mut course = Course {
        order_statuses: BTreeSet::from([report.order_status]),
        settled: None,
        delivered: None,
        approved: None,
        reversed: false,
        refunded: None,
        left: Fraction::ONE,
    };
    take(&mut course, &[first(report.order_status)], report.received_at, set_aside.is_some());
    // Partial refunds of one amount are a group too: which of a refund and a return was the rest of the order is open.
    let mut groups: BTreeMap<(Timestamp, Group), Vec<ReportedStatus>> = BTreeMap::new();
    for (status, at, refunded, is_aside) in distinct(updates, set_aside.unwrap_or(0)) {
        let group = match refunded {
            Some(thousandths) => Group::Refund(thousandths),
            None if is_reversal(status) && is_aside => Group::SetAside,
            None if is_reversal(status) => Group::Reversal,
            None => Group::Other,
        };
        groups.entry((at, group)).or_default().push(status);
    }
    for ((at, group), statuses) in groups {
        match group {
            _ if course.reversed => {}
            Group::Other | Group::Reversal => take(&mut course, &statuses, at, false),
            Group::SetAside => take(&mut course, &statuses, at, true),
            Group::Refund(thousandths) => refund(&mut course, &statuses, thousandths, thousandths_of(report)),
        }
    }
    course
}

/// What updates of one instant count after and before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Other,
    Refund(i64),
    SetAside,
    Reversal,
}

/// The updates that differ in status, in the time or in the amount sent, each with its time, and whether it is one of the
/// first `set_aside` in the log.
fn distinct(updates: &[OrderStatusReported], set_aside: usize) -> Vec<(ReportedStatus, Timestamp, Option<i64>, bool)> {
    type What = (ReportedStatus, Option<Timestamp>, Option<i64>);
    let mut known: BTreeMap<What, (Timestamp, bool)> = BTreeMap::new();
    for (index, update) in updates.iter().enumerate() {
        let what = (update.status, update.status_updated_at, update.refunded_thousandths);
        let (received, _) = known.entry(what).or_insert((update.received_at, index < set_aside));
        *received = update.received_at.min(*received);
    }
    let timed = known
        .into_iter()
        .map(|((status, sent, refunded), (received, is_aside))| (status, sent.unwrap_or(received), refunded, is_aside));
    timed.collect()
}

/// The order's amount in thousandths of its currency's unit.
fn thousandths_of(report: &ConversionReported) -> i64 {
    match report.currency.minor_units() {
        0 => report.amount_minor * 1_000,
        2 => report.amount_minor * 10,
        3 => report.amount_minor,
        other => unreachable!("no currency that is paid in has {other} decimals"),
    }
}

/// Takes partial refunds of one instant and one amount, one after the other until all is refunded.
fn refund(course: &mut Course, statuses: &[ReportedStatus], thousandths: i64, whole: i64) {
    for _ in statuses {
        let refunded = course.refunded.unwrap_or(0) + thousandths;
        course.refunded = Some(refunded.min(whole));
        if refunded >= whole {
            course.reversed = true;
            course.order_statuses = statuses.iter().filter_map(|status| order_status(*status)).collect();
            return;
        }
        course.left = Fraction::new((whole - refunded).into(), whole.into());
    }
}

/// Takes statuses of one instant, which are all reversals or none; those that are set aside reverse nothing.
fn take(course: &mut Course, statuses: &[ReportedStatus], at: Timestamp, set_aside: bool) {
    let mut may_be_last = BTreeSet::new();
    let mut decides_alone = false;
    for status in statuses {
        match status {
            ReportedStatus::Confirmed | ReportedStatus::Paid => course.settled = course.settled.or(Some(at)),
            ReportedStatus::Delivered => course.delivered = course.delivered.or(Some(at)),
            ReportedStatus::CommissionApproved => course.approved = course.approved.or(Some(at)),
            ReportedStatus::Pending
            | ReportedStatus::Cancelled
            | ReportedStatus::Returned
            | ReportedStatus::Refunded
            | ReportedStatus::CommissionRejected => (),
        }
        course.reversed |= is_reversal(*status) && !set_aside;
        match order_status(*status) {
            Some(status) => {
                may_be_last.insert(status);
            }
            // Of several reversals any may be the one that counts, and this one says nothing of the order.
            None => decides_alone |= is_reversal(*status),
        }
    }
    if may_be_last.is_empty() {
        return;
    }
    if decides_alone {
        may_be_last.append(&mut course.order_statuses);
    }
    course.order_statuses = may_be_last;
}

fn is_reversal(status: ReportedStatus) -> bool {
    use ReportedStatus::{Cancelled, CommissionRejected, Refunded, Returned};
    [Cancelled, Returned, Refunded, CommissionRejected].contains(&status)
}

/// What an update says of the order; nothing if it decides on the commission.
fn order_status(status: ReportedStatus) -> Option<OrderStatus> {
    match status {
        ReportedStatus::Pending => Some(OrderStatus::Pending),
        ReportedStatus::Confirmed => Some(OrderStatus::Confirmed),
        ReportedStatus::Paid => Some(OrderStatus::Paid),
        ReportedStatus::Delivered => Some(OrderStatus::Delivered),
        ReportedStatus::Cancelled => Some(OrderStatus::Cancelled),
        ReportedStatus::Returned => Some(OrderStatus::Returned),
        ReportedStatus::Refunded => Some(OrderStatus::Refunded),
        ReportedStatus::CommissionApproved | ReportedStatus::CommissionRejected => None,
    }
}

/// The status that an order was reported with.
fn first(status: OrderStatus) -> ReportedStatus {
    match status {
        OrderStatus::Pending => ReportedStatus::Pending,
        OrderStatus::Confirmed => ReportedStatus::Confirmed,
        OrderStatus::Paid => ReportedStatus::Paid,
        OrderStatus::Delivered => ReportedStatus::Delivered,
        OrderStatus::Cancelled => ReportedStatus::Cancelled,
        OrderStatus::Returned => ReportedStatus::Returned,
        OrderStatus::Refunded => ReportedStatus::Refunded,
    }
}
