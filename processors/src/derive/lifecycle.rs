//! The course of an order through the statuses reported of it.
//!
//! Statuses count in the order of their own times, not of their arrival: the report's status first, then the updates
//! by `statusUpdatedAt` (or receipt), of equal times the terminal one last. In that order a reversal is final, and
//! the first confirmation or payment, and the first delivery, start their clocks. Partial refunds add up, and are a
//! reversal once they come to the whole. A reversal that an administrator has set aside is none. So an update that comes late
//! changes what it would have changed had it come in time, and nothing else: one older than what is known changes
//! nothing, unless it is the first of its kind or a reversal, which order of arrival must not decide.

use std::cmp::Ordering;

use schemas::Timestamp;
use schemas::records::{HoldExplained, HoldWindow, OrderStatus, ReportedStatus};
use schemas::state::{PinnedTerms, ReportFact, StatusFact};

/// Where the statuses have brought an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// Where the merchant says the order is.
    pub order_status: OrderStatus,
    /// The first confirmation or payment.
    pub settled_from: Option<Timestamp>,
    /// The first delivery.
    pub delivered_at: Option<Timestamp>,
    /// The merchant's first approval of the commission.
    pub approved_at: Option<Timestamp>,
    /// Whether it was cancelled, returned, refunded or rejected.
    pub reversed: bool,
    /// The sum of the partial refunds, at most the order's amount, in thousandths of the currency's unit; none without
    /// one.
    pub refunded: Option<i64>,
    /// What the commission is of, in the same thousandths. It stays when the last of it is refunded, as the commission
    /// stays with its amount when it is reversed.
    pub remaining: i64,
}

impl Course {
    /// The hold: of the return window once delivered, of the settlement window before that.
    #[must_use]
    pub fn hold(&self, terms: &PinnedTerms) -> Option<HoldExplained> {
        match (self.delivered_at, self.settled_from) {
            (Some(since), _) => Some(HoldExplained { window: HoldWindow::Return, since, window_ms: terms.return_ms }),
            (None, Some(since)) => {
                Some(HoldExplained { window: HoldWindow::Settlement, since, window_ms: terms.settlement_ms })
            }
            (None, None) => None,
        }
    }

    /// A status that an administrator has set aside says where the order is, and reverses nothing.
    fn take(&mut self, status: ReportedStatus, at: Timestamp, set_aside: bool) {
        match status {
            ReportedStatus::Pending => {}
            ReportedStatus::Confirmed | ReportedStatus::Paid => self.settled_from = self.settled_from.or(Some(at)),
            ReportedStatus::Delivered => self.delivered_at = self.delivered_at.or(Some(at)),
            ReportedStatus::CommissionApproved => self.approved_at = self.approved_at.or(Some(at)),
            ReportedStatus::Cancelled
            | ReportedStatus::Returned
            | ReportedStatus::Refunded
            | ReportedStatus::CommissionRejected => self.reversed |= !set_aside,
        }
        self.order_status = order_status(status).unwrap_or(self.order_status);
    }

    /// A partial refund says nothing of the order's status before all is refunded.
    fn refund(&mut self, status: ReportedStatus, thousandths: i64, at: Timestamp, whole: i64) {
        let refunded = self.refunded.unwrap_or(0).saturating_add(thousandths).min(whole);
        self.refunded = Some(refunded);
        if refunded < whole {
            self.remaining = whole - refunded;
        } else {
            self.take(status, at, false);
        }
    }
}

/// Folds the report and its updates, which are in the order of [`counts_before`].
#[must_use]
pub fn fold(report: &ReportFact, updates: &[StatusFact]) -> Course {
    debug_assert!(updates.is_sorted_by(|a, b| counts_before(a, b) != Ordering::Greater), "updates are kept in order");
    let whole = report.currency.thousandths(report.amount_minor);
    let mut course = Course {
        order_status: report.order_status,
        settled_from: None,
        delivered_at: None,
        approved_at: None,
        reversed: false,
        refunded: None,
        remaining: whole,
    };
    course.take(reported(report.order_status), report.received_at, report.set_aside);
    for update in updates {
        if course.reversed {
            break;
        }
        match update.refunded_thousandths {
            Some(thousandths) => course.refund(update.status, thousandths, time(update), whole),
            None => course.take(update.status, time(update), update.set_aside),
        }
    }
    course
}

/// When a status is taken to have changed.
#[must_use]
pub fn time(update: &StatusFact) -> Timestamp {
    update.status_updated_at.unwrap_or(update.received_at)
}

/// The order in which updates count: by time, then the terminal one last and before it the partial refunds, the smaller
/// first, then by status, so that no two differ only in when they came.
#[must_use]
pub fn counts_before(a: &StatusFact, b: &StatusFact) -> Ordering {
    let rank = |update: &StatusFact| {
        let kind = (is_terminal(update.status), update.refunded_thousandths.is_none(), update.refunded_thousandths);
        (time(update), kind, update.status, update.status_updated_at)
    };
    rank(a).cmp(&rank(b))
}

/// Whether a status ends an order's life, unless it is of a partial refund.
#[must_use]
pub fn is_terminal(status: ReportedStatus) -> bool {
    match status {
        ReportedStatus::Cancelled
        | ReportedStatus::Returned
        | ReportedStatus::Refunded
        | ReportedStatus::CommissionRejected => true,
        ReportedStatus::Pending
        | ReportedStatus::Confirmed
        | ReportedStatus::Paid
        | ReportedStatus::Delivered
        | ReportedStatus::CommissionApproved => false,
    }
}

/// Whether the status that an order was reported with ends its life.
#[must_use]
pub fn begins_reversed(report: &ReportFact) -> bool {
    is_terminal(reported(report.order_status))
}

fn reported(status: OrderStatus) -> ReportedStatus {
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

/// The order status that an update means; none for a decision on the commission alone.
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
