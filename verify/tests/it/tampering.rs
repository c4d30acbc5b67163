//! Whatever is changed, lost or doubled is told, and of the right order.

use std::collections::BTreeSet;

use schemas::records::{
    Account, BalanceChanged, CauseType, ClickLookupRequested, ClickMatched, Commission, CommissionChanged, Confidence,
    ConfidenceReason, ConversionReported, ConversionState, ConversionTransitioned, DeadLetter, LedgerEntry,
    OrderStatusReported,
};
use schemas::topics::{
    BALANCES, CLICK_LOOKUPS, CLICK_VERDICTS, COMMISSIONS, CONVERSIONS, DEAD_LETTERS, LEDGER_ENTRIES, TRANSITIONS,
    TopicSpec,
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
        log.edit(&CONVERSIONS, any, |it: &mut ConversionReported| it.amount_minor += 1)
    });
    check("timeline", "a status is lost", |log| {
        log.drop(&CONVERSIONS, |it: &OrderStatusReported| it.refunded_thousandths.is_some())
    });
    check("eventId", "another event of this id", |log| {
        log.repeat(&CONVERSIONS, any::<ConversionReported>)?;
        log.edit(&CONVERSIONS, any, |it: &mut ConversionReported| it.received_at.0 += 1)
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
