//! Every invariant objects to a log that does not keep it.

use std::collections::BTreeSet;

use oracle::{Answer, Body, Committed, Facts, Invariant, OrderId, Report, end};
use schemas::records::{
    BalanceChanged, CauseType, ClickLookupRequested, ClickMatched, Commission, CommissionChanged, Confidence,
    ConfidenceReason, ConversionReported, ConversionState, ConversionTransitioned, DeadLetter, LedgerEntry,
};
use schemas::topics::{
    BALANCES, CLICK_LOOKUPS, CLICK_VERDICTS, COMMISSIONS, CONVERSIONS, DEAD_LETTERS, LEDGER_ENTRIES, TRANSITIONS,
    TopicSpec,
};
use schemas::{AvroRecord, Timestamp, decode, encode};

use crate::merchants::{Run, Shown};
use crate::world::{DAY, T0};

mod payouts;

/// Runs of which each case takes the first that has what it tampers with.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=100;

/// The records of a right run, to be made wrong.
struct Log {
    shown: Vec<Shown>,
    facts: Facts,
    now_ms: i64,
}

impl Log {
    fn right(seed: u64) -> Log {
        let run = Run::of(seed);
        Log { shown: run.shown(), now_ms: run.now(), facts: run.facts }
    }

    /// The invariants that object, each once.
    fn objections(&self) -> BTreeSet<Invariant> {
        let mut committed = Committed::default();
        let mut faults = Vec::new();
        for Shown { topic, partition, offset, key, value } in &self.shown {
            faults.extend(committed.observe(*topic, *partition, *offset, key, value));
        }
        faults.extend(end(&self.facts, &committed, self.now_ms));
        faults.into_iter().map(|fault| fault.invariant).collect()
    }

    /// Where the last record of a topic is that `fits`.
    fn find<R: AvroRecord>(&self, spec: &TopicSpec, fits: impl Fn(&R) -> bool) -> Option<usize> {
        let is = |shown: &Shown| shown.topic == spec.number && decode::<R>(&shown.value).is_ok_and(|it| fits(&it));
        self.shown.iter().rposition(is)
    }

    /// Where the last revision of a conversion is that `fits`.
    fn find_end(&self, fits: impl Fn(&ConversionTransitioned) -> bool) -> Option<usize> {
        let mut seen = BTreeSet::new();
        let ends = self.shown.iter().enumerate().rev().filter(|(_, it)| it.topic == TRANSITIONS.number);
        let mut ends = ends.filter(|(_, it)| seen.insert(&it.key));
        ends.find(|(_, it)| decode(&it.value).is_ok_and(|it| fits(&it))).map(|(index, _)| index)
    }

    fn any<R: AvroRecord>(&self, spec: &TopicSpec) -> Option<usize> {
        self.find::<R>(spec, |_| true)
    }

    fn edit<R: AvroRecord>(&mut self, index: usize, change: impl FnOnce(&mut R)) {
        let mut record = decode(&self.shown[index].value).unwrap();
        change(&mut record);
        self.shown[index].value = encode(&record);
    }

    fn drop(&mut self, index: usize) {
        self.shown.remove(index);
    }

    /// Shows a record once more, after all others.
    fn repeat(&mut self, index: usize) -> usize {
        let offset = self.shown.iter().map(|it| it.offset).max().unwrap_or(0) + 1;
        self.shown.push(Shown { offset, ..self.shown[index].clone() });
        self.shown.len() - 1
    }
}

fn high(it: &ConversionTransitioned) -> bool {
    it.confidence == Some(Confidence::High) && it.commission.is_some()
}

fn elapsed(it: &ConversionTransitioned) -> bool {
    it.timeline.iter().any(|entry| entry.cause.kind == CauseType::HoldElapsed)
}

#[test]
fn a_right_log_is_not_objected_to() {
    assert_eq!(Log::right(1).objections(), BTreeSet::new());
}

#[test]
fn every_invariant_objects() {
    let mut objected = BTreeSet::new();
    let mut check = |invariant: Invariant, what: &str, tamper: Tamper| {
        let log = SEEDS.map(Log::right).find_map(|mut log| tamper(&mut log).map(|()| log));
        let log = log.unwrap_or_else(|| panic!("{what}: no run has what it takes"));
        let objections = log.objections();
        assert!(objections.contains(&invariant), "{what}: {invariant:?} must object, and {objections:?} do");
        objected.insert(invariant);
    };
    order_of_the_log(&mut check);
    conversions(&mut check);
    money(&mut check);
    payouts::made(&mut check);
    payouts::simulated(&mut check);
    facts(&mut check);
    assert_eq!(objected, BTreeSet::from(Invariant::ALL), "each invariant has a case");
}

/// Makes a right log wrong; nothing if it has not what it takes.
type Tamper = fn(&mut Log) -> Option<()>;
type Check<'a> = &'a mut dyn FnMut(Invariant, &str, Tamper);

fn order_of_the_log(check: Check<'_>) {
    check(Invariant::Offsets, "an offset twice", |log| {
        let index = log.any::<BalanceChanged>(&BALANCES)?;
        let copy = log.repeat(index);
        log.shown[copy].offset = log.shown[index].offset;
        Some(())
    });
    check(Invariant::Home, "a key in two partitions", |log| {
        let index = log.any::<ConversionTransitioned>(&TRANSITIONS)?;
        log.shown[index].partition = 1;
        Some(())
    });
    check(Invariant::Decodes, "an output cut short", |log| {
        let index = log.any::<LedgerEntry>(&LEDGER_ENTRIES)?;
        log.shown[index].value.pop();
        Some(())
    });
    check(Invariant::Key, "another's key", |log| {
        let index = log.any::<CommissionChanged>(&COMMISSIONS)?;
        log.shown[index].key = b"m1/live/other".to_vec();
        Some(())
    });
    check(Invariant::Ids, "another event with this id", |log| {
        let index = log.any::<ConversionReported>(&CONVERSIONS)?;
        let copy = log.repeat(index);
        log.edit(copy, |it: &mut ConversionReported| it.amount_minor += 1);
        Some(())
    });
    check(Invariant::Lookup, "asked twice", |log| {
        let index = log.any::<ClickLookupRequested>(&CLICK_LOOKUPS)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::Lookup, "never asked", |log| {
        let index = log.any::<ClickLookupRequested>(&CLICK_LOOKUPS)?;
        log.drop(index);
        Some(())
    });
    check(Invariant::Verdict, "told twice", |log| {
        let index = log.any::<ClickMatched>(&CLICK_VERDICTS)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::Verdict, "never told", |log| {
        let index = log.any::<ClickMatched>(&CLICK_VERDICTS)?;
        log.drop(index);
        Some(())
    });
    check(Invariant::Verdict, "told of a click that is not", |log| {
        let index = log.any::<ClickMatched>(&CLICK_VERDICTS)?;
        log.edit(index, |it: &mut ClickMatched| it.click.affiliate_id = "a9".to_owned());
        Some(())
    });
    check(Invariant::DeadLetter, "a dead letter twice", |log| {
        let index = log.any::<DeadLetter>(&DEAD_LETTERS)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::DeadLetter, "poison without a dead letter", |log| {
        let index = log.any::<DeadLetter>(&DEAD_LETTERS)?;
        log.drop(index);
        Some(())
    });
}

fn conversions(check: Check<'_>) {
    check(Invariant::Revisions, "a revision twice", |log| {
        let index = log.any::<ConversionTransitioned>(&TRANSITIONS)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::Revisions, "a revision lost", |log| {
        let second = log.find::<ConversionTransitioned>(&TRANSITIONS, |it| it.revision == 2)?;
        let key = log.shown[second].key.clone();
        log.drop(log.shown.iter().position(|it| it.topic == TRANSITIONS.number && it.key == key)?);
        Some(())
    });
    check(Invariant::Timeline, "an entry lost", |log| {
        let index = log.find::<ConversionTransitioned>(&TRANSITIONS, |it| it.timeline.len() > 1)?;
        log.edit(index, |it: &mut ConversionTransitioned| drop(it.timeline.remove(0)));
        Some(())
    });
    check(Invariant::Report, "another amount", |log| {
        let index = log.any::<ConversionTransitioned>(&TRANSITIONS)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.amount_minor += 1);
        Some(())
    });
    check(Invariant::Course, "a hold out of nothing", |log| {
        let index = log.find::<ConversionTransitioned>(&TRANSITIONS, |it| it.revision == 1)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.timeline[0].state = ConversionState::Hold);
        Some(())
    });
    check(Invariant::Course, "back from reversed", |log| {
        let told = |it: &ConversionTransitioned| it.state == ConversionState::Reversed && !it.timeline.is_empty();
        let index = log.find(&TRANSITIONS, told)?;
        let copy = log.repeat(index);
        log.edit(copy, |it: &mut ConversionTransitioned| {
            it.state = ConversionState::Received;
            it.timeline.iter_mut().for_each(|entry| entry.state = ConversionState::Received);
        });
        Some(())
    });
    check(Invariant::Course, "a clock that was set back", |log| {
        let index = log.find::<ConversionTransitioned>(&TRANSITIONS, |it| it.revision > 1)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.at = Timestamp(0));
        Some(())
    });
    check(Invariant::Early, "payable before the hold ends", |log| {
        let index = log.find(&TRANSITIONS, elapsed)?;
        log.edit(index, |it: &mut ConversionTransitioned| {
            it.at = it.hold_until.map_or(it.at, |until| Timestamp(until.0 - 1));
        });
        Some(())
    });
    check(Invariant::Review, "a decision that counts and is told as too late", |log| {
        let decided =
            |it: &ConversionTransitioned| it.timeline.iter().any(|it| it.cause.review.is_some() && it.cause.applied);
        let index = log.find(&TRANSITIONS, decided)?;
        log.edit(index, |it: &mut ConversionTransitioned| {
            it.timeline.iter_mut().for_each(|it| it.cause.applied = false)
        });
        Some(())
    });
    check(Invariant::Review, "a decision that is told as another's", |log| {
        let index = log
            .find(&TRANSITIONS, |it: &ConversionTransitioned| it.timeline.iter().any(|it| it.cause.review.is_some()))?;
        log.edit(index, |it: &mut ConversionTransitioned| {
            it.timeline.iter_mut().filter_map(|it| it.cause.review.as_mut()).for_each(|it| it.reviewer.push('x'));
        });
        Some(())
    });
    check(Invariant::Review, "somebody else is credited", |log| {
        let approved = |it: &ConversionTransitioned| {
            it.affiliate_id.is_some() && it.timeline.iter().any(|it| it.cause.review.is_some())
        };
        let index = log.find(&TRANSITIONS, approved)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.affiliate_id = Some("a9".to_owned()));
        Some(())
    });
    check(Invariant::Pinned, "another rate", |log| {
        let index = log.find::<ConversionTransitioned>(&TRANSITIONS, |it| high(it) && it.revision > 1)?;
        let copy = log.repeat(index);
        log.edit(copy, |it: &mut ConversionTransitioned| {
            it.revision += 1;
            it.commission = it.commission.take().map(|it| Commission { rate: Some("99".to_owned()), ..it });
        });
        Some(())
    });
    check(Invariant::Pinned, "another amount without a refund", |log| {
        let index = log.find_end(|it| high(it) && it.revision > 1 && it.state != ConversionState::Reversed)?;
        let copy = log.repeat(index);
        log.edit(copy, |it: &mut ConversionTransitioned| {
            it.revision += 1;
            it.commission = it.commission.take().map(|it| Commission { amount_minor: it.amount_minor + 1, ..it });
        });
        Some(())
    });
    check(Invariant::Explained, "no explanation", |log| {
        let index = log.any::<ConversionTransitioned>(&TRANSITIONS)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.explanation = None);
        Some(())
    });
    check(Invariant::End, "another hold", |log| {
        let index = log.find_end(|it| it.hold_until.is_some())?;
        log.edit(index, |it: &mut ConversionTransitioned| it.hold_until = it.hold_until.map(|it| Timestamp(it.0 + 1)));
        Some(())
    });
    check(Invariant::End, "a refund that is not there", |log| {
        let index = log.any::<ConversionTransitioned>(&TRANSITIONS)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.refunded_thousandths = Some(3));
        Some(())
    });
    check(Invariant::End, "a conflict that was not counted", |log| {
        let index = log.find(&TRANSITIONS, |it: &ConversionTransitioned| it.conflicts > 0)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.conflicts -= 1);
        Some(())
    });
    check(Invariant::End, "another affiliate is suggested", |log| {
        let index = log.find_end(|it| it.suggested_affiliate_id.is_some())?;
        log.edit(index, |it: &mut ConversionTransitioned| it.suggested_affiliate_id = Some("somebody".to_owned()));
        Some(())
    });
    check(Invariant::Course, "somebody is suggested besides who is credited", |log| {
        let index = log.find_end(high)?;
        log.edit(index, |it: &mut ConversionTransitioned| it.suggested_affiliate_id.clone_from(&it.affiliate_id));
        Some(())
    });
    check(Invariant::Early, "a coupon counts before its click was waited for", |log| {
        let index = log.find(&TRANSITIONS, |it: &ConversionTransitioned| {
            it.confidence_reason == Some(ConfidenceReason::CouponOnly)
                && it.timeline.iter().any(|entry| entry.cause.kind == CauseType::ClickWaitElapsed)
        })?;
        log.edit(index, |it: &mut ConversionTransitioned| it.at = it.received_at);
        Some(())
    });
    check(Invariant::End, "a hold that never elapsed", |log| {
        let index = log.find_end(elapsed)?;
        log.shown.truncate(index);
        Some(())
    });
}

fn money(check: Check<'_>) {
    check(Invariant::Commissions, "a change lost", |log| {
        let index = log.any::<CommissionChanged>(&COMMISSIONS)?;
        log.drop(index);
        Some(())
    });
    check(Invariant::Commissions, "a change twice", |log| {
        let index = log.any::<CommissionChanged>(&COMMISSIONS)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::Entry, "an entry twice", |log| {
        let index = log.any::<LedgerEntry>(&LEDGER_ENTRIES)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::Entry, "an entry of nothing", |log| {
        let index = log.any::<LedgerEntry>(&LEDGER_ENTRIES)?;
        log.edit(index, |it: &mut LedgerEntry| it.amount_minor = 0);
        Some(())
    });
    check(Invariant::Booked, "an entry lost", |log| {
        let index = log.any::<LedgerEntry>(&LEDGER_ENTRIES)?;
        log.drop(index);
        Some(())
    });
    check(Invariant::Balances, "a balance lost", |log| {
        let index = log.any::<BalanceChanged>(&BALANCES)?;
        log.drop(index);
        Some(())
    });
    check(Invariant::Balances, "a balance twice", |log| {
        let index = log.any::<BalanceChanged>(&BALANCES)?;
        log.repeat(index);
        Some(())
    });
    check(Invariant::Payout, "another amount", |log| {
        let index = log.any::<LedgerEntry>(&LEDGER_ENTRIES)?;
        log.edit(index, |it: &mut LedgerEntry| it.amount_minor += 1);
        Some(())
    });
}

fn facts(check: Check<'_>) {
    check(Invariant::Sent, "an order that nobody sent", |log| {
        let index = log.any::<ConversionReported>(&CONVERSIONS)?;
        let copy = log.repeat(index);
        log.edit(copy, |it: &mut ConversionReported| {
            it.event_id = "cnvevt_x".to_owned();
            it.coupon_code = Some("FREE".to_owned());
        });
        Some(())
    });
    check(Invariant::Lost, "an answer without an event", |log| {
        let (order, body) = order(log, |_| ())?;
        let order = OrderId { external_order_id: "lost".to_owned(), ..order };
        let request = log.facts.sent(order, Body::Report(body), T0);
        log.facts.answered(request, T0 + DAY, Answer::Recorded { event_id: "cnvevt_lost".to_owned() });
        Some(())
    });
    check(Invariant::Lost, "a report without a conversion", |log| {
        log.shown.retain(|it| it.topic == CONVERSIONS.number);
        Some(())
    });
    check(Invariant::Lost, "a duplicate of nothing", |log| {
        let (order, body) = order(log, |_| ())?;
        let order = OrderId { external_order_id: "lost".to_owned(), ..order };
        let request = log.facts.sent(order, Body::Report(body), T0);
        log.facts.answered(request, T0, Answer::Duplicate { conversion_id: String::new() });
        Some(())
    });
    check(Invariant::Answer, "another conversion's id", |log| {
        let (order, body) = order(log, |_| ())?;
        let request = log.facts.sent(order, Body::Report(body), T0);
        log.facts.answered(request, T0 + DAY, Answer::Duplicate { conversion_id: "cnv_0".to_owned() });
        Some(())
    });
    check(Invariant::First, "two that were first", |log| {
        let (order, body) = order(log, |_| ())?;
        for event_id in ["cnvevt_first", "cnvevt_second"] {
            let request = log.facts.sent(order.clone(), Body::Report(body.clone()), T0);
            log.facts.answered(request, T0 + DAY, Answer::Recorded { event_id: event_id.to_owned() });
            log.facts.first(event_id);
        }
        Some(())
    });
    check(Invariant::Overtaken, "one that was recorded before", |log| {
        let (order, body) = order(log, |report| report.amount_minor += 1)?;
        let request = log.facts.sent(order, Body::Report(body), T0 - DAY);
        log.facts.answered(request, T0 - 1, Answer::Recorded { event_id: "cnvevt_before".to_owned() });
        Some(())
    });
}

/// An order that is in the log, and its report after a change.
fn order(log: &Log, change: fn(&mut Report)) -> Option<(OrderId, Report)> {
    let index = log.any::<ConversionReported>(&CONVERSIONS)?;
    let key = &log.shown[index].key;
    let first = log.shown.iter().find(|it| it.key == *key && decode::<ConversionReported>(&it.value).is_ok())?;
    let it: ConversionReported = decode(&first.value).unwrap();
    let mut report = Report {
        click_id: it.click_id,
        external_product_id: it.external_product_id,
        amount_minor: it.amount_minor,
        currency: it.currency,
        order_status: it.order_status,
        ordered_at: it.ordered_at,
        coupon_code: it.coupon_code,
        metadata: it.metadata,
    };
    change(&mut report);
    let order = OrderId { merchant_id: it.merchant_id, livemode: it.livemode, external_order_id: it.external_order_id };
    Some((order, report))
}
