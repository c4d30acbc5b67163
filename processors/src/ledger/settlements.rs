//! Which orders a payout is of, and telling them once it is paid, a bounded number a step.
//!
//! What an order's entries add to what is payable is in the next payout, and summed up under that payout's number: an
//! order that only passes through, since its hold begins again before the cut-off, is in none. The orders of a payout that
//! failed stay under its number. The payout that has it among its `retries` tells them, each once, of the sum of both.

use schemas::ids::OrderKey;
use schemas::records::{Account, ConversionSettled, LedgerEntry, PayoutChanged};
use schemas::state::PayoutsState;
use schemas::topics::SETTLEMENTS;
use streams::{Context, Failure, StoreError};

use super::accounts::LedgerKey;
use super::payouts::payout;
use crate::common::{damaged, message};

/// Most rows of orders that one step reads to tell them; the others follow at once, in steps of their own.
pub const SETTLED_PER_STEP_MAX: usize = 1_000;

/// What is to be told: the row and the timer of one payout's orders, whose value is the payout that paid for them.
pub(super) const WORK: &str = "settle/";

fn orders_prefix(ledger: &LedgerKey<'_>, number: i64) -> Vec<u8> {
    ledger.row(&format!("orders/{number}/"))
}

/// What an order has in the payout of this row, in minor units; 0 without a row.
fn part(context: &Context<'_>, row: &[u8]) -> Result<i128, StoreError> {
    let Some(value) = context.get(row)? else { return Ok(0) };
    let bytes = value.as_ref().try_into().map_err(|_| damaged("what an order has in a payout must be 16 bytes"))?;
    Ok(i128::from_be_bytes(bytes))
}

/// The order of an entry has so much more, or less, in the next payout.
pub(super) fn expect(
    context: &mut Context<'_>,
    ledger: &LedgerKey<'_>,
    state: &PayoutsState,
    entry: &LedgerEntry,
) -> Result<(), StoreError> {
    let next = state.payouts + 1;
    let (merchant_id, external_order_id) = (&entry.merchant_id, &entry.external_order_id);
    let order = OrderKey { merchant_id, livemode: entry.livemode, external_order_id };
    let row = [orders_prefix(ledger, next), order.to_bytes()].concat();
    let amount = i128::from(entry.amount_minor);
    let change = if entry.credit == Account::AffiliatePayable { amount } else { -amount };
    match part(context, &row)?.saturating_add(change) {
        0 => context.delete(&row),
        sum => context.put(&row, sum.to_be_bytes().to_vec()),
    }
    Ok(())
}

/// Begins to tell the orders of one payout that another, or itself, has paid for them.
pub(super) fn begin(context: &mut Context<'_>, ledger: &LedgerKey<'_>, payout_id: &str, paid_in: &str) {
    let work = ledger.row(&format!("{WORK}{payout_id}"));
    context.put(&work, paid_in.as_bytes().to_vec());
    context.set_timer(context.now_ms(), &work);
}

fn known(context: &Context<'_>, ledger: &LedgerKey<'_>, payout_id: &str) -> Result<PayoutChanged, StoreError> {
    payout(context, ledger, payout_id)?.ok_or_else(|| damaged(format!("there is no payout {payout_id}")))
}

/// The numbers of a payout and of all that it has retried.
fn numbers(context: &Context<'_>, ledger: &LedgerKey<'_>, paid: &PayoutChanged) -> Result<Vec<i64>, StoreError> {
    let (mut numbers, mut open) = (vec![paid.number], paid.retries.clone());
    while let Some(payout_id) = open.pop() {
        let retried = known(context, ledger, &payout_id)?;
        numbers.push(retried.number);
        open.extend(retried.retries);
    }
    Ok(numbers)
}

/// Tells some more of a payout's orders, and after the last of them begins with those of the payouts that it retries.
pub(super) fn go_on(context: &mut Context<'_>, ledger: &LedgerKey<'_>, payout_id: &str) -> Result<(), Failure> {
    let work = ledger.row(&format!("{WORK}{payout_id}"));
    let Some(paid_in) = context.get(&work)? else { return Ok(()) };
    let paid_in = String::from_utf8(paid_in.to_vec()).map_err(|error| damaged(error.to_string()))?;
    let told = known(context, ledger, payout_id)?;
    let paid = known(context, ledger, &paid_in)?;
    let numbers = numbers(context, ledger, &paid)?;
    let orders_max = (SETTLED_PER_STEP_MAX / numbers.len()).max(1);
    let prefix = orders_prefix(ledger, told.number);
    let rows = context.scan(&prefix, orders_max)?;
    for (row, _) in &rows {
        tell(context, ledger, &row[prefix.len()..], &numbers, &paid)?;
    }
    if rows.len() == orders_max {
        context.set_timer(context.now_ms(), &work);
        return Ok(());
    }
    context.delete(&work);
    for retried in &told.retries {
        begin(context, ledger, retried, &paid_in);
    }
    Ok(())
}

/// Tells an order, once, what the payouts of these numbers have of it, unless that is nothing.
fn tell(
    context: &mut Context<'_>,
    ledger: &LedgerKey<'_>,
    key: &[u8],
    numbers: &[i64],
    paid: &PayoutChanged,
) -> Result<(), StoreError> {
    let order = OrderKey::from_bytes(key).ok_or_else(|| damaged("a row is of no order"))?;
    let mut sum: i128 = 0;
    for number in numbers {
        let row = [&*orders_prefix(ledger, *number), key].concat();
        let part = part(context, &row)?;
        if part != 0 {
            sum = sum.saturating_add(part);
            context.delete(&row);
        }
    }
    if sum == 0 {
        return Ok(());
    }
    let settled = ConversionSettled {
        merchant_id: order.merchant_id.to_owned(),
        livemode: order.livemode,
        external_order_id: order.external_order_id.to_owned(),
        affiliate_id: ledger.affiliate_id.to_owned(),
        payout_id: paid.payout_id.clone(),
        amount_minor: i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }),
        paid_at: paid.at,
    };
    context.emit(message(&SETTLEMENTS, key.to_vec(), &settled));
    Ok(())
}
