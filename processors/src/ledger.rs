//! `ledger`: keeps the balances of affiliates' accounts.
//!
//! Every entry debits one account and credits another of the same ledger by the same amount, so the balances of a
//! ledger (one affiliate, currency and mode) sum to zero after every entry.

use schemas::ids::account_key;
use schemas::records::{Account, BalanceChanged, LedgerEntry};
use schemas::state::AccountState;
use schemas::topics::{BALANCES, LEDGER_ENTRIES};
use schemas::{Balance, encode};
use streams::{Context, DeadLetter, Failure, Input, Message, Processor, Topic};

use crate::common::{self, message, refuse, schema_version, undecodable};

/// The state machine of the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger;

/// The row, and the topic key, of one account of a ledger.
#[must_use]
pub fn balance_key(ledger_key: &[u8], account: Account) -> Vec<u8> {
    let name = match account {
        Account::MerchantReceivable => "merchant_receivable",
        Account::AffiliatePending => "affiliate_pending",
        Account::AffiliatePayable => "affiliate_payable",
    };
    [ledger_key, b"/", name.as_bytes()].concat()
}

fn book(
    context: &mut Context<'_>,
    ledger_key: &[u8],
    entry: &LedgerEntry,
    account: Account,
    change: i64,
) -> Result<(), Failure> {
    let key = balance_key(ledger_key, account);
    let mut state = match context.get(&key)? {
        Some(row) => common::row(&row)?,
        None => AccountState { balance_minor: Balance(0), entries: 0 },
    };
    let Balance(before) = state.balance_minor;
    state.balance_minor = Balance(before.checked_add(change.into()).expect("no number of entries overflows a balance"));
    state.entries += 1;
    context.put(&key, encode(&state));
    let changed = BalanceChanged {
        affiliate_id: entry.affiliate_id.clone(),
        currency: entry.currency,
        livemode: entry.livemode,
        account,
        balance_minor: state.balance_minor,
        entries: state.entries,
        entry_id: entry.entry_id.clone(),
        at: entry.at,
    };
    context.emit(message(&BALANCES, key, &changed));
    Ok(())
}

impl Processor for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn inputs(&self) -> Vec<Topic> {
        vec![common::topic(&LEDGER_ENTRIES)]
    }

    fn state_version(&self) -> u32 {
        schema_version::<AccountState>()
    }

    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure> {
        let entry: LedgerEntry = schemas::decode(input.value).map_err(|error| undecodable(&error))?;
        if entry.amount_minor <= 0 || entry.debit == entry.credit {
            return Err(refuse("out_of_range", "an entry moves more than 0 between two different accounts").into());
        }
        if account_key(&entry.affiliate_id, entry.currency.code(), entry.livemode) != input.key {
            return Err(refuse("wrong_key", "the entry's key is not its ledger's").into());
        }
        book(context, input.key, &entry, entry.debit, -entry.amount_minor)?;
        book(context, input.key, &entry, entry.credit, entry.amount_minor)
    }

    fn timer(&self, _: &mut Context<'_>, _: &[u8]) -> Result<(), Failure> {
        Err(refuse("bad_timer", "the ledger sets no timers").into())
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message {
        common::dead_letter(letter)
    }
}
