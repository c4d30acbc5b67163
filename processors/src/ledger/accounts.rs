//! The accounts of a ledger.

use schemas::ids::{account_key, check_name};
use schemas::records::{Account, BalanceChanged};
use schemas::state::AccountState;
use schemas::topics::BALANCES;
use schemas::{Balance, Currency, Timestamp, encode};
use streams::{Context, StoreError};

use crate::common::{self, message};

/// Whose ledger: the key of its records, and the beginning of the keys of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LedgerKey<'a> {
    pub(super) affiliate_id: &'a str,
    pub(super) currency: Currency,
    pub(super) livemode: bool,
}

impl<'a> LedgerKey<'a> {
    /// Reads the key of a ledger's records.
    pub(super) fn parse(key: &'a [u8]) -> Option<LedgerKey<'a>> {
        let mut parts = std::str::from_utf8(key).ok()?.split('/');
        let affiliate_id = parts.next().filter(|affiliate_id| check_name(affiliate_id).is_ok())?;
        let currency = Currency::parse(parts.next()?).ok()?;
        let livemode = match parts.next()? {
            "live" => true,
            "test" => false,
            _ => return None,
        };
        parts.next().is_none().then_some(LedgerKey { affiliate_id, currency, livemode })
    }

    /// Reads the key of a row: its ledger, and what comes after it.
    pub(super) fn of_row(key: &'a [u8]) -> Option<(LedgerKey<'a>, &'a str)> {
        let text = std::str::from_utf8(key).ok()?;
        let (end, _) = text.match_indices('/').nth(2)?;
        Some((LedgerKey::parse(&key[..end])?, &text[end + 1..]))
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        account_key(self.affiliate_id, self.currency.code(), self.livemode)
    }

    /// The key of one of its rows.
    pub(super) fn row(self, name: &str) -> Vec<u8> {
        [&*self.to_bytes(), b"/", name.as_bytes()].concat()
    }
}

/// The row, and the topic key, of one account of a ledger.
#[must_use]
pub fn balance_key(ledger_key: &[u8], account: Account) -> Vec<u8> {
    let name = match account {
        Account::MerchantReceivable => "merchant_receivable",
        Account::AffiliatePending => "affiliate_pending",
        Account::AffiliatePayable => "affiliate_payable",
        Account::PayoutInTransit => "payout_in_transit",
        Account::AffiliatePaid => "affiliate_paid",
    };
    [ledger_key, b"/", name.as_bytes()].concat()
}

/// What moves, from where to where, and by which entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Booking<'a> {
    pub(super) debit: Account,
    pub(super) credit: Account,
    pub(super) amount_minor: i64,
    pub(super) entry_id: &'a str,
    pub(super) at: Timestamp,
}

/// Books, and tells both balances.
pub(super) fn book(context: &mut Context<'_>, ledger: &LedgerKey<'_>, booking: &Booking<'_>) -> Result<(), StoreError> {
    change(context, ledger, booking, booking.debit, -booking.amount_minor)?;
    change(context, ledger, booking, booking.credit, booking.amount_minor)
}

/// An account as it stands.
pub(super) fn account(
    context: &Context<'_>,
    ledger: &LedgerKey<'_>,
    account: Account,
) -> Result<AccountState, StoreError> {
    match context.get(&balance_key(&ledger.to_bytes(), account))? {
        Some(row) => common::row(&row),
        None => Ok(AccountState { balance_minor: Balance(0), entries: 0 }),
    }
}

fn change(
    context: &mut Context<'_>,
    ledger: &LedgerKey<'_>,
    booking: &Booking<'_>,
    of: Account,
    change: i64,
) -> Result<(), StoreError> {
    let key = balance_key(&ledger.to_bytes(), of);
    let mut state = account(context, ledger, of)?;
    let Balance(before) = state.balance_minor;
    state.balance_minor = Balance(before.checked_add(change.into()).expect("no number of entries overflows a balance"));
    state.entries += 1;
    context.put(&key, encode(&state));
    let changed = BalanceChanged {
        affiliate_id: ledger.affiliate_id.to_owned(),
        currency: ledger.currency,
        livemode: ledger.livemode,
        account: of,
        balance_minor: state.balance_minor,
        entries: state.entries,
        entry_id: booking.entry_id.to_owned(),
        at: booking.at,
    };
    context.emit(message(&BALANCES, key, &changed));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_rows_read_back() {
        let currency = Currency::parse("NPR").expect("a currency");
        let ledger = LedgerKey { affiliate_id: "a-1", currency, livemode: true };
        assert_eq!(LedgerKey::parse(&ledger.to_bytes()), Some(ledger));
        assert_eq!(LedgerKey::of_row(&ledger.row("settle/pay_1_NPR_a-1")), Some((ledger, "settle/pay_1_NPR_a-1")));
        for text in ["", "a/NPR", "a/NPX/live", "a/NPR/Live", "a b/NPR/live", "a/NPR/live/x", "a/NPR/live/"] {
            assert_eq!(LedgerKey::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(LedgerKey::of_row(b"a/NPR/live"), None);
    }
}
