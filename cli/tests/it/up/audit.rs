//! Folds every topic by itself and holds the result against what was answered.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{
    Account, CommissionState, Confidence, ConversionReported, ConversionState, ConversionTransitioned, ReportedStatus,
};

use crate::up::orders::{Click, Order};
use crate::up::topics::Topics;

/// An affiliate's ledger: affiliate, currency and mode.
type Ledger<'a> = (&'a str, &'a str, bool);

/// Checks that the log holds these orders and no others, each once, with its money; `run` says which run it is.
pub(crate) fn audit(topics: &Topics, orders: &[Order], run: &str) {
    assert!(topics.dead_letters.is_empty(), "{run}: dead letters: {:?}", topics.dead_letters);
    let by_id: BTreeMap<ConversionId, &Order> = orders.iter().map(|order| (conversion_id(order), order)).collect();
    assert_eq!(by_id.len(), orders.len(), "{run}: the test sent different orders");
    let reports = reports(topics, &by_id, run);
    let last = transitions(topics, &by_id, &reports, run);
    clicks(topics, &by_id, run);
    commissions(topics, &by_id, &last, run);
    entries(topics, &last, run);
    balances(topics, run);
}

fn conversion_id(order: &Order) -> ConversionId {
    let (merchant_id, external_order_id) = (order.merchant.id, order.id.as_str());
    OrderKey { merchant_id, livemode: true, external_order_id }.conversion_id()
}

/// The first report of each order, which is the one that counts.
fn reports<'a>(
    topics: &'a Topics,
    by_id: &BTreeMap<ConversionId, &Order>,
    run: &str,
) -> BTreeMap<ConversionId, &'a ConversionReported> {
    let mut first: BTreeMap<ConversionId, &ConversionReported> = BTreeMap::new();
    let mut events = BTreeSet::new();
    for report in &topics.reports {
        let (merchant_id, external_order_id) = (report.merchant_id.as_str(), report.external_order_id.as_str());
        let id = OrderKey { merchant_id, livemode: report.livemode, external_order_id }.conversion_id();
        first.entry(id).or_insert(report);
        assert!(events.insert(&report.event_id), "{run}: event {} of {external_order_id} twice", report.event_id);
    }
    let word = |status: &ReportedStatus| serde_json::to_string(status).expect("a word");
    let updates: BTreeSet<(&String, String)> =
        topics.statuses.iter().map(|update| (&update.external_order_id, word(&update.status))).collect();
    for (id, order) in by_id {
        let report = first.get(id).unwrap_or_else(|| panic!("{run}: order {} was answered 202 and is lost", order.id));
        assert_eq!(report.amount_minor, order.amount_minor, "{run}: the first report of order {}", order.id);
        for status in &order.updates {
            let found = updates.contains(&(&order.id, serde_json::json!(status).to_string()));
            assert!(found, "{run}: {status} of order {} was answered 202 and is lost", order.id);
        }
    }
    first
}

/// The last transition of each conversion. Revisions and timeline entries are numbered without a gap or a repeat.
fn transitions<'a>(
    topics: &'a Topics,
    by_id: &BTreeMap<ConversionId, &Order>,
    reports: &BTreeMap<ConversionId, &ConversionReported>,
    run: &str,
) -> BTreeMap<ConversionId, &'a ConversionTransitioned> {
    let mut last: BTreeMap<ConversionId, &ConversionTransitioned> = BTreeMap::new();
    let mut seqs: BTreeMap<ConversionId, i32> = BTreeMap::new();
    for change in &topics.transitions {
        let (id, order) = (change.conversion_id, &change.external_order_id);
        let before = last.insert(id, change).map_or(0, |before| before.revision);
        assert_eq!(change.revision, before + 1, "{run}: order {order}: the revision after {before}");
        let seq = seqs.entry(id).or_default();
        for entry in &change.timeline {
            assert_eq!(entry.seq, *seq + 1, "{run}: order {order}: the timeline entry after {seq}");
            *seq = entry.seq;
        }
        let report = reports.get(&id).unwrap_or_else(|| panic!("{run}: order {order} was never reported"));
        assert_eq!(change.event_id, report.event_id, "{run}: order {order} is not of its first report");
    }
    assert_eq!(last.len(), by_id.len(), "{run}: one conversion for each order");
    for (id, order) in by_id {
        let change = last.get(id).unwrap_or_else(|| panic!("{run}: order {} has no conversion", order.id));
        let name = &order.id;
        assert_eq!(word(change.state), order.final_state(), "{run}: order {name}: {order:?}, {change:?}");
        assert_eq!(change.amount_minor, order.amount_minor, "{run}: order {name}");
        let high = order.click == Click::Own;
        let confidence = if high { Confidence::High } else { Confidence::Low };
        assert_eq!(change.confidence, Some(confidence), "{run}: order {name}");
        let commission = change.commission.as_ref().map(|commission| commission.amount_minor);
        assert_eq!(commission, order.commission_minor(), "{run}: the commission of order {name}");
    }
    last
}

fn word(state: ConversionState) -> String {
    serde_json::to_value(state).expect("a word").as_str().expect("a word").to_owned()
}

/// Each order asked once for its click, and got at most one answer.
fn clicks(topics: &Topics, by_id: &BTreeMap<ConversionId, &Order>, run: &str) {
    let mut asked = BTreeSet::new();
    for lookup in &topics.lookups {
        let order = (&lookup.merchant_id, &lookup.external_order_id);
        assert!(asked.insert(order), "{run}: order {order:?} asked twice for its click");
    }
    let mut matched = BTreeSet::new();
    for verdict in &topics.verdicts {
        let order = (&verdict.merchant_id, &verdict.external_order_id);
        assert!(matched.insert(order) && asked.contains(&order), "{run}: a click too many for order {order:?}");
    }
    let of = |wanted: fn(Click) -> bool| by_id.values().filter(|order| wanted(order.click)).count();
    assert_eq!(asked.len(), of(|click| click != Click::Missing), "{run}: lookups");
    assert_eq!(matched.len(), of(|click| matches!(click, Click::Own | Click::Foreign)), "{run}: verdicts");
}

/// Each conversion has one commission if it is HIGH, of one amount, and none otherwise.
fn commissions(
    topics: &Topics,
    by_id: &BTreeMap<ConversionId, &Order>,
    last: &BTreeMap<ConversionId, &ConversionTransitioned>,
    run: &str,
) {
    let mut revisions = BTreeSet::new();
    let mut latest = BTreeMap::new();
    for change in &topics.commissions {
        let (id, order) = (change.conversion_id, &change.external_order_id);
        assert!(revisions.insert((id, change.revision)), "{run}: order {order}: revision {} twice", change.revision);
        let expected = by_id.get(&id).and_then(|order| order.commission_minor());
        assert_eq!(Some(change.commission.amount_minor), expected, "{run}: a commission of order {order}");
        assert!(change.revision <= last[&id].revision, "{run}: order {order}: a commission ahead of its conversion");
        latest.insert(id, change.state);
    }
    for (id, order) in by_id {
        let expected = order.commission_minor().map(|_| match order.final_state() {
            "reversed" => CommissionState::Reversed,
            "payable" => CommissionState::Payable,
            _ => CommissionState::Created,
        });
        assert_eq!(latest.get(id).copied(), expected, "{run}: the last commission of order {}", order.id);
    }
}

/// No entry is there twice, and each conversion's come to its commission, or to nothing if it was reversed.
fn entries(topics: &Topics, last: &BTreeMap<ConversionId, &ConversionTransitioned>, run: &str) {
    let mut ids = BTreeSet::new();
    let mut net: BTreeMap<(ConversionId, Account), i64> = BTreeMap::new();
    for entry in &topics.entries {
        assert!(ids.insert(&entry.entry_id), "{run}: ledger entry {} twice", entry.entry_id);
        assert_ne!(entry.debit, entry.credit, "{run}: {entry:?}");
        assert!(entry.amount_minor > 0, "{run}: {entry:?}");
        assert!(last.contains_key(&entry.conversion_id), "{run}: of no conversion: {entry:?}");
        *net.entry((entry.conversion_id, entry.debit)).or_default() -= entry.amount_minor;
        *net.entry((entry.conversion_id, entry.credit)).or_default() += entry.amount_minor;
    }
    for (id, change) in last {
        let commission = change.commission.as_ref().map_or(0, |commission| commission.amount_minor);
        let (pending, payable) = match change.state {
            ConversionState::Payable => (0, commission),
            ConversionState::Reversed => (0, 0),
            _ => (commission, 0),
        };
        let of = |account| net.get(&(*id, account)).copied().unwrap_or(0);
        let booked = (of(Account::AffiliatePending), of(Account::AffiliatePayable), of(Account::MerchantReceivable));
        let derived = (pending, payable, -(pending + payable));
        assert_eq!(booked, derived, "{run}: the ledger of order {}: {change:?}", change.external_order_id);
    }
}

/// The balances follow the entries one by one, and those of each ledger sum to zero.
fn balances(topics: &Topics, run: &str) {
    let mut booked: BTreeMap<(Ledger<'_>, Account), (i128, i64)> = BTreeMap::new();
    for entry in &topics.entries {
        let ledger = (entry.affiliate_id.as_str(), entry.currency.code(), entry.livemode);
        for (account, change) in [(entry.debit, -entry.amount_minor), (entry.credit, entry.amount_minor)] {
            let account = booked.entry((ledger, account)).or_default();
            *account = (account.0 + i128::from(change), account.1 + 1);
        }
    }
    let mut told: BTreeMap<(Ledger<'_>, Account), (i128, i64)> = BTreeMap::new();
    let mut applied = BTreeSet::new();
    for change in &topics.balances {
        let account = ((change.affiliate_id.as_str(), change.currency.code(), change.livemode), change.account);
        let before = told.insert(account, (change.balance_minor.0, change.entries)).map_or(0, |(_, entries)| entries);
        assert_eq!(change.entries, before + 1, "{run}: the entry of {account:?} after {before}");
        assert!(applied.insert((account, &change.entry_id)), "{run}: {} booked twice", change.entry_id);
    }
    assert_eq!(told, booked, "{run}: the last balances are the sums of the entries");
    let mut sums: BTreeMap<Ledger<'_>, i128> = BTreeMap::new();
    for ((ledger, _), (balance, _)) in &told {
        *sums.entry(*ledger).or_default() += balance;
    }
    assert!(sums.values().all(|sum| *sum == 0), "{run}: the ledgers sum to {sums:?}");
}
