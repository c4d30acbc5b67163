//! Which orders a payout is of, and telling them once it is paid, a bounded number a step.
//!
//! An order whose entry touches what is payable is expected to be in the next payout, under that payout's number. The
//! orders of one that failed stay under its number, and the payout that has it among its `retries` tells them.

use schemas::ids::OrderKey;
use schemas::records::{ConversionSettled, LedgerEntry};
use schemas::topics::SETTLEMENTS;
use streams::{Context, Failure, StoreError};

use super::accounts::LedgerKey;
use super::payouts::{payout, payouts};
use crate::common::message;

/// Most orders that one step tells; the others follow at once, in steps of their own.
pub const SETTLED_PER_STEP_MAX: usize = 1_000;

/// What is to be told: the row and the timer of one payout's orders, whose value is the payout that paid for them.
pub(super) const WORK: &str = "settle/";

fn orders_prefix(ledger: &LedgerKey<'_>, number: i64) -> Vec<u8> {
    ledger.row(&format!("orders/{number}/"))
}

/// The order of an entry is in the next payout.
pub(super) fn expect(context: &mut Context<'_>, ledger: &LedgerKey<'_>, entry: &LedgerEntry) -> Result<(), StoreError> {
    let next = payouts(context, ledger)?.payouts + 1;
    let (merchant_id, external_order_id) = (&entry.merchant_id, &entry.external_order_id);
    let order = OrderKey { merchant_id, livemode: entry.livemode, external_order_id };
    context.put(&[orders_prefix(ledger, next), order.to_bytes()].concat(), Vec::new());
    Ok(())
}

/// Begins to tell the orders of one payout that another, or itself, has paid for them.
pub(super) fn begin(context: &mut Context<'_>, ledger: &LedgerKey<'_>, payout_id: &str, paid_in: &str) {
    let work = ledger.row(&format!("{WORK}{payout_id}"));
    context.put(&work, paid_in.as_bytes().to_vec());
    context.set_timer(context.now_ms(), &work);
}

/// Tells some more of a payout's orders, and after the last of them begins with those of the payouts that it retries.
pub(super) fn go_on(context: &mut Context<'_>, ledger: &LedgerKey<'_>, payout_id: &str) -> Result<(), Failure> {
    let work = ledger.row(&format!("{WORK}{payout_id}"));
    let damaged = |message: String| StoreError { context: "reading a row", message };
    let Some(paid_in) = context.get(&work)? else { return Ok(()) };
    let paid_in = String::from_utf8(paid_in.to_vec()).map_err(|error| damaged(error.to_string()))?;
    let known = |found: Option<_>, id: &str| found.ok_or_else(|| damaged(format!("there is no payout {id}")));
    let told = known(payout(context, ledger, payout_id)?, payout_id)?;
    let paid = known(payout(context, ledger, &paid_in)?, &paid_in)?;
    let prefix = orders_prefix(ledger, told.number);
    let rows = context.scan(&prefix, SETTLED_PER_STEP_MAX)?;
    for (row, _) in &rows {
        let key = &row[prefix.len()..];
        let order = OrderKey::from_bytes(key).ok_or_else(|| damaged("a row is of no order".to_owned()))?;
        let settled = ConversionSettled {
            merchant_id: order.merchant_id.to_owned(),
            livemode: order.livemode,
            external_order_id: order.external_order_id.to_owned(),
            affiliate_id: ledger.affiliate_id.to_owned(),
            payout_id: paid_in.clone(),
            paid_at: paid.at,
        };
        context.emit(message(&SETTLEMENTS, key.to_vec(), &settled));
        context.delete(row);
    }
    if rows.len() == SETTLED_PER_STEP_MAX {
        context.set_timer(context.now_ms(), &work);
        return Ok(());
    }
    context.delete(&work);
    for retried in &told.retries {
        begin(context, ledger, retried, &paid_in);
    }
    Ok(())
}
