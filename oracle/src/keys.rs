//! The keys of records, as text.

use schemas::records::Account;

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
    };
    format!("{ledger}/{name}")
}

fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}
