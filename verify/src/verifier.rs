//! The verifier: takes the records, and judges them at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oracle::{Event, keys};
use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{
    BalanceChanged, ClickLookupRequested, ClickMatched, CommissionChanged, ConversionSettled, ConversionTransitioned,
    DeadLetter, LedgerEntry, PayoutChanged,
};
use schemas::registry::Registry;
use schemas::topics::numbers::{
    BALANCES, CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS, COMMISSIONS, CONVERSIONS, DEAD_LETTERS, LEDGER_ENTRIES,
    PAYOUT_REPORTS, PAYOUTS, SETTLEMENTS, TRANSITIONS,
};
use schemas::{AvroRecord, Timestamp};

use crate::accounts::{Accounts, Reading};
use crate::clicks::{self, Clicks};
use crate::facts;
use crate::judge::Judge;
use crate::letters::Letters;
use crate::money::{self, Sight};
use crate::orders::Order;
use crate::payouts::{self, Payouts};
use crate::report::{Counts, Found, Place, Report, Subject};
use crate::revisions::{self, With};
use crate::terms::Terms;

/// What is demanded, and what is known of the log as a whole.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far clocks may be off, how late a timer may fire and a registry be taken over, in milliseconds.
    pub tolerance_ms: i64,
    /// Most differences that are listed; all are counted.
    pub listed_max: usize,
    /// Whether the outputs went on being written while they were read, so that `commissions` and `ledger-entries` may
    /// have what `transitions` does not have yet.
    pub concurrent: bool,
    /// Whether old records of `balances` are dropped but for the last of each account.
    pub compacted: bool,
    /// Partitions, by topic number, that do not begin at their beginning any more.
    pub lost: BTreeSet<(u16, u32)>,
}

impl Options {
    /// Whether a partition of a topic has lost its beginning; with nothing, whether any of the topic has.
    pub(crate) fn has_lost(&self, topic: u16, partition: Option<u32>) -> bool {
        match partition {
            Some(partition) => self.lost.contains(&(topic, partition)),
            None => self.lost.iter().any(|(lost, _)| *lost == topic),
        }
    }
}

/// Takes every record of a log, and says what is wrong with it.
#[derive(Debug)]
pub struct Verifier {
    options: Options,
    terms: Terms,
    orders: BTreeMap<ConversionId, Box<Order>>,
    clicks: Clicks,
    accounts: Accounts,
    payouts: Payouts,
    letters: Letters,
    counts: Counts,
    last_change: Option<Timestamp>,
    found: Found,
}

/// A record as it is shown.
#[derive(Clone, Copy, Debug)]
struct Shown<'a> {
    place: Place,
    key: &'a [u8],
    value: &'a [u8],
}

impl Verifier {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(options: Options) -> Verifier {
        let found = Found::new(options.listed_max);
        Verifier {
            options,
            terms: Terms::default(),
            orders: BTreeMap::new(),
            clicks: Clicks::default(),
            accounts: Accounts::default(),
            payouts: Payouts::default(),
            letters: Letters::default(),
            counts: Counts::default(),
            last_change: None,
            found,
        }
    }

    /// A registry that was in force, nobody knows when. All registries are told before the first record.
    pub fn registry(&mut self, registry: Arc<Registry>) {
        self.terms.undated(registry);
    }

    /// A registry that was in force from then until the next one; nothing if it is not known any more.
    pub fn registry_from(&mut self, from: Timestamp, registry: Option<Arc<Registry>>) {
        self.terms.dated(from, registry);
    }

    /// When the last change of a conversion that was taken was derived.
    #[must_use]
    pub fn last_change(&self) -> Option<Timestamp> {
        self.last_change
    }

    /// Takes a record of the topic with this number, after those that it was made from and those before it in its
    /// partition; the registry, changelogs and webhooks are passed over.
    pub fn take(&mut self, topic: u16, partition: u32, offset: u64, key: &[u8], value: &[u8]) {
        let record = Shown { place: Place { topic, partition, offset }, key, value };
        match topic {
            CONVERSIONS => self.fact(record),
            CLICKS => self.click(record),
            CLICK_LOOKUPS => self.decoded(record, Self::asked),
            CLICK_VERDICTS => self.decoded(record, Self::matched),
            TRANSITIONS => self.decoded(record, Self::changed),
            COMMISSIONS => self.decoded(record, Self::commission),
            LEDGER_ENTRIES => self.decoded(record, Self::entry),
            BALANCES => self.decoded(record, Self::balance),
            PAYOUT_REPORTS => self.payouts.reported(record.key, record.value, record.place, &mut self.letters),
            PAYOUTS => self.decoded(record, Self::payout),
            SETTLEMENTS => self.decoded(record, Self::settled),
            DEAD_LETTERS => self.decoded(record, Self::letter),
            _ => return,
        }
        *self.counts.records.entry(topic).or_default() += 1;
        self.counts.ends.insert((topic, partition), offset + 1);
    }

    /// Judges what was read as of an instant, the consumers of each partition, by topic number, having committed these
    /// offsets.
    #[must_use]
    pub fn finish(mut self, at: Timestamp, committed: &BTreeMap<(u16, u32), u64>) -> Report {
        let processed = |place: Place| {
            committed.get(&(place.topic, place.partition)).is_some_and(|committed| place.offset < *committed)
        };
        let judge =
            Judge { terms: &self.terms, clicks: &self.clicks, options: &self.options, at, processed: &processed };
        for order in self.orders.values() {
            judge.judge(order, &mut self.counts, &mut self.found);
        }
        // The balances that a payout's change leaves are written with it.
        let (payouts, settled) = (&self.payouts, Timestamp(at.0.saturating_sub(self.options.tolerance_ms)));
        let balanced = |place: Place| processed(place) || payouts.changed_before(place, settled);
        self.counts.entries_pending = self.accounts.judge(balanced, &mut self.found);
        self.counts.payouts = self.payouts.len();
        let with = payouts::With {
            terms: &self.terms,
            accounts: &self.accounts,
            options: &self.options,
            at,
            processed: &processed,
        };
        self.payouts.judge(&with, &mut self.letters, &mut self.found);
        self.counts.clicks = self.clicks.len();
        self.counts.accounts = self.accounts.len();
        self.counts.dead_letters = self.letters.count;
        self.letters.judge(
            processed,
            |place| self.options.has_lost(place.topic, Some(place.partition)),
            &mut self.found,
        );
        self.found.report(self.counts, at)
    }

    fn sight(&self) -> Sight {
        Sight { concurrent: self.options.concurrent, lost: self.options.has_lost(TRANSITIONS, None) }
    }

    fn fact(&mut self, record: Shown<'_>) {
        let Some(fact) = facts::fact(record.key, record.value) else {
            self.letters.refused(record.place);
            return;
        };
        let key = String::from_utf8_lossy(record.key).into_owned();
        if matches!(fact, Event::Review(_)) && !self.is_reported(&key) {
            // Of an order whose report the log has lost, nobody knows whether it was refused.
            if !self.options.has_lost(CONVERSIONS, Some(record.place.partition)) {
                self.letters.refused(record.place);
            }
            return;
        }
        let Some((order, found)) = order(&mut self.orders, &mut self.found, &key, record.place) else { return };
        let offset = record.place.offset;
        match fact {
            Event::Report(report) => order.reported(report, offset, found),
            Event::Status(update) => order.updated(&update, offset, found),
            Event::Review(decided) => order.decided(&decided, offset, found),
            Event::Clock(advanced) => order.advanced(&advanced, offset, found),
        }
    }

    fn is_reported(&mut self, key: &str) -> bool {
        known(&mut self.orders, key).is_some_and(|order| order.report.is_some())
    }

    fn click(&mut self, record: Shown<'_>) {
        let click = facts::click(record.key, record.value);
        if !click.is_some_and(|click| self.clicks.take(&click, record.place)) {
            self.letters.refused(record.place);
        }
    }

    /// Decodes a record that only processors write.
    fn decoded<R: AvroRecord>(&mut self, record: Shown<'_>, then: impl FnOnce(&mut Self, Shown<'_>, R)) {
        match schemas::decode(record.value) {
            Ok(value) => then(self, record, value),
            Err(error) => {
                let key = String::from_utf8_lossy(record.key).into_owned();
                let what = format!("{key}: {error}");
                self.found.add(|| Subject::Record, "record", "a record that decodes", what, &[record.place]);
            }
        }
    }

    /// A record's key must be that of what it speaks of.
    fn same_key(&mut self, record: Shown<'_>, expected: &str, subject: impl FnOnce() -> Subject) {
        if record.key != expected.as_bytes() {
            let key = String::from_utf8_lossy(record.key).into_owned();
            self.found.add(subject, "key", expected, key, &[record.place]);
        }
    }

    fn asked(&mut self, record: Shown<'_>, lookup: ClickLookupRequested) {
        self.same_key(record, &lookup.click_id, || clicks::subject(&lookup.click_id));
        let lost = self.options.has_lost(CONVERSIONS, None);
        let key = keys::order(&lookup.merchant_id, lookup.livemode, &lookup.external_order_id);
        // Its partition is the click's, and says nothing of the order's.
        let Some(order) = known(&mut self.orders, &key) else {
            return self.of_nothing(&key, "clickLookup", record.place, lost);
        };
        Clicks::asked(order, &lookup, record.place, lost, &mut self.found);
    }

    fn matched(&mut self, record: Shown<'_>, verdict: ClickMatched) {
        let lost = self.options.has_lost(CLICK_LOOKUPS, None)
            || self.options.has_lost(CLICKS, None)
            || self.options.has_lost(CONVERSIONS, None);
        let key = keys::order(&verdict.merchant_id, verdict.livemode, &verdict.external_order_id);
        self.same_key(record, &key, || Subject::order(&key));
        let Some((order, found)) = order(&mut self.orders, &mut self.found, &key, record.place) else { return };
        self.clicks.matched(order, &verdict, record.place, lost, found);
    }

    fn changed(&mut self, record: Shown<'_>, now: ConversionTransitioned) {
        let Place { partition, offset, .. } = record.place;
        let lost =
            self.options.has_lost(TRANSITIONS, Some(partition)) || self.options.has_lost(CONVERSIONS, Some(partition));
        let key = keys::order(&now.merchant_id, now.livemode, &now.external_order_id);
        self.same_key(record, &key, || Subject::order(&key));
        self.last_change = self.last_change.max(Some(now.at));
        let Some((order, found)) = order(&mut self.orders, &mut self.found, &key, record.place) else { return };
        let with = With { terms: &self.terms, tolerance_ms: self.options.tolerance_ms, lost };
        revisions::take(order, now, offset, with, found);
    }

    fn commission(&mut self, record: Shown<'_>, commission: CommissionChanged) {
        let (merchant_id, livemode) = (&commission.merchant_id, commission.livemode);
        let key = keys::order(merchant_id, livemode, &commission.external_order_id);
        self.same_key(record, &key, || Subject::order(&key));
        let sight = self.sight();
        let Some(order) = known(&mut self.orders, &key) else {
            return self.of_nothing(&key, "commissions", record.place, sight.lost || sight.concurrent);
        };
        money::commission(order, &commission, record.place, sight, &mut self.found);
    }

    fn entry(&mut self, record: Shown<'_>, entry: LedgerEntry) {
        self.counts.entries += 1;
        let ledger = keys::ledger(&entry.affiliate_id, entry.currency.code(), entry.livemode);
        self.same_key(record, &ledger, || Subject::Account(ledger.clone()));
        let lost = self.options.has_lost(LEDGER_ENTRIES, Some(record.place.partition));
        self.accounts.book(&ledger, &entry, record.place, lost);
        let sight = self.sight();
        if let Some(order) = self.orders.get_mut(&entry.conversion_id) {
            money::entry(order, &entry, record.place, sight, &mut self.found);
        } else if !sight.concurrent && !sight.lost {
            let what = format!("{} of {}", entry.entry_id, entry.conversion_id);
            let subject = || Subject::Account(ledger.clone());
            self.found.add(subject, "ledgerEntry", "an entry of a conversion", what, &[record.place]);
        }
    }

    fn balance(&mut self, record: Shown<'_>, balance: BalanceChanged) {
        let ledger = keys::ledger(&balance.affiliate_id, balance.currency.code(), balance.livemode);
        let name = keys::account(&ledger, balance.account);
        self.same_key(record, &name, || Subject::Account(name.clone()));
        let how = Reading { lost: self.options.has_lost(LEDGER_ENTRIES, None), compacted: self.options.compacted };
        self.accounts.told(&name, &balance, record.place, how, &mut self.found);
    }

    fn payout(&mut self, record: Shown<'_>, payout: PayoutChanged) {
        let ledger = keys::ledger(&payout.affiliate_id, payout.currency.code(), payout.livemode);
        self.same_key(record, &ledger, || Subject::Account(ledger.clone()));
        let lost = self.options.has_lost(LEDGER_ENTRIES, None) || self.options.has_lost(PAYOUTS, None);
        self.accounts.payout(&ledger, &payout, record.place, lost, &mut self.found);
        self.payouts.changed(&ledger, payout, record.place, lost, &mut self.found);
    }

    fn settled(&mut self, record: Shown<'_>, settled: ConversionSettled) {
        let key = keys::order(&settled.merchant_id, settled.livemode, &settled.external_order_id);
        self.same_key(record, &key, || Subject::order(&key));
        self.payouts.settled(&key, &settled, record.place);
        let Some((order, _)) = order(&mut self.orders, &mut self.found, &key, record.place) else { return };
        order.settled = Some(record.place.offset);
        order.paid_minor += i128::from(settled.amount_minor);
    }

    fn letter(&mut self, record: Shown<'_>, letter: DeadLetter) {
        self.letters.letter(&letter, record.place, &mut self.found);
    }

    /// A record about an order that was never reported.
    fn of_nothing(&mut self, key: &str, field: &'static str, place: Place, lost: bool) {
        if !lost {
            self.found.add(|| Subject::order(key), field, "an order that was reported", "none", &[place]);
        }
    }
}

fn known<'a>(orders: &'a mut BTreeMap<ConversionId, Box<Order>>, key: &str) -> Option<&'a mut Order> {
    let id = OrderKey::from_bytes(key.as_bytes())?.conversion_id();
    orders.get_mut(&id).map(|order| &mut **order)
}

/// The order with this key, which has a record in this partition; nothing if it can be no order's.
fn order<'a>(
    orders: &'a mut BTreeMap<ConversionId, Box<Order>>,
    found: &'a mut Found,
    key: &str,
    place: Place,
) -> Option<(&'a mut Order, &'a mut Found)> {
    let Some(id) = OrderKey::from_bytes(key.as_bytes()).map(|key| key.conversion_id()) else {
        found.add(|| Subject::Record, "key", "an order's", key, &[place]);
        return None;
    };
    let order = orders.entry(id).or_insert_with(|| Box::new(Order::new(key, place.partition)));
    if order.partition != place.partition {
        let expected = format!("partition {}, as its other records", order.partition);
        found.add(|| order.subject(), "partition", expected, place.partition.to_string(), &[place]);
    }
    Some((order, found))
}
