//! Payouts: how they change, what is reported of them, and the orders that they are of.

use serde::{Deserialize, Serialize};

use super::{Account, PayoutOutcome, PayoutState};
use crate::{Currency, Timestamp};

/// A payout after a change of its state, which is a double-entry booking too: amountMinor leaves the debit account and enters the credit account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayoutChanged {
    /// A pure function of affiliate, currency and cut-off.
    pub payout_id: String,
    /// 1 for the first payout of a ledger, then one more each.
    pub number: i64,
    /// Who is paid.
    pub affiliate_id: String,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Always true: the test namespace is never paid out.
    pub livemode: bool,
    /// The state now.
    pub state: PayoutState,
    /// Minor units of the currency, more than 0: the whole of affiliate_payable at the cut-off.
    pub amount_minor: i64,
    /// The cut-off that made it.
    pub cut_off: Timestamp,
    /// It is of the bookings of affiliate_payable up to this one, after those of the payout before.
    pub entries_to: i64,
    /// Payouts that failed since the one before, whose conversions are in this one.
    pub retries: Vec<String>,
    /// The account that the amount leaves with this change.
    pub debit: Account,
    /// How many entries have touched it, this one included.
    pub debit_entries: i64,
    /// The account that the amount enters with this change.
    pub credit: Account,
    /// How many entries have touched it, this one included.
    pub credit_entries: i64,
    /// What whoever reported the outcome calls it; absent while it is on its way, or if nothing was given.
    pub reference: Option<String>,
    /// When the change was made.
    pub at: Timestamp,
}

/// Somebody said what became of a payout. The first report counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayoutReported {
    /// payevt_ and a UUIDv7 in hexadecimal: sorts by time of receipt.
    pub event_id: String,
    /// Which payout.
    pub payout_id: String,
    /// What became of it.
    pub outcome: PayoutOutcome,
    /// A bank's reference or a reason, at most 200 characters.
    pub reference: Option<String>,
    /// Who reported it over the admin API; absent if it came otherwise.
    pub reported_by: Option<Administrator>,
    /// When it was reported.
    pub received_at: Timestamp,
}

/// Who used the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Administrator {
    /// The administrator's name, from the token.
    pub name: String,
    /// The administrator's role at the time.
    pub role: String,
    /// The id of the request.
    pub request_id: String,
}

/// What an order has brought to a payout that is paid, those that failed before it included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversionSettled {
    /// The order's merchant.
    pub merchant_id: String,
    /// The order's mode.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// Who was paid.
    pub affiliate_id: String,
    /// In which payout; an order is told of each once.
    pub payout_id: String,
    /// What the payout has of the order, in minor units of its currency, never 0: below 0 if more was taken back than earned.
    pub amount_minor: i64,
    /// When the payout became paid.
    pub paid_at: Timestamp,
}
