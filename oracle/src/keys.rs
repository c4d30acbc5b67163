//! The keys of records, as text.

use schemas::Timestamp;
use schemas::records::{Account, PayoutState};

/// The key of an order's records.
#[must_use]
pub fn order(merchant_id: &str, livemode: bool, external_order_id: &str) -> String {
    format!("{merchant_id}/{}/{external_order_id}", mode(livemode))
}

/// The key of a ledger's records.
#[must_use]
pub fn ledger(affiliate_id: &str, currency: &str, livemode: bool) -> String {
    format!("{affiliate_id}/{currency}/{}", mode(livemode))
}

/// The key of the records of an account of a ledger.
#[must_use]
pub fn account(ledger: &str, account: Account) -> String {
    let name = match account {
        Account::MerchantReceivable => "merchant_receivable",
        Account::AffiliatePending => "affiliate_pending",
        Account::AffiliatePayable => "affiliate_payable",
        Account::PayoutInTransit => "payout_in_transit",
        Account::AffiliatePaid => "affiliate_paid",
    };
    format!("{ledger}/{name}")
}

/// The id of a payout, by its ledger's affiliate and currency and its cut-off.
#[must_use]
pub fn payout(affiliate_id: &str, currency: &str, cut_off: Timestamp) -> String {
    format!("pay_{}_{currency}_{affiliate_id}", cut_off.0.div_euclid(1_000))
}

/// The id of what a payout books when it comes to a state.
#[must_use]
pub fn payout_entry(payout_id: &str, state: PayoutState) -> String {
    let word = match state {
        PayoutState::InTransit => "in_transit",
        PayoutState::Paid => "paid",
        PayoutState::Failed => "failed",
    };
    format!("{payout_id}_{word}")
}

fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}
