//! Payouts that were made, and those of test orders that were simulated.

use std::collections::BTreeSet;

use oracle::Invariant;
use schemas::records::{
    Account, CauseType, ConversionSettled, ConversionState, ConversionTransitioned, DeadLetter, PayoutChanged,
    PayoutReported, PayoutState, TestClockAdvanced,
};
use schemas::topics::{CONVERSIONS, DEAD_LETTERS, PAYOUT_REPORTS, PAYOUTS, SETTLEMENTS, TRANSITIONS};
use schemas::{Timestamp, decode};

use super::Check;

/// Payouts, and what their orders are told of them.
pub(super) fn made(check: Check<'_>) {
    check(Invariant::Payouts, "a payout twice", |log| {
        let index = log.any::<PayoutChanged>(&PAYOUTS)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::Payouts, "more than was payable", |log| {
        let index = log.find(&PAYOUTS, |it: &PayoutChanged| it.state == PayoutState::InTransit)?;
        log.edit(index, |it: &mut PayoutChanged| it.amount_minor += 1);
        Some(())
    });
    check(Invariant::Payouts, "before the cut-off", |log| {
        let index = log.find(&PAYOUTS, |it: &PayoutChanged| it.state == PayoutState::InTransit)?;
        log.edit(index, |it: &mut PayoutChanged| it.at = Timestamp(it.cut_off.0 - 1));
        Some(())
    });
    check(Invariant::Payouts, "at no cut-off", |log| {
        let index = log.find(&PAYOUTS, |it: &PayoutChanged| it.state == PayoutState::InTransit)?;
        log.edit(index, |it: &mut PayoutChanged| {
            it.cut_off.0 -= 1_000;
            it.payout_id = format!("pay_{}_{}_{}", it.cut_off.seconds(), it.currency.code(), it.affiliate_id);
        });
        Some(())
    });
    check(Invariant::Payouts, "paid, and reported as failed", |log| {
        let index = log.find(&PAYOUTS, |it: &PayoutChanged| it.state == PayoutState::Failed)?;
        log.edit(index, |it: &mut PayoutChanged| (it.state, it.credit) = (PayoutState::Paid, Account::AffiliatePaid));
        Some(())
    });
    check(Invariant::Payouts, "nobody has said what became of it", |log| {
        let index = log.find(&PAYOUTS, |it: &PayoutChanged| it.state == PayoutState::Paid)?;
        let payout: PayoutChanged = decode(&log.shown[index].value).unwrap();
        let reports = log.shown.iter().filter(|it| it.topic == PAYOUT_REPORTS.number);
        let of_it =
            reports.filter(|it| decode(&it.value).is_ok_and(|it: PayoutReported| it.payout_id == payout.payout_id));
        let offsets: BTreeSet<u64> = of_it.map(|it| it.offset).collect();
        log.shown.retain(|it| !offsets.contains(&it.offset));
        Some(())
    });
    check(Invariant::Sent, "an outcome that nobody reported", |log| {
        let index = log.find(&PAYOUT_REPORTS, |it: &PayoutReported| it.reference.is_none())?;
        log.edit(index, |it: &mut PayoutReported| it.reference = Some("x".to_owned()));
        Some(())
    });
    check(Invariant::DeadLetter, "another outcome without a dead letter", |log| {
        let index = log.find(&DEAD_LETTERS, |it: &DeadLetter| it.topic == PAYOUT_REPORTS.name)?;
        log.drop(index);
        Some(())
    });
    check(Invariant::Settled, "an order is not told", |log| {
        let index = log.any::<ConversionSettled>(&SETTLEMENTS)?;
        log.drop(index);
        Some(())
    });
    check(Invariant::Settled, "an order is told of another payout", |log| {
        let index = log.any::<ConversionSettled>(&SETTLEMENTS)?;
        log.edit(index, |it: &mut ConversionSettled| it.payout_id.push('x'));
        Some(())
    });
    check(Invariant::Settled, "an order is told another amount", |log| {
        let index = log.any::<ConversionSettled>(&SETTLEMENTS)?;
        log.edit(index, |it: &mut ConversionSettled| it.amount_minor += 1);
        Some(())
    });
    check(Invariant::CutOff, "a payout that was not made", |log| {
        // What came of it is left out too, so that all else is as if it had not been due.
        let index = log.find(&PAYOUTS, |it: &PayoutChanged| it.state == PayoutState::InTransit)?;
        log.shown.truncate(index);
        Some(())
    });
}

fn is_simulated(it: &ConversionTransitioned) -> bool {
    it.timeline.iter().any(|entry| entry.cause.kind == CauseType::PayoutSimulated)
}

/// Payouts of test orders, of which there are none.
pub(super) fn simulated(check: Check<'_>) {
    check(Invariant::Early, "a payout that is simulated before a cut-off", |log| {
        // Its clock was never moved either.
        let key = log.shown[log.find(&TRANSITIONS, is_simulated)?].key.clone();
        let moves = |value: &[u8]| decode::<TestClockAdvanced>(value).is_ok();
        log.shown.retain(|it| it.topic != CONVERSIONS.number || it.key != key || !moves(&it.value));
        let index = log.find(&TRANSITIONS, is_simulated)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.at = it.received_at);
        Some(())
    });
    check(Invariant::Course, "a test order in a payout", |log| {
        let index = log.find(&TRANSITIONS, is_simulated)?;
        log.edit(index, |it: &mut ConversionTransitioned| {
            it.timeline.iter_mut().for_each(|it| it.cause.kind = CauseType::PaidOut)
        });
        Some(())
    });
    check(Invariant::End, "a payout that was not simulated", |log| {
        let index = log.find_end(|it| is_simulated(it) && it.state == ConversionState::Paid)?;
        log.drop(index);
        Some(())
    });
}
