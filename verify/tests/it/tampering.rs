//! Whatever is changed, lost or doubled is told, and of the right order.

use std::collections::BTreeSet;

use schemas::records::{
    Account, BalanceChanged, CauseType, ClickLookupRequested, ClickMatched, Commission, CommissionChanged, Confidence,
    ConfidenceReason, ConversionReported, ConversionSettled, ConversionState, ConversionTransitioned, DeadLetter,
    FactKind, FactPlace, LedgerEntry, OrderStatusReported, PayoutChanged, PayoutOutcome, PayoutReported, PayoutState,
    RuleOutcome,
};
use schemas::topics::{
    BALANCES, CLICK_LOOKUPS, CLICK_VERDICTS, COMMISSIONS, CONVERSIONS, DEAD_LETTERS, LEDGER_ENTRIES, PAYOUT_REPORTS,
    PAYOUTS, SETTLEMENTS, TRANSITIONS, TopicSpec,
};
use schemas::{AvroRecord, Timestamp, decode, encode};

use crate::merchants::Shown;
use crate::runs::{records, verified};

/// The records of a right run, to be made wrong.
struct Log(Vec<Shown>);

/// Makes a right log wrong; nothing if it has not what it takes.
type Tamper = fn(&mut Log) -> Option<()>;

impl Log {
    fn find<R: AvroRecord>(&self, spec: &TopicSpec, fits: impl Fn(&R) -> bool) -> Option<usize> {
        let is = |shown: &Shown| shown.topic == spec.number && decode::<R>(&shown.value).is_ok_and(|it| fits(&it));
        self.0.iter().rposition(is)
    }

    /// Where the first report is: what comes later may be a re-send.
    fn first_report(&self) -> Option<usize> {
        self.0.iter().position(|it| decode::<ConversionReported>(&it.value).is_ok())
    }

    /// Where the last revision of a conversion is that `fits`.
    fn find_end(&self, fits: impl Fn(&ConversionTransitioned) -> bool) -> Option<usize> {
        let mut seen = BTreeSet::new();
        let ends = self.0.iter().enumerate().rev().filter(|(_, it)| it.topic == TRANSITIONS.number);
        let mut ends = ends.filter(|(_, it)| seen.insert(&it.key));
        ends.find(|(_, it)| decode(&it.value).is_ok_and(|it| fits(&it))).map(|(index, _)| index)
    }

    /// Edits the last revision of a conversion.
    fn edit_end(
        &mut self,
        fits: fn(&ConversionTransitioned) -> bool,
        change: fn(&mut ConversionTransitioned),
    ) -> Option<()> {
        let index = self.find_end(fits)?;
        let mut record = decode(&self.0[index].value).unwrap();
        change(&mut record);
        self.0[index].value = encode(&record);
        Some(())
    }

    fn edit<R: AvroRecord>(&mut self, spec: &TopicSpec, fits: fn(&R) -> bool, change: fn(&mut R)) -> Option<()> {
        let index = self.find(spec, fits)?;
        let mut record = decode(&self.0[index].value).unwrap();
        change(&mut record);
        self.0[index].value = encode(&record);
        Some(())
    }

    fn drop<R: AvroRecord>(&mut self, spec: &TopicSpec, fits: fn(&R) -> bool) -> Option<()> {
        let index = self.find(spec, fits)?;
        self.0.remove(index);
        Some(())
    }

    /// Shows a record once more, after all others.
    fn repeat<R: AvroRecord>(&mut self, spec: &TopicSpec, fits: fn(&R) -> bool) -> Option<()> {
        let index = self.find(spec, fits)?;
        let offset = self.0.iter().map(|it| it.offset).max()? + 1;
        self.0.push(Shown { offset, ..self.0[index].clone() });
        Some(())
    }
}

fn any<R>(_: &R) -> bool {
    true
}

fn high(it: &ConversionTransitioned) -> bool {
    it.confidence == Some(Confidence::High) && it.commission.is_some()
}

fn elapsed(it: &ConversionTransitioned) -> bool {
    it.timeline.iter().any(|entry| entry.cause.kind == CauseType::HoldElapsed)
}

/// The event of a partial refund that a revision tells of.
fn tells_of_refund(it: &ConversionTransitioned) -> Option<String> {
    let mut causes = it.timeline.iter().map(|entry| &entry.cause);
    causes.find(|cause| cause.refunded_thousandths.is_some())?.event_id.clone()
}

fn check(field: &str, what: &str, tamper: Tamper) {
    // The first run that has what it takes.
    let (log, now_ms) = (1..=100)
        .find_map(|seed| {
            let (shown, now_ms) = records(seed);
            let mut log = Log(shown);
            tamper(&mut log).map(|()| (log, now_ms))
        })
        .unwrap_or_else(|| panic!("{what}: no run has what it takes"));
    let report = verified(&log.0, now_ms, u64::MAX, false);
    let told: Vec<String> = report.differences.iter().map(|it| format!("{it:?}")).collect();
    assert!(
        report.by_field.contains_key(field),
        "{what}: a difference in {field} must be told, and these are:\n{}",
        told.join("\n")
    );
    assert!(report.differences.iter().all(|it| !it.places.is_empty()), "{what}: each says where: {told:?}");
}

#[test]
fn facts() {
    check("report", "a report is another", |log| {
        let first = log.first_report()?;
        let mut report: ConversionReported = decode(&log.0[first].value).unwrap();
        report.amount_minor += 1;
        log.0[first].value = encode(&report);
        Some(())
    });
    check("timeline", "a status is lost", |log| {
        // One that a timeline tells of: of an order that nobody reported, or of two copies, nothing is told.
        let index = log.find(&TRANSITIONS, |it: &ConversionTransitioned| tells_of_refund(it).is_some())?;
        let told: ConversionTransitioned = decode(&log.0[index].value).unwrap();
        let event = tells_of_refund(&told)?;
        let is_it = |it: &Shown| decode(&it.value).is_ok_and(|it: OrderStatusReported| it.event_id == event);
        log.0.retain(|it| !is_it(it));
        Some(())
    });
    check("eventId", "another event of this id", |log| {
        let first = log.first_report()?;
        let offset = log.0.iter().map(|it| it.offset).max()? + 1;
        let mut report: ConversionReported = decode(&log.0[first].value).unwrap();
        report.received_at.0 += 1;
        log.0.push(Shown { offset, value: encode(&report), ..log.0[first].clone() });
        Some(())
    });
    check("deadLetter", "a dead letter is lost", |log| log.drop(&DEAD_LETTERS, any::<DeadLetter>));
    check("deadLetter", "a dead letter is there twice", |log| log.repeat(&DEAD_LETTERS, any::<DeadLetter>));
    check("deadLetter", "a dead letter of a fact", |log| {
        log.edit(&DEAD_LETTERS, any, |it: &mut DeadLetter| it.offset = 0)
    });
}

#[test]
fn conversions() {
    check("conversion", "no conversion", |log| {
        let index = log.find(&TRANSITIONS, any::<ConversionTransitioned>)?;
        let key = log.0[index].key.clone();
        log.0.retain(|it| it.topic == CONVERSIONS.number || it.key != key);
        Some(())
    });
    check("revision", "a change is there twice", |log| log.repeat(&TRANSITIONS, any::<ConversionTransitioned>));
    check("revision", "the first change is lost", |log| {
        let second = log.find(&TRANSITIONS, |it: &ConversionTransitioned| it.revision == 2)?;
        let key = log.0[second].key.clone();
        log.0.remove(log.0.iter().position(|it| it.topic == TRANSITIONS.number && it.key == key)?);
        Some(())
    });
    check("state", "the last change is lost", |log| {
        let index = log.find_end(elapsed)?;
        log.0.remove(index);
        Some(())
    });
    check("timeline", "an entry is lost", |log| {
        let drop_first = |it: &mut ConversionTransitioned| drop(it.timeline.remove(0));
        log.edit(&TRANSITIONS, |it: &ConversionTransitioned| it.timeline.len() > 1, drop_first)
    });
    check("state", "a hold out of nothing", |log| {
        let hold = |it: &mut ConversionTransitioned| it.timeline[0].state = ConversionState::Hold;
        log.edit(&TRANSITIONS, |it: &ConversionTransitioned| it.revision == 1, hold)
    });
    check("at", "payable before the hold ends", |log| {
        let early = |it: &mut ConversionTransitioned| {
            it.at = it.hold_until.map_or(it.at, |until| Timestamp(until.0 - 1));
        };
        log.edit(&TRANSITIONS, elapsed, early)
    });
    check("terms", "another rate", |log| {
        let dearer = |it: &mut ConversionTransitioned| {
            it.commission = it.commission.take().map(|it| Commission { rate: Some("99".to_owned()), ..it });
        };
        log.edit(&TRANSITIONS, |it: &ConversionTransitioned| high(it) && it.revision > 2, dearer)
    });
    check("commission", "another amount from the beginning", |log| {
        let index = log.find(&TRANSITIONS, high)?;
        let key = log.0[index].key.clone();
        for shown in log.0.iter_mut().filter(|it| it.topic == TRANSITIONS.number && it.key == key) {
            let mut it: ConversionTransitioned = decode(&shown.value).unwrap();
            it.commission.iter_mut().for_each(|commission| commission.amount_minor += 1);
            shown.value = encode(&it);
        }
        Some(())
    });
    check("holdUntil", "another hold", |log| {
        let longer = |it: &mut ConversionTransitioned| it.hold_until = it.hold_until.map(|it| Timestamp(it.0 + 1));
        log.edit_end(|it| it.hold_until.is_some() && elapsed(it), longer)
    });
    check("refundedThousandths", "a refund that is not there", |log| {
        let refund = |it: &mut ConversionTransitioned| it.refunded_thousandths = Some(3);
        log.edit(&TRANSITIONS, any, refund)
    });
    check("suggestedAffiliateId", "another affiliate is suggested", |log| {
        let another = |it: &mut ConversionTransitioned| it.suggested_affiliate_id = Some("somebody".to_owned());
        log.edit_end(|it| it.suggested_affiliate_id.is_some(), another)
    });
    check("suggestedAffiliateId", "nobody is suggested", |log| {
        let nobody = |it: &mut ConversionTransitioned| it.suggested_affiliate_id = None;
        log.edit_end(|it| it.suggested_affiliate_id.is_some(), nobody)
    });
    check("confidence", "a coupon counts before the click was waited for", |log| {
        let given_up = log.find(&TRANSITIONS, |it: &ConversionTransitioned| {
            it.confidence_reason == Some(ConfidenceReason::CouponOnly)
                && it.timeline.iter().any(|entry| entry.cause.kind == CauseType::ClickWaitElapsed)
        })?;
        let (key, value) = (log.0[given_up].key.clone(), log.0[given_up].value.clone());
        let judged: ConversionTransitioned = decode(&value).unwrap();
        let is_before = |it: &Shown| it.topic == TRANSITIONS.number && it.key == key;
        let before = log.0[..given_up].iter().position(is_before)?;
        let mut early: ConversionTransitioned = decode(&log.0[before].value).unwrap();
        (early.confidence, early.confidence_reason) = (judged.confidence, judged.confidence_reason);
        early.suggested_affiliate_id = judged.suggested_affiliate_id;
        log.0[before].value = encode(&early);
        Some(())
    });
    check("conflicts", "a conflict that was not counted", |log| {
        let forget = |it: &mut ConversionTransitioned| it.conflicts -= 1;
        log.edit(&TRANSITIONS, |it: &ConversionTransitioned| it.conflicts > 0, forget)
    });
    check("explanation", "none", |log| {
        log.edit(&TRANSITIONS, any, |it: &mut ConversionTransitioned| it.explanation = None)
    });
    check("explanation", "a fact of it is in another place", |log| {
        let elsewhere = |it: &mut ConversionTransitioned| {
            it.explanation.iter_mut().flat_map(|it| &mut it.facts).for_each(|fact| fact.offset += 1);
        };
        log.edit(&TRANSITIONS, any, elsewhere)
    });
    check("explanation", "an update is missing in it", |log| {
        let is_update = |it: &FactPlace| it.fact == FactKind::OrderStatus;
        let index = log.find_end(|it| it.explanation.iter().flat_map(|it| &it.facts).any(is_update))?;
        let mut record: ConversionTransitioned = decode(&log.0[index].value).unwrap();
        record.explanation.as_mut()?.facts.retain(|fact| !is_update(fact));
        log.0[index].value = encode(&record);
        Some(())
    });
    check("explanation", "another rule won in it", |log| {
        let another = |it: &mut ConversionTransitioned| {
            let rules = it.explanation.iter_mut().flat_map(|it| &mut it.rules);
            rules.for_each(|rule| rule.outcome = RuleOutcome::OtherCurrency);
        };
        log.edit(&TRANSITIONS, high, another)
    });
    check("key", "under another's key", |log| {
        let index = log.find(&TRANSITIONS, any::<ConversionTransitioned>)?;
        log.0[index].key = b"m1/live/other".to_vec();
        Some(())
    });
    check("partition", "in another partition", |log| {
        let index = log.find(&TRANSITIONS, any::<ConversionTransitioned>)?;
        log.0[index].partition = 1;
        Some(())
    });
    check("record", "cut short", |log| {
        let index = log.find(&TRANSITIONS, any::<ConversionTransitioned>)?;
        log.0[index].value.pop();
        Some(())
    });
}

#[test]
fn clicks() {
    check("clickLookup", "a click is asked for twice", |log| log.repeat(&CLICK_LOOKUPS, any::<ClickLookupRequested>));
    check("clickLookup", "a question is lost", |log| log.drop(&CLICK_LOOKUPS, any::<ClickLookupRequested>));
    check("clickVerdict", "a click is matched twice", |log| log.repeat(&CLICK_VERDICTS, any::<ClickMatched>));
    check("clickVerdict", "an answer is lost", |log| log.drop(&CLICK_VERDICTS, any::<ClickMatched>));
    check("clickVerdict", "another click", |log| {
        log.edit(&CLICK_VERDICTS, any, |it: &mut ClickMatched| it.click.affiliate_id.push('x'))
    });
}

#[test]
fn money() {
    check("commissions", "a change is lost", |log| log.drop(&COMMISSIONS, any::<CommissionChanged>));
    check("commissions", "a change is there twice", |log| log.repeat(&COMMISSIONS, any::<CommissionChanged>));
    check("commissions", "another amount", |log| {
        log.edit(&COMMISSIONS, any, |it: &mut CommissionChanged| it.commission.amount_minor += 1)
    });
    check("booked", "an entry is lost", |log| log.drop(&LEDGER_ENTRIES, any::<LedgerEntry>));
    check("booked", "an entry is there twice", |log| log.repeat(&LEDGER_ENTRIES, any::<LedgerEntry>));
    check("ledgerEntry", "an entry goes nowhere", |log| {
        let nowhere =
            |it: &mut LedgerEntry| (it.debit, it.credit) = (Account::AffiliatePending, Account::AffiliatePending);
        log.edit(&LEDGER_ENTRIES, any, nowhere)
    });
    check("ledgerEntry", "an entry of another affiliate", |log| {
        log.edit(&LEDGER_ENTRIES, any, |it: &mut LedgerEntry| it.affiliate_id = "somebody".to_owned())
    });
    check("ledgerEntry", "an entry of no conversion", |log| {
        log.edit(&LEDGER_ENTRIES, any, |it: &mut LedgerEntry| it.conversion_id.0[0] ^= 1)
    });
    check("balance", "a balance is another", |log| {
        log.edit(&BALANCES, any, |it: &mut BalanceChanged| it.balance_minor.0 += 1)
    });
    check("balance", "a balance is lost", |log| log.drop(&BALANCES, any::<BalanceChanged>));
    check("balanceEntries", "a balance is told twice", |log| log.repeat(&BALANCES, any::<BalanceChanged>));
}

fn made(it: &PayoutChanged) -> bool {
    it.state == PayoutState::InTransit
}

#[test]
fn payouts() {
    check("payout", "a payout is there twice", |log| log.repeat(&PAYOUTS, made));
    check("payout", "more than was payable", |log| {
        log.edit(&PAYOUTS, made, |it: &mut PayoutChanged| it.amount_minor += 1)
    });
    check("payout", "before its cut-off", |log| {
        log.edit(&PAYOUTS, made, |it: &mut PayoutChanged| it.at = Timestamp(it.cut_off.0 - 1))
    });
    check("payout", "at no cut-off", |log| {
        log.edit(&PAYOUTS, made, |it: &mut PayoutChanged| {
            it.cut_off.0 -= 1_000;
            it.payout_id = format!("pay_{}_{}_{}", it.cut_off.seconds(), it.currency.code(), it.affiliate_id);
        })
    });
    check("payout", "of test orders", |log| log.edit(&PAYOUTS, made, |it: &mut PayoutChanged| it.livemode = false));
    check("payout", "failed, and reported as paid", |log| {
        // The report that counted, and not one of a payout that was settled already.
        let index = log.find(&PAYOUTS, |it: &PayoutChanged| it.state == PayoutState::Failed)?;
        let failed: PayoutChanged = decode(&log.0[index].value).unwrap();
        let reports = log.0.iter().map(|it| decode::<PayoutReported>(&it.value));
        let index = reports.map(Result::ok).position(|it| it.is_some_and(|it| it.payout_id == failed.payout_id))?;
        let mut report: PayoutReported = decode(&log.0[index].value).unwrap();
        report.outcome = PayoutOutcome::Paid;
        log.0[index].value = encode(&report);
        Some(())
    });
    check("payout", "nobody has said that it is paid", |log| {
        let index = log.find(&PAYOUT_REPORTS, any::<PayoutReported>)?;
        let said: PayoutReported = decode(&log.0[index].value).unwrap();
        let of_it = |it: &Shown| decode(&it.value).is_ok_and(|it: PayoutReported| it.payout_id == said.payout_id);
        log.0.retain(|it| !of_it(it));
        Some(())
    });
    check("deadLetter", "another outcome, and no dead letter", |log| {
        log.drop(&DEAD_LETTERS, |it: &DeadLetter| it.topic == PAYOUT_REPORTS.name)
    });
    check("settlement", "an order is not told", |log| log.drop(&SETTLEMENTS, any::<ConversionSettled>));
    check("settlement", "an order is told twice", |log| log.repeat(&SETTLEMENTS, any::<ConversionSettled>));
    check("settlement", "an order is told of another amount", |log| {
        log.edit(&SETTLEMENTS, any, |it: &mut ConversionSettled| it.amount_minor += 1)
    });
    check("settlement", "an order is told of another time", |log| {
        log.edit(&SETTLEMENTS, any, |it: &mut ConversionSettled| it.paid_at.0 += 1)
    });
    check("state", "an order that was paid for is not paid", |log| {
        let open = |it: &mut ConversionTransitioned| {
            it.state = ConversionState::Payable;
            it.timeline.iter_mut().for_each(|entry| entry.state = ConversionState::Payable);
        };
        log.edit_end(|it| it.state == ConversionState::Paid, open)
    });
    check("balance", "a payout is lost", |log| log.drop(&PAYOUTS, made));
}
