//! `ledger`: keeps the balances of affiliates' accounts, and makes payouts of what is payable.
//!
//! Every entry debits one account and credits another of the same ledger by the same amount, so the balances of a
//! ledger (one affiliate, currency and mode) sum to zero after every entry.
//!
//! At the weekly cut-off the whole of what is payable becomes a payout, unless it is less than the currency's minimum or
//! the affiliate is on hold. A payout leaves `affiliate_payable` when it is made, and comes back if it fails. What is
//! reversed after that is booked against `affiliate_payable` like anything else: it may go below zero, and the next
//! payout is so much smaller.

use std::sync::Arc;

use schemas::ids::account_key;
use schemas::records::{Account, ConversionSettled, LedgerEntry, PayoutChanged, PayoutReported};
use schemas::registry::Registry;
use schemas::state::{AccountState, PayoutsState};
use schemas::topics::{LEDGER_ENTRIES, PAYOUT_REPORTS};
use streams::{Context, DeadLetter, Failure, Input, Message, Processor, Topic};

use self::accounts::{Booking, LedgerKey, book};
use crate::common::{self, refuse, schema_version, undecodable};

mod accounts;
mod payouts;
mod settlements;

pub use accounts::balance_key;
pub use payouts::IN_TRANSIT_MAX;
pub use settlements::SETTLED_PER_STEP_MAX;

/// The state machine of the ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    registry: Arc<Registry>,
}

impl Ledger {
    /// The state machine under the terms of a registry.
    #[must_use]
    pub fn new(registry: &Arc<Registry>) -> Ledger {
        Ledger { registry: Arc::clone(registry) }
    }

    fn entry(&self, context: &mut Context<'_>, key: &[u8], entry: &LedgerEntry) -> Result<(), Failure> {
        check_entry(key, entry)?;
        let ledger = LedgerKey::parse(key).ok_or_else(|| refuse("wrong_key", "the entry's key is no ledger's"))?;
        let state = self.cut_off(context, &ledger)?;
        let booking = Booking {
            debit: entry.debit,
            credit: entry.credit,
            amount_minor: entry.amount_minor,
            entry_id: &entry.entry_id,
            at: entry.at,
        };
        book(context, &ledger, &booking)?;
        if ledger.livemode && [entry.debit, entry.credit].contains(&Account::AffiliatePayable) {
            settlements::expect(context, &ledger, &state, entry)?;
            self.await_cut_off(context, &ledger, state)?;
        }
        Ok(())
    }

    fn reported(&self, context: &mut Context<'_>, key: &[u8], report: &PayoutReported) -> Result<(), Failure> {
        let ledger = payouts::ledger_of(key, report)?;
        let state = self.cut_off(context, &ledger)?;
        let state = payouts::report(context, &ledger, state, report)?;
        self.await_cut_off(context, &ledger, state).map(drop)
    }
}

/// An order moves more than 0 between the accounts that are orders', in the ledger that its key names.
fn check_entry(key: &[u8], entry: &LedgerEntry) -> Result<(), Failure> {
    if entry.amount_minor <= 0 || entry.debit == entry.credit {
        return Err(refuse("out_of_range", "an entry moves more than 0 between two different accounts").into());
    }
    if [entry.debit, entry.credit].iter().any(|account| is_of_payouts(*account)) {
        return Err(refuse("out_of_range", "no order moves what is paid out").into());
    }
    if account_key(&entry.affiliate_id, entry.currency.code(), entry.livemode) != key {
        return Err(refuse("wrong_key", "the entry's key is not its ledger's").into());
    }
    Ok(())
}

/// Whether an account is moved by payouts alone.
fn is_of_payouts(account: Account) -> bool {
    match account {
        Account::PayoutInTransit | Account::AffiliatePaid => true,
        Account::MerchantReceivable | Account::AffiliatePending | Account::AffiliatePayable => false,
    }
}

impl Processor for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn inputs(&self) -> Vec<Topic> {
        [LEDGER_ENTRIES, PAYOUT_REPORTS].iter().map(common::topic).collect()
    }

    fn state_version(&self) -> u32 {
        schema_version::<AccountState>()
            ^ schema_version::<PayoutsState>()
            ^ schema_version::<PayoutChanged>()
            // The rows of orders are parts of what it tells.
            ^ schema_version::<ConversionSettled>()
    }

    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure> {
        if input.topic == PAYOUT_REPORTS.number {
            let report: PayoutReported = schemas::decode(input.value).map_err(|error| undecodable(&error))?;
            return self.reported(context, input.key, &report);
        }
        let entry: LedgerEntry = schemas::decode(input.value).map_err(|error| undecodable(&error))?;
        self.entry(context, input.key, &entry)
    }

    fn timer(&self, context: &mut Context<'_>, key: &[u8]) -> Result<(), Failure> {
        let bad_timer = || refuse("bad_timer", "a timer's key is neither a ledger's nor a settlement's");
        let (ledger, row) = LedgerKey::of_row(key).ok_or_else(bad_timer)?;
        match row {
            payouts::ROW => self.cut_off(context, &ledger).map(drop),
            _ => match row.strip_prefix(settlements::WORK) {
                Some(payout_id) => settlements::go_on(context, &ledger, payout_id),
                None => Err(bad_timer().into()),
            },
        }
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message {
        common::dead_letter(letter)
    }
}
