//! Why a conversion is what it is, as its derivation came to it.

use serde::{Deserialize, Serialize};

use super::{ReviewDecision, RuleLevel};
use crate::Timestamp;

/// Why a conversion is what it is as of a revision: what its derivation came by, and the facts that it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Why the conversion is in its state.
    pub state_reason: StateReason,
    /// What was asked of the click, in order, up to the first that it failed.
    pub click_checks: Vec<ClickCheck>,
    /// The merchant's own click that the order named, once it is known.
    pub click: Option<ClickMeasured>,
    /// What the coupon was found to be; absent without one.
    pub coupon: Option<CouponFinding>,
    /// The reviewers' decisions that stand, in their order: an approval or a rejection, and the last reinstatement.
    pub decisions: Vec<DecisionExplained>,
    /// The commission rules of the order, in the order in which they were considered; none before it was attributed.
    pub rules: Vec<RuleConsidered>,
    /// Rules that were considered and are not told: those after the first 32, except the one that won.
    pub rules_left_out: i32,
    /// How the commission was worked out; absent without one.
    pub arithmetic: Option<Arithmetic>,
    /// The hold; absent while none has begun.
    pub hold: Option<HoldExplained>,
    /// The facts, and where each is in the log: the report, the status updates as they count, the click, and the decisions that stand.
    pub facts: Vec<FactPlace>,
}

/// Why a conversion is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateReason {
    /// `click_awaited`
    ClickAwaited,
    /// `not_attributed`
    NotAttributed,
    /// `no_rule`
    NoRule,
    /// `hold_not_begun`
    HoldNotBegun,
    /// `on_hold`
    OnHold,
    /// `hold_ended`
    HoldEnded,
    /// `approved`
    Approved,
    /// `paid_out`
    PaidOut,
    /// `rejected`
    Rejected,
    /// `reversed`
    Reversed,
    /// `payout_simulated`
    PayoutSimulated,
}

/// One question that a click has to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickCheck {
    /// The question.
    pub question: ClickQuestion,
    /// Whether it was passed.
    pub passed: bool,
}

/// named: the order names a click; known: it is one of this merchant's that was recorded; before_order: it was not made after the order; within_lookback: it is not too old; not_self_referral: the shop is not the affiliate's own; after_minimum: the order did not follow it too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClickQuestion {
    /// `named`
    Named,
    /// `known`
    Known,
    /// `before_order`
    BeforeOrder,
    /// `within_lookback`
    WithinLookback,
    /// `not_self_referral`
    NotSelfReferral,
    /// `after_minimum`
    AfterMinimum,
}

/// A click, and what it was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClickMeasured {
    /// When it was made.
    pub clicked_at: Timestamp,
    /// The lookback window in milliseconds.
    pub lookback_ms: i64,
    /// The least time from the click to the order in milliseconds.
    pub min_click_to_order_ms: i64,
    /// Whether the shop is its affiliate's own.
    pub self_referral: bool,
}

/// What a coupon was found to be: holds: an affiliate's when the order was placed; outside_window: known, but not in effect then; unknown: none of the merchant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponFinding {
    /// `holds`
    Holds,
    /// `outside_window`
    OutsideWindow,
    /// `unknown`
    Unknown,
}

/// A reviewer's decision that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionExplained {
    /// What.
    pub decision: ReviewDecision,
    /// Its event.
    pub event_id: String,
    /// The role of who decided, at the time: administrator or reviewer.
    pub role: String,
    /// When the edge received it.
    pub decided_at: Timestamp,
}

/// A commission rule that an order could be paid by, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleConsidered {
    /// Its level.
    pub level: RuleLevel,
    /// Its id.
    pub rule_id: String,
    /// Which content it had then: 16 hexadecimal digits, others whenever it says something else.
    pub version: String,
    /// What came of it.
    pub outcome: RuleOutcome,
}

/// won: it sets the commission; not_yet_effective, no_longer_effective: at the time of the order; other_currency: its amounts are in another than the order; outranked: it would do, but one before it won.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    /// `won`
    Won,
    /// `not_yet_effective`
    NotYetEffective,
    /// `no_longer_effective`
    NoLongerEffective,
    /// `other_currency`
    OtherCurrency,
    /// `outranked`
    Outranked,
}

/// How a commission was worked out: numerator / denominator minor units, rounded once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arithmetic {
    /// What of the rule pays.
    pub paid_by: PaidBy,
    /// The rule's percentage; absent for a fixed amount.
    pub rate: Option<String>,
    /// What the rule pays for the whole order, in minor units, if that is an amount and not a percentage.
    pub flat_minor: Option<i64>,
    /// What is paid for: what has not been refunded of the order, in thousandths of the currency's unit.
    pub remaining_thousandths: i64,
    /// The numerator, a whole number.
    pub numerator: String,
    /// The denominator, a whole number.
    pub denominator: String,
    /// How the fraction was rounded.
    pub rounding: Rounding,
    /// The commission in minor units.
    pub amount_minor: i64,
}

/// What of a rule pays: its percentage, its fixed amount, or the minimum or the cap that the percentage is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidBy {
    /// `percentage`
    Percentage,
    /// `fixed`
    Fixed,
    /// `minimum`
    Minimum,
    /// `cap`
    Cap,
}

/// How a fraction became a whole number: exact: it was one; down, up: to the nearer one; half_to_even: both were as near, so to the even one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// `exact`
    Exact,
    /// `down`
    Down,
    /// `up`
    Up,
    /// `half_to_even`
    HalfToEven,
}

/// How long a commission is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldExplained {
    /// Which window it is.
    pub window: HoldWindow,
    /// When it began.
    pub since: Timestamp,
    /// How long it is, in milliseconds.
    pub window_ms: i64,
}

/// settlement: from the first confirmation or payment; return: from the first delivery, in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldWindow {
    /// `settlement`
    Settlement,
    /// `return`
    Return,
}

/// Where a fact is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactPlace {
    /// What it is a fact of.
    pub fact: FactKind,
    /// Its event; absent for a click.
    pub event_id: Option<String>,
    /// The topic that brought it.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// What a fact says something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// `report`
    Report,
    /// `order_status`
    OrderStatus,
    /// `click`
    Click,
    /// `review`
    Review,
    /// `test_clock`
    TestClock,
}

impl HoldExplained {
    /// When it ends.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        Timestamp(self.since.0.saturating_add(self.window_ms))
    }
}
