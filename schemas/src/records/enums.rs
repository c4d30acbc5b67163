//! The enumerations of the records.

use serde::{Deserialize, Serialize};

/// Where the merchant says the order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// `pending`
    Pending,
    /// `confirmed`
    Confirmed,
    /// `paid`
    Paid,
    /// `delivered`
    Delivered,
    /// `cancelled`
    Cancelled,
    /// `returned`
    Returned,
    /// `refunded`
    Refunded,
}

/// What a status update says: an order status, or the merchant's decision on the commission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedStatus {
    /// `pending`
    Pending,
    /// `confirmed`
    Confirmed,
    /// `paid`
    Paid,
    /// `delivered`
    Delivered,
    /// `cancelled`
    Cancelled,
    /// `returned`
    Returned,
    /// `refunded`
    Refunded,
    /// `commission_approved`
    CommissionApproved,
    /// `commission_rejected`
    CommissionRejected,
}

impl ReportedStatus {
    /// Whether goods or money went back, perhaps only in part.
    #[must_use]
    pub fn is_refund(self) -> bool {
        match self {
            ReportedStatus::Returned | ReportedStatus::Refunded => true,
            ReportedStatus::Pending
            | ReportedStatus::Confirmed
            | ReportedStatus::Paid
            | ReportedStatus::Delivered
            | ReportedStatus::Cancelled
            | ReportedStatus::CommissionApproved
            | ReportedStatus::CommissionRejected => false,
        }
    }
}

/// Where a conversion is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversionState {
    /// `received`
    Received,
    /// `attributed`
    Attributed,
    /// `commission_created`
    CommissionCreated,
    /// `hold`
    Hold,
    /// `payable`
    Payable,
    /// `paid`
    Paid,
    /// `rejected`
    Rejected,
    /// `reversed`
    Reversed,
}

/// HIGH: attributed by a click that qualifies, commissioned by itself. LOW: recorded, never commissioned by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Confidence {
    /// `HIGH`
    High,
    /// `LOW`
    Low,
}

/// Why a conversion is LOW.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfidenceReason {
    /// `no_click`
    NoClick,
    /// `click_unknown`
    ClickUnknown,
    /// `click_not_yours`
    ClickNotYours,
    /// `click_outside_window`
    ClickOutsideWindow,
    /// `click_after_order`
    ClickAfterOrder,
    /// `coupon_only`
    CouponOnly,
    /// `coupon_outside_window`
    CouponOutsideWindow,
    /// `coupon_unknown`
    CouponUnknown,
    /// `click_too_recent`
    ClickTooRecent,
    /// `self_referral`
    SelfReferral,
}

/// The level of a commission rule, the most particular first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleLevel {
    /// `product`
    Product,
    /// `campaign`
    Campaign,
    /// `merchant`
    Merchant,
    /// `platform`
    Platform,
}

/// created: not yet held; held: until holdUntil; payable: owed to the affiliate; reversed: withdrawn; paid: in a payout that was paid, or, in test mode, simulated to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommissionState {
    /// `created`
    Created,
    /// `held`
    Held,
    /// `payable`
    Payable,
    /// `reversed`
    Reversed,
    /// `paid`
    Paid,
}

/// An account of the ledger. merchant_receivable: what a merchant owes us for its affiliates; affiliate_pending: earned, not yet payable; affiliate_payable: owed to the affiliate now, below 0 if more was paid than it has earned; payout_in_transit: on its way to the affiliate; affiliate_paid: what the affiliate was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// `merchant_receivable`
    MerchantReceivable,
    /// `affiliate_pending`
    AffiliatePending,
    /// `affiliate_payable`
    AffiliatePayable,
    /// `payout_in_transit`
    PayoutInTransit,
    /// `affiliate_paid`
    AffiliatePaid,
}

/// in_transit: on its way; paid: with the affiliate; failed: it came back, and what it was of is payable again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutState {
    /// `in_transit`
    InTransit,
    /// `paid`
    Paid,
    /// `failed`
    Failed,
}

/// What became of a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutOutcome {
    /// `paid`
    Paid,
    /// `failed`
    Failed,
}

/// What made a timeline entry. paid_out: a payout that was paid, or that took back what others had paid; payout_simulated: of an order of test mode, which no payout is of, that a cut-off has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseType {
    /// `reported`
    Reported,
    /// `click`
    Click,
    /// `click_wait_elapsed`
    ClickWaitElapsed,
    /// `order_status`
    OrderStatus,
    /// `conflict`
    Conflict,
    /// `hold_elapsed`
    HoldElapsed,
    /// `review`
    Review,
    /// `test_clock`
    TestClock,
    /// `paid_out`
    PaidOut,
    /// `payout_simulated`
    PayoutSimulated,
}

/// What a reviewer decides. approve: an affiliate is credited; reject: nobody ever is; reinstate: a rejection or a reversal is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewDecision {
    /// `approve`
    Approve,
    /// `reject`
    Reject,
    /// `reinstate`
    Reinstate,
}

/// How an attempt to deliver a webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookResult {
    /// `delivered`: answered with a 2xx.
    Delivered,
    /// `gone`: answered with 410.
    Gone,
    /// `failed`: anything else, or no answer.
    Failed,
}
