//! Payouts: made at a cut-off, then paid or failed.
//!
//! | state | event | then |
//! |---|---|---|
//! | – | cut-off without a payout, at least the minimum payable, live, not on hold | in transit: payable → in transit |
//! | in transit | reported paid | paid: in transit → paid, and its orders are told |
//! | in transit | reported failed | failed: in transit → payable, and its orders are in the next payout |
//! | paid, failed | the same reported again | nothing |
//! | paid, failed | the other reported | refused |

use std::time::Duration;

use schemas::ids::PayoutKey;
use schemas::records::{Account, PayoutChanged, PayoutOutcome, PayoutReported, PayoutState};
use schemas::registry::{PayoutPolicy, Registry};
use schemas::state::PayoutsState;
use schemas::topics::PAYOUTS;
use schemas::{Balance, Timestamp, encode};
use streams::{Context, Failure, Refusal, StoreError};

use super::accounts::{Booking, LedgerKey, account, book};
use super::{Ledger, settlements};
use crate::common::{self, message, now, refuse};

/// Most payouts of a ledger that are on their way at once; a cut-off makes none beyond them.
pub const IN_TRANSIT_MAX: i32 = 52;
/// How long a ledger waits where there is no cut-off, before it looks whether there is one.
const WITHOUT_CUT_OFF: Duration = Duration::from_hours(7 * 24);
/// Most characters of a report's reference.
const REFERENCE_CHARACTERS_MAX: usize = 200;

/// The row of what a ledger knows of its payouts, and the key of its cut-off's timer.
pub(super) const ROW: &str = "payouts";

/// The key of the row of one payout.
fn row_key(ledger: &LedgerKey<'_>, payout_id: &str) -> Vec<u8> {
    ledger.row(&format!("payout/{payout_id}"))
}

/// A payout as it stands.
pub(super) fn payout(
    context: &Context<'_>,
    ledger: &LedgerKey<'_>,
    payout_id: &str,
) -> Result<Option<PayoutChanged>, StoreError> {
    context.get(&row_key(ledger, payout_id))?.map(|row| common::row(&row)).transpose()
}

fn payouts(context: &Context<'_>, ledger: &LedgerKey<'_>) -> Result<PayoutsState, StoreError> {
    match context.get(&ledger.row(ROW))? {
        Some(row) => common::row(&row),
        None => Ok(PayoutsState { timer: None, payouts: 0, in_transit: 0, failed: Vec::new() }),
    }
}

/// What a cut-off finds.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    ledger: LedgerKey<'a>,
    payable: Balance,
    in_transit: i32,
}

/// How much becomes a payout at a cut-off, if anything does.
fn amount(found: Found<'_>, due: Timestamp, registry: &Registry) -> Option<i64> {
    let policy = registry.payouts().filter(|policy| is_cut_off(policy, due))?;
    // Whom the registry does not know it cannot say to be free of a hold.
    let affiliate = registry.affiliate(found.ledger.affiliate_id)?;
    let Balance(payable) = found.payable;
    let enough = payable >= i128::from(policy.minimums.of(found.ledger.currency));
    let free = found.ledger.livemode && !affiliate.on_hold && found.in_transit < IN_TRANSIT_MAX;
    // What is beyond an amount stays for the next payout.
    (enough && free).then(|| i64::try_from(payable).unwrap_or(i64::MAX))
}

/// A timer that was set under another policy makes no payout, but looks for the next cut-off.
fn is_cut_off(policy: &PayoutPolicy, due: Timestamp) -> bool {
    policy.cut_off.next_after(Timestamp(due.0.saturating_sub(1))) == Some(due)
}

impl Ledger {
    /// Makes the payout of a cut-off that has come, whether its timer or another record is first to find out, and hands on
    /// what the ledger knows of its payouts then.
    pub(super) fn cut_off(&self, context: &mut Context<'_>, ledger: &LedgerKey<'_>) -> Result<PayoutsState, Failure> {
        let at = now(context);
        let mut state = payouts(context, ledger)?;
        let Some(due) = state.timer.filter(|due| *due <= at) else { return Ok(state) };
        let row = ledger.row(ROW);
        context.clear_timer(due.0, &row);
        state.timer = None;
        let payable = account(context, ledger, Account::AffiliatePayable)?;
        let found = Found { ledger: *ledger, payable: payable.balance_minor, in_transit: state.in_transit };
        // A clock that was set back comes to a cut-off twice: what is payable by then waits for the next.
        let key = PayoutKey { affiliate_id: ledger.affiliate_id, currency: ledger.currency, cut_off: due };
        let is_new = payout(context, ledger, &key.payout_id())?.is_none();
        if let Some(amount_minor) = amount(found, due, &self.registry).filter(|_| is_new) {
            make(context, ledger, &mut state, Made { amount_minor, cut_off: due, entries_to: payable.entries, at })?;
        }
        context.put(&row, encode(&state));
        self.await_cut_off(context, ledger, state)
    }

    /// Sets the timer of the next cut-off, if anything is payable and none is set. `state` is that of the row.
    pub(super) fn await_cut_off(
        &self,
        context: &mut Context<'_>,
        ledger: &LedgerKey<'_>,
        mut state: PayoutsState,
    ) -> Result<PayoutsState, Failure> {
        let Balance(payable) = account(context, ledger, Account::AffiliatePayable)?.balance_minor;
        if state.timer.is_some() || payable <= 0 {
            return Ok(state);
        }
        let at = now(context);
        let next = self.registry.payouts().and_then(|policy| policy.cut_off.next_after(at));
        let due = next.unwrap_or_else(|| at + WITHOUT_CUT_OFF);
        let row = ledger.row(ROW);
        context.set_timer(due.0, &row);
        state.timer = Some(due);
        context.put(&row, encode(&state));
        Ok(state)
    }
}

/// A payout that is to be made.
struct Made {
    amount_minor: i64,
    cut_off: Timestamp,
    entries_to: i64,
    at: Timestamp,
}

fn make(
    context: &mut Context<'_>,
    ledger: &LedgerKey<'_>,
    state: &mut PayoutsState,
    made: Made,
) -> Result<(), StoreError> {
    let Made { amount_minor, cut_off, entries_to, at } = made;
    let key = PayoutKey { affiliate_id: ledger.affiliate_id, currency: ledger.currency, cut_off };
    state.payouts += 1;
    state.in_transit += 1;
    let payout = PayoutChanged {
        payout_id: key.payout_id(),
        number: state.payouts,
        affiliate_id: ledger.affiliate_id.to_owned(),
        currency: ledger.currency,
        livemode: ledger.livemode,
        state: PayoutState::InTransit,
        amount_minor,
        cut_off,
        entries_to,
        retries: std::mem::take(&mut state.failed),
        debit: Account::AffiliatePayable,
        debit_entries: 0,
        credit: Account::PayoutInTransit,
        credit_entries: 0,
        reference: None,
        at,
    };
    enter(context, ledger, payout)
}

/// Books a payout's change, keeps it and tells it.
fn enter(context: &mut Context<'_>, ledger: &LedgerKey<'_>, payout: PayoutChanged) -> Result<(), StoreError> {
    let PayoutChanged { debit, credit, amount_minor, at, .. } = payout;
    let word = match payout.state {
        PayoutState::InTransit => "in_transit",
        PayoutState::Paid => "paid",
        PayoutState::Failed => "failed",
    };
    let entry_id = format!("{}_{word}", payout.payout_id);
    let debit_entries = account(context, ledger, debit)?.entries + 1;
    let credit_entries = account(context, ledger, credit)?.entries + 1;
    let payout = PayoutChanged { debit_entries, credit_entries, ..payout };
    context.put(&row_key(ledger, &payout.payout_id), encode(&payout));
    // Before the balances that it leaves, so that who reads the log in its order knows what they are of.
    context.emit(message(&PAYOUTS, ledger.to_bytes(), &payout));
    book(context, ledger, &Booking { debit, credit, amount_minor, entry_id: &entry_id, at })
}

/// The ledger of the payout that a report is of, which its key must be.
pub(super) fn ledger_of<'a>(key: &'a [u8], report: &PayoutReported) -> Result<LedgerKey<'a>, Refusal> {
    let wrong_key = || refuse("wrong_key", "the report's key is not its payout's ledger");
    let ledger = LedgerKey::parse(key).ok_or_else(wrong_key)?;
    match PayoutKey::parse(&report.payout_id) {
        Some(payout) if payout.ledger_key() == key => Ok(ledger),
        Some(_) => Err(wrong_key()),
        None => Err(refuse("unknown_payout", format!("{:?} is no payout's id", report.payout_id))),
    }
}

/// Takes a report: the first of a payout counts. `known` is what the ledger knows of its payouts, and becomes what it knows
/// then.
pub(super) fn report(
    context: &mut Context<'_>,
    ledger: &LedgerKey<'_>,
    mut known: PayoutsState,
    report: &PayoutReported,
) -> Result<PayoutsState, Failure> {
    let characters = report.reference.as_ref().map_or(0, |reference| reference.chars().count());
    if characters > REFERENCE_CHARACTERS_MAX {
        let message = format!("reference must have at most {REFERENCE_CHARACTERS_MAX} characters, not {characters}");
        return Err(refuse("out_of_range", message).into());
    }
    let Some(before) = payout(context, ledger, &report.payout_id)? else {
        return Err(refuse("unknown_payout", format!("there is no payout {}", report.payout_id)).into());
    };
    let (state, credit) = match report.outcome {
        PayoutOutcome::Paid => (PayoutState::Paid, Account::AffiliatePaid),
        PayoutOutcome::Failed => (PayoutState::Failed, Account::AffiliatePayable),
    };
    match before.state {
        PayoutState::InTransit => {}
        settled if settled == state => return Ok(known),
        PayoutState::Paid => return Err(settled(&report.payout_id, "paid").into()),
        PayoutState::Failed => return Err(settled(&report.payout_id, "failed").into()),
    }
    known.in_transit -= 1;
    if state == PayoutState::Failed {
        known.failed.push(report.payout_id.clone());
    }
    context.put(&ledger.row(ROW), encode(&known));
    let (debit, reference, at) = (Account::PayoutInTransit, report.reference.clone(), now(context));
    enter(context, ledger, PayoutChanged { state, debit, credit, reference, at, ..before })?;
    if state == PayoutState::Paid {
        settlements::begin(context, ledger, &report.payout_id, &report.payout_id);
    }
    Ok(known)
}

fn settled(payout_id: &str, word: &str) -> Refusal {
    refuse("payout_settled", format!("the payout {payout_id} is {word} already, by an earlier report"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Currency;

    const REGISTRY: &str = r#"
[policies]
payout_cut_off = "friday 18:00 Asia/Kathmandu"
payout_minimum = "NPR 1000.00"

[[affiliates]]
id = "free"
name = "Free"

[[affiliates]]
id = "held"
name = "Held"
on_hold = true
"#;
    /// 2026-06-19T18:00:00+05:45, a Friday.
    const CUT_OFF: &str = "2026-06-19T12:15:00Z";

    #[track_caller]
    fn check(ledger: (&str, &str, bool), payable: i128, in_transit: i32, due: &str, expected: Option<i64>) {
        let registry = Registry::parse(REGISTRY).unwrap_or_else(|faults| panic!("{faults}"));
        let (affiliate_id, currency, livemode) = ledger;
        let currency = Currency::parse(currency).expect("a currency");
        let ledger = LedgerKey { affiliate_id, currency, livemode };
        let found = Found { ledger, payable: Balance(payable), in_transit };
        let due = Timestamp::parse(due).expect("an instant");
        assert_eq!(amount(found, due, &registry), expected, "{found:?} at {due}");
    }

    #[test]
    fn what_a_cut_off_makes() {
        const FREE: (&str, &str, bool) = ("free", "NPR", true);
        check(FREE, 100_000, 0, CUT_OFF, Some(100_000));
        check(FREE, 99_999, 0, CUT_OFF, None);
        check(FREE, 0, 0, CUT_OFF, None);
        check(FREE, -100_000, 0, CUT_OFF, None);
        check(FREE, 100_000, IN_TRANSIT_MAX - 1, CUT_OFF, Some(100_000));
        check(FREE, 100_000, IN_TRANSIT_MAX, CUT_OFF, None);
        check(FREE, i128::from(i64::MAX) + 1, 0, CUT_OFF, Some(i64::MAX));
        // A currency without a minimum.
        check(("free", "USD", true), 1, 0, CUT_OFF, Some(1));
        check(("free", "USD", true), 0, 0, CUT_OFF, None);
        // The test namespace, an affiliate on hold, and one that nobody knows.
        check(("free", "NPR", false), 100_000, 0, CUT_OFF, None);
        check(("held", "NPR", true), 100_000, 0, CUT_OFF, None);
        check(("gone", "NPR", true), 100_000, 0, CUT_OFF, None);
        // What is no cut-off of the policy.
        check(FREE, 100_000, 0, "2026-06-19T12:14:59.999Z", None);
        check(FREE, 100_000, 0, "2026-06-19T12:15:00.001Z", None);
        check(FREE, 100_000, 0, "2026-06-20T12:15:00Z", None);
    }
}
