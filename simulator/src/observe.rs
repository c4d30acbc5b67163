//! Whoever watches a run: reads every record as it becomes visible, and what the cluster knows besides.

use std::collections::BTreeMap;

use bytes::Bytes;
use oracle::{Committed, Fault};
use schemas::records::{
    Account, BalanceChanged, CauseType, ClickQuestion, Confidence, ConfidenceReason, ConversionState,
    ConversionTransitioned, DeadLetter, PayoutChanged,
};
use schemas::topics::numbers::{BALANCES, DEAD_LETTERS, PAYOUTS};
use schemas::topics::{
    CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, CLICKS_CHANGELOG, CONVERSIONS, LEDGER_CHANGELOG, LEDGER_ENTRIES,
    ORDERS_CHANGELOG, PAYOUT_REPORTS, SETTLEMENTS, TRANSITIONS, TopicSpec,
};
use streams::StateStore as _;
use streams::processor::parse_timer_key;
use streams::sim::{Cluster, Disk};

use crate::sometimes::{Rare, Sometimes};
use crate::topology::Topology;
use crate::workers::PROCESSORS;

/// The changelogs, in the order of [`PROCESSORS`].
pub(crate) const CHANGELOGS: [TopicSpec; 3] = [ORDERS_CHANGELOG, CLICKS_CHANGELOG, LEDGER_CHANGELOG];

/// What each of [`PROCESSORS`] reads.
const INPUTS: [&[&str]; 3] = [
    &[CONVERSIONS.name, CLICK_VERDICTS.name, SETTLEMENTS.name],
    &[CLICKS.name, CLICK_LOOKUPS.name],
    &[LEDGER_ENTRIES.name, PAYOUT_REPORTS.name],
];

/// A changelog's partition: everything that was ever committed, and what it comes to at a position.
#[derive(Debug, Default)]
struct Changelog {
    changes: Vec<(u64, Bytes, Option<Bytes>)>,
    fold: BTreeMap<Bytes, Bytes>,
    /// Changes folded.
    folded: usize,
}

impl Changelog {
    /// The rows at a position.
    fn at(&mut self, position: u64) -> &BTreeMap<Bytes, Bytes> {
        let until = self.changes.partition_point(|(offset, _, _)| *offset < position);
        if until < self.folded {
            self.fold.clear();
            self.folded = 0;
        }
        for (_, key, value) in &self.changes[self.folded..until] {
            match value {
                Some(value) => drop(self.fold.insert(key.clone(), value.clone())),
                None => drop(self.fold.remove(key)),
            }
        }
        self.folded = until;
        &self.fold
    }
}

/// What was seen of an order.
#[derive(Debug)]
struct OrderSeen {
    confidence: Option<Confidence>,
    state: ConversionState,
    commission_minor: Option<i64>,
    refunded_thousandths: Option<i64>,
    conflicts: i32,
}

/// Whether a conversion is reversed because nothing is left of it.
fn reversed_by_rest(now: &ConversionTransitioned) -> bool {
    let whole = now.currency.thousandths(now.amount_minor);
    now.state == ConversionState::Reversed && whole > 0 && now.refunded_thousandths == Some(whole)
}

/// What of payouts does not happen in every run.
fn of_payouts(spec: &TopicSpec, value: &[u8], sometimes: &mut Sometimes) {
    match spec.number {
        PAYOUTS => {
            let retries = schemas::decode(value).is_ok_and(|it: PayoutChanged| !it.retries.is_empty());
            sometimes.saw_if(Rare::PayoutRetried, retries);
        }
        BALANCES => {
            let below = schemas::decode(value)
                .is_ok_and(|it: BalanceChanged| it.account == Account::AffiliatePayable && it.balance_minor.0 < 0);
            sometimes.saw_if(Rare::PayableBelowZero, below);
        }
        DEAD_LETTERS => {
            let contradicts = schemas::decode(value).is_ok_and(|it: DeadLetter| it.topic == PAYOUT_REPORTS.name);
            sometimes.saw_if(Rare::OutcomeContradicted, contradicts);
        }
        _ => {}
    }
}

/// Sees everything that is committed, once.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    pub(crate) committed: Committed,
    next: BTreeMap<(u16, u32), u64>,
    changelogs: BTreeMap<(usize, u32), Changelog>,
    offsets: BTreeMap<(&'static str, String, u32), u64>,
    orders: BTreeMap<Vec<u8>, OrderSeen>,
    /// The end of the ids of the rules that are in force for new orders; it changes with the registry.
    pub(crate) version: u64,
    pub(crate) records: u64,
}

impl Observer {
    /// Reads what has become visible since.
    pub(crate) fn look(&mut self, cluster: &Cluster, topology: &Topology, sometimes: &mut Sometimes) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (spec, options) in topology.topics() {
            for partition in 0..options.partitions {
                let from = self.next.get(&(spec.number, partition)).copied().unwrap_or(0);
                let mut seen = |offset: u64, key: &[u8], value: Option<&[u8]>| {
                    faults.extend(self.one(spec, partition, (offset, key, value), sometimes));
                };
                let next = cluster.read(spec.name, partition, from, &mut seen);
                self.next.insert((spec.number, partition), next);
            }
        }
        faults
    }

    fn one(
        &mut self,
        spec: &TopicSpec,
        partition: u32,
        (offset, key, value): (u64, &[u8], Option<&[u8]>),
        sometimes: &mut Sometimes,
    ) -> Vec<Fault> {
        self.records += 1;
        if let Some(processor) = CHANGELOGS.iter().position(|changelog| changelog.number == spec.number) {
            let value = value.map(Bytes::copy_from_slice);
            let changelog = self.changelogs.entry((processor, partition)).or_default();
            changelog.changes.push((offset, Bytes::copy_from_slice(key), value));
            return Vec::new();
        }
        let value = value.unwrap_or_default();
        if spec.number == TRANSITIONS.number {
            self.transition(key, value, sometimes);
        }
        of_payouts(spec, value, sometimes);
        self.committed.observe(spec.number, partition, offset, key, value)
    }

    fn transition(&mut self, key: &[u8], value: &[u8], sometimes: &mut Sometimes) {
        let Ok(now) = schemas::decode::<ConversionTransitioned>(value) else { return };
        if let Some(before) = self.orders.get(key) {
            let upgraded = before.confidence == Some(Confidence::Low) && now.confidence == Some(Confidence::High);
            sometimes.saw_if(Rare::LateClickUpgrade, upgraded);
            let reversed = before.state == ConversionState::Hold && now.state == ConversionState::Reversed;
            sometimes.saw_if(Rare::ReversedInHold, reversed);
            let reversed = before.state == ConversionState::Paid && now.state == ConversionState::Reversed;
            sometimes.saw_if(Rare::ReversedAfterPaid, reversed);
            let paid = now.commission.as_ref().map(|commission| commission.amount_minor);
            let shrunk = now.state != ConversionState::Reversed && before.commission_minor > paid;
            sometimes.saw_if(Rare::CommissionShrunk, shrunk && paid.is_some());
            let parts = before.refunded_thousandths.is_some_and(|it| it > 0) && reversed_by_rest(&now);
            sometimes.saw_if(Rare::RefundedInParts, parts && before.state != ConversionState::Reversed);
            sometimes.saw_if(Rare::ConflictCounted, now.conflicts > before.conflicts);
            let rule = now.commission.as_ref().and_then(|commission| commission.rule_id.rsplit_once('-'));
            let pinned = rule.is_some_and(|(_, version)| version != self.version.to_string());
            sometimes.saw_if(Rare::TermsPinned, pinned);
            let back = before.state == ConversionState::Reversed && now.state != ConversionState::Reversed;
            sometimes.saw_if(Rare::BroughtBack, back);
        }
        let mut reviews = now.timeline.iter().filter(|entry| entry.cause.kind == CauseType::Review);
        let decided = reviews.next().map(|entry| entry.cause.applied);
        let credited = decided == Some(true) && now.confidence == Some(Confidence::Low) && now.commission.is_some();
        sometimes.saw_if(Rare::Approved, credited);
        sometimes.saw_if(Rare::ReviewLate, decided == Some(false));
        let reason = now.confidence_reason;
        sometimes.saw_if(Rare::CouponSuggested, reason == Some(ConfidenceReason::CouponOnly));
        sometimes.saw_if(Rare::ClickTooRecent, reason == Some(ConfidenceReason::ClickTooRecent));
        let mut asked = now.explanation.iter().flat_map(|it| &it.click_checks);
        let own_shop = asked.any(|it| it.question == ClickQuestion::NotSelfReferral && !it.passed);
        sometimes.saw_if(Rare::SelfReferred, reason == Some(ConfidenceReason::SelfReferral) && own_shop);
        sometimes.saw_if(Rare::SelfReferredByCoupon, reason == Some(ConfidenceReason::SelfReferral) && !own_shop);
        let elapsed = now.timeline.iter().any(|entry| entry.cause.kind == CauseType::HoldElapsed);
        sometimes.saw_if(Rare::HoldElapsed, elapsed && now.state == ConversionState::Payable);
        let moved = now.timeline.iter().any(|entry| entry.cause.kind == CauseType::TestClock && entry.cause.applied);
        let payable = matches!(now.state, ConversionState::Payable | ConversionState::Paid);
        sometimes.saw_if(Rare::HoldMovedOver, moved && payable);
        let simulated = now.timeline.iter().any(|entry| entry.cause.kind == CauseType::PayoutSimulated);
        sometimes.saw_if(Rare::PayoutSimulated, simulated && !moved);
        sometimes.saw_if(Rare::PayoutMovedOver, simulated && moved);
        sometimes.saw_if(Rare::WaitMovedOver, moved && reason == Some(ConfidenceReason::ClickUnknown));
        let seen = OrderSeen {
            confidence: now.confidence,
            state: now.state,
            commission_minor: now.commission.as_ref().map(|commission| commission.amount_minor),
            refunded_thousandths: now.refunded_thousandths,
            conflicts: now.conflicts,
        };
        self.orders.insert(key.to_vec(), seen);
    }

    /// Whether a store is the fold of its changelog at its position; what is wrong, if it is not.
    pub(crate) fn check_store(
        &mut self,
        cluster: &Cluster,
        (processor, partition): (usize, u32),
        disk: &Disk,
    ) -> Option<String> {
        let store = disk.store(partition)?;
        let position = store.position()?;
        let (_, stable, end) = cluster.marks(CHANGELOGS[processor].name, partition);
        if position > end {
            let name = PROCESSORS[processor];
            return Some(format!("the store of {name}/{partition} is at {position}, and its changelog ends at {end}"));
        }
        // Of a step that was just committed the markers may still be on their way.
        if position > stable {
            return None;
        }
        let expected = self.changelogs.entry((processor, partition)).or_default().at(position);
        if store.rows().eq(expected.iter()) {
            return None;
        }
        let rows: BTreeMap<&Bytes, &Bytes> = store.rows().collect();
        let missing = expected.iter().find(|(key, value)| rows.get(key) != Some(value)).map(|(key, _)| key);
        let extra = rows.keys().find(|key| !expected.contains_key(**key)).copied();
        Some(format!(
            "the store of {}/{partition} at {position} is not the fold of its changelog: it lacks {missing:?}, and has \
             {extra:?} besides",
            PROCESSORS[processor],
        ))
    }

    /// Committed offsets only go on; what is wrong, if they do not.
    pub(crate) fn check_offsets(&mut self, cluster: &Cluster) -> Option<String> {
        for group in PROCESSORS {
            for ((topic, partition), offset) in cluster.offsets(group) {
                let before = self.offsets.insert((group, topic.clone(), partition), offset);
                if before.is_some_and(|before| before > offset) {
                    let before = before.unwrap_or_default();
                    return Some(format!("{group} went back in {topic}/{partition} from {before} to {offset}"));
                }
            }
        }
        None
    }

    /// A timer that is due at a time and has not fired.
    pub(crate) fn due(&mut self, now_ms: i64) -> Option<String> {
        self.changelogs.iter_mut().find_map(|((processor, partition), changelog)| {
            let timers = changelog.at(u64::MAX).keys().filter_map(|row| parse_timer_key(row));
            let (due_ms, _) = timers.min().filter(|(due_ms, _)| *due_ms <= now_ms)?;
            let name = PROCESSORS[*processor];
            Some(format!("a timer of {name}/{partition} is due since {due_ms} and has not fired at {now_ms}"))
        })
    }

    /// When the first timer of an order is due.
    pub(crate) fn next_timer_ms(&mut self) -> Option<i64> {
        let orders = self
            .changelogs
            .iter_mut()
            .filter(|((processor, _), _)| CHANGELOGS[*processor].number == ORDERS_CHANGELOG.number);
        let due =
            orders.flat_map(|(_, changelog)| changelog.at(u64::MAX).keys().filter_map(|row| parse_timer_key(row)));
        due.map(|(due_ms, _)| due_ms).min()
    }

    /// What is not consumed yet of what processors read, ends of transactions included.
    pub(crate) fn lag(cluster: &Cluster, partitions: u32) -> Option<String> {
        for (group, topics) in PROCESSORS.iter().zip(INPUTS) {
            let offsets = cluster.offsets(group);
            for topic in topics {
                for partition in 0..partitions {
                    let from = offsets.get(&((*topic).to_owned(), partition)).copied().unwrap_or(0);
                    let mut first = None;
                    cluster.read(topic, partition, from, &mut |offset, _, _| {
                        first.get_or_insert(offset);
                    });
                    if let Some(first) = first {
                        return Some(format!("{group} is at {from} of {topic}/{partition}, which has {first}"));
                    }
                    let (first, stable, _) = cluster.marks(topic, partition);
                    if from.max(first) < stable {
                        return Some(format!("{group} is at {from} of {topic}/{partition}, which ends at {stable}"));
                    }
                }
            }
        }
        None
    }
}
