//! Where the statuses bring an order.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Timestamp;
use schemas::records::{ConversionReported, OrderStatus, OrderStatusReported, ReportedStatus};

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
    pub(super) approved: bool,
    pub(super) reversed: bool,
}

/// The report's status first, with its clock from receipt; then the updates by their times, of one instant the terminal
/// ones last. After the first terminal one nothing counts.
///
/// `updates` may be in any order, and have the same update several times: its earliest receipt counts.
pub(super) fn course(report: &ConversionReported, updates: &[OrderStatusReported]) -> Course {
    let mut course = Course {
        order_statuses: BTreeSet::from([report.order_status]),
        settled: None,
        delivered: None,
        approved: false,
        reversed: false,
    };
    take(&mut course, &[first(report.order_status)], report.received_at);
    let mut groups: BTreeMap<(Timestamp, bool), Vec<ReportedStatus>> = BTreeMap::new();
    for (status, at) in distinct(updates) {
        groups.entry((at, is_reversal(status))).or_default().push(status);
    }
    for ((at, _), statuses) in groups {
        if !course.reversed {
            take(&mut course, &statuses, at);
        }
    }
    course
}

/// The updates that differ in status or in the time sent, each with its time.
fn distinct(updates: &[OrderStatusReported]) -> Vec<(ReportedStatus, Timestamp)> {
    let mut known: BTreeMap<(ReportedStatus, Option<Timestamp>), Timestamp> = BTreeMap::new();
    for update in updates {
        let received = known.entry((update.status, update.status_updated_at)).or_insert(update.received_at);
        *received = update.received_at.min(*received);
    }
    known.into_iter().map(|((status, sent), received)| (status, sent.unwrap_or(received))).collect()
}

/// Takes statuses of one instant, which are all reversals or none.
fn take(course: &mut Course, statuses: &[ReportedStatus], at: Timestamp) {
    let mut may_be_last = BTreeSet::new();
    let mut decides_alone = false;
    for status in statuses {
        match status {
            ReportedStatus::Confirmed | ReportedStatus::Paid => course.settled = course.settled.or(Some(at)),
            ReportedStatus::Delivered => course.delivered = course.delivered.or(Some(at)),
            ReportedStatus::CommissionApproved => course.approved = true,
            ReportedStatus::Pending
            | ReportedStatus::Cancelled
            | ReportedStatus::Returned
            | ReportedStatus::Refunded
            | ReportedStatus::CommissionRejected => (),
        }
        course.reversed |= is_reversal(*status);
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
