//! What must have become of an order, once all is read.

use std::collections::{BTreeMap, BTreeSet};

use oracle::{End, Now, Order as Facts, Reviews, order_end};
use schemas::Timestamp;
use schemas::records::{
    ClickRecorded, ConversionReported, ConversionTransitioned, OrderStatusReported, ReportedStatus,
};
use schemas::topics::{CLICK_VERDICTS, CLICKS, COMMISSIONS, CONVERSIONS, LEDGER_ENTRIES, SETTLEMENTS, TRANSITIONS};

use crate::clicks::Clicks;
use crate::digest::Digest;
use crate::money;
use crate::orders::{Order, Update};
use crate::report::{Counts, Found, Place};
use crate::terms::Terms;
use crate::verifier::Options;

/// Of more updates and conflicts than these a conversion tells no more; of more partial refunds the last do not count.
const TOLD_MAX: usize = 100;
/// How long after it was made a click or a question may be processed, clocks that are off included.
const DELAY_MAX_MS: i64 = 86_400_000;

/// What orders are judged by.
pub(crate) struct Judge<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) clicks: &'a Clicks,
    pub(crate) options: &'a Options,
    pub(crate) at: Timestamp,
    pub(crate) processed: &'a dyn Fn(Place) -> bool,
}

impl Judge<'_> {
    pub(crate) fn judge(&self, order: &Order, counts: &mut Counts, found: &mut Found) {
        counts.conversions += u64::from(order.last.is_some());
        let commissions_lost = self.options.has_lost(COMMISSIONS.number, Some(order.partition));
        money::judge(order, commissions_lost, self.options.has_lost(LEDGER_ENTRIES.number, None), found);
        let Some(report) = order.first_report() else {
            counts.unreported += u64::from(order.last.is_none());
            counts.begun_before += u64::from(order.begun_before.is_some());
            return;
        };
        counts.orders += 1;
        if self.is_pending(order, &report) {
            counts.pending += 1;
            return;
        }
        let lost =
            [CONVERSIONS, TRANSITIONS].iter().any(|spec| self.options.has_lost(spec.number, Some(order.partition)));
        let Some(last) = order.last_revision() else {
            if lost {
                counts.begun_before += 1;
            } else {
                found.add(|| order.subject(), "conversion", "a conversion", "none", &order.places());
            }
            return;
        };
        if order.begun_before.is_some() {
            counts.begun_before += 1;
            return;
        }
        counts.judged += 1;
        self.joined(order, &report, found);
        facts_are_told(order, &report, found);
        self.ended(order, &report, &last, counts, found);
    }

    /// Whether a fact of it, or the answer to its question, is not processed yet.
    fn is_pending(&self, order: &Order, report: &ConversionReported) -> bool {
        let of = |topic: u16, offset: u64| Place { topic, partition: order.partition, offset };
        if !(self.processed)(of(CONVERSIONS.number, order.last_fact)) {
            return true;
        }
        if order.settled.is_some_and(|offset| !(self.processed)(of(SETTLEMENTS.number, offset))) {
            return true;
        }
        if let Some(click) = &order.click {
            return !(self.processed)(of(CLICK_VERDICTS.number, click.offset));
        }
        let asked = order.asked.as_ref().is_some_and(|asked| !(self.processed)(asked.place));
        let named = report.click_id.as_ref().and_then(|id| self.clicks.get(Digest::of(id)));
        asked || named.is_some_and(|click| !(self.processed)(click.place))
    }

    /// An order that names a click asked for it, and was answered if the click came while either was kept.
    fn joined(&self, order: &Order, report: &ConversionReported, found: &mut Found) {
        let joins_lost = self.options.has_lost(CLICK_VERDICTS.number, None);
        let named = report.click_id.as_deref();
        if order.asked.is_none() && named.is_some() && !joins_lost {
            found.add(|| order.subject(), "clickLookup", format!("for {named:?}"), "none", &order.places());
        }
        let (Some(asked), Some(id)) = (&order.asked, named) else { return };
        let Some(click) = self.clicks.get(Digest::of(id)) else { return };
        // Either may have been forgotten before the other came.
        let kept = self.terms.all().map(|registry| registry.policies().click_retention.as_millis()).min();
        let apart = (asked.at.0 - click.at.0).abs().saturating_add(DELAY_MAX_MS);
        let forgotten = kept.is_none_or(|kept| kept <= u128::from(apart.unsigned_abs()));
        if order.click.is_none() && !forgotten && !joins_lost {
            let mut places = order.places();
            places.extend([asked.place, click.place]);
            found.add(|| order.subject(), "clickVerdict", format!("one of {id:?}"), "none", &places);
        }
    }

    /// The conversion is what its facts say, under a registry that may have been in force.
    fn ended(
        &self,
        order: &Order,
        report: &ConversionReported,
        last: &ConversionTransitioned,
        counts: &mut Counts,
        found: &mut Found,
    ) {
        let now = Now { at: self.at, skew_ms: self.options.tolerance_ms };
        let counting = counting(order);
        let updates: Vec<OrderStatusReported> = counting.iter().map(|(_, update)| update.record(report)).collect();
        // What is set aside are the first in the log, of which some may not count.
        let aside = |all: usize| counting.iter().filter(|(index, _)| *index < all).count();
        let reviews = Reviews { set_aside: order.standing.set_aside.map(aside), ..order.standing.clone() };
        let click: Option<ClickRecorded> = order.click.as_ref().and_then(|it| schemas::decode(&it.record).ok());
        if click.is_none() && report.click_id.is_some() && last.affiliate_id.is_some() && self.is_gone(report) {
            // What attributed it is no longer in the log.
            counts.judged -= 1;
            counts.begun_before += 1;
            return;
        }
        let (advanced_to, paid) = (order.advanced_to(), order.paid_minor > 0);
        let facts = Facts { report, updates: &updates, click: click.as_ref(), reviews: &reviews, advanced_to, paid };
        let decided = self.terms.in_force(order.attributed_at.unwrap_or(last.at), self.options.tolerance_ms);
        let begun = self.terms.in_force(order.begun_at, self.options.tolerance_ms);
        let mut nearest: Option<Vec<(&'static str, String, String)>> = None;
        for terms in &decided.known {
            for wait in &begun.known {
                let end: End = order_end(facts, terms, wait, now);
                let against = end.against(last);
                if nearest.as_ref().is_none_or(|nearest| against.len() < nearest.len()) {
                    nearest = Some(against);
                }
            }
        }
        let against = nearest.unwrap_or_default();
        if decided.or_another || begun.or_another {
            counts.terms_unknown += u64::from(!against.is_empty());
            return;
        }
        for (field, expected, it) in against {
            found.add(|| order.subject(), field, expected, it, &order.places());
        }
    }

    /// Whether the click that a report names may have been there, in a part of the log that is gone.
    fn is_gone(&self, report: &ConversionReported) -> bool {
        let known = report.click_id.as_ref().and_then(|id| self.clicks.get(Digest::of(id))).is_some();
        self.options.has_lost(CLICK_VERDICTS.number, None) && (known || self.options.has_lost(CLICKS.number, None))
    }
}

/// Each fact of the log stands in the timeline once, and in the last explanation; the conversion counts its conflicts.
fn facts_are_told(order: &Order, report: &ConversionReported, found: &mut Found) {
    let mut add = |field, expected: String, told: String| {
        found.add(|| order.subject(), field, expected, told, &order.places());
    };
    let own = order.click.as_ref().and_then(|it| schemas::decode::<ClickRecorded>(&it.record).ok());
    let own = u8::from(own.is_some_and(|click| click.merchant_id == report.merchant_id));
    let [reported, clicked, waited] = order.told;
    for (what, told, most, least) in
        [("its report", reported, 1, 1), ("its click", clicked, own, own), ("the end of its wait", waited, 1, 0)]
    {
        if !(least..=most).contains(&told) {
            add("timeline", format!("{what} told {least} to {most} times"), format!("{told} times"));
        }
    }
    for conflict in order.conflicts.iter().filter(|conflict| conflict.told != 1) {
        add(
            "timeline",
            format!("the conflict at offset {} told once", conflict.offset),
            format!("{} times", conflict.told),
        );
    }
    if order.reviews.len() <= TOLD_MAX {
        for review in order.reviews.iter().filter(|review| review.told == 0) {
            add("timeline", format!("the decision at offset {} told", review.offset), "never".to_owned());
        }
    }
    // Of an update that is in the log under several events, one stands for all.
    let mut updates: BTreeMap<_, u32> = BTreeMap::new();
    for update in &order.updates {
        *updates.entry(update.what()).or_default() += u32::from(update.told);
    }
    if updates.len() <= TOLD_MAX {
        let facts = 1 + updates.len() + usize::from(own);
        let told = order.last.as_ref().map_or(0, |last| last.explained_by);
        if told != facts {
            add("explanation", format!("by {facts} facts"), format!("by {told}"));
        }
        for ((status, at, refunded), told) in updates.into_iter().filter(|(_, told)| *told != 1) {
            add("timeline", format!("the update {status:?} {at:?} {refunded:?} told once"), format!("{told} times"));
        }
    }
    clocks_are_told(order, &mut add);
    let conflicts = order.last_revision().map_or(0, |last| last.conflicts);
    if usize::try_from(conflicts) != Ok(order.conflicts.len()) {
        found.add(
            || order.subject(),
            "conflicts",
            order.conflicts.len().to_string(),
            conflicts.to_string(),
            &order.places(),
        );
    }
}

/// Each event that made the order's time later stands in the timeline once; of those before the report only the last.
fn clocks_are_told(order: &Order, add: &mut impl FnMut(&'static str, String, String)) {
    let reported = order.report.as_ref().map_or(0, |report| report.offset);
    let (mut latest, mut times, mut expected) = (Timestamp::MIN, 0, BTreeSet::new());
    for clock in &order.clocks {
        if clock.advanced_to > latest {
            (latest, times) = (clock.advanced_to, times + 1);
            if clock.offset < reported {
                expected.clear();
            }
            expected.insert(clock.offset);
        }
    }
    for clock in order.clocks.iter().filter(|_| times <= TOLD_MAX) {
        let wanted = u8::from(expected.contains(&clock.offset));
        if clock.told != wanted {
            add(
                "timeline",
                format!("the clock moved to {} told {wanted} times", clock.advanced_to),
                format!("{} times", clock.told),
            );
        }
    }
}

/// The updates that count, each with its place among all: all, but of partial refunds the first.
fn counting(order: &Order) -> Vec<(usize, &Update)> {
    let mut refunds: BTreeMap<_, Timestamp> = BTreeMap::new();
    for update in order.updates.iter().filter(|update| update.refunded.is_some()) {
        let at = refunds.entry(update.what()).or_insert(update.at());
        *at = update.at().min(*at);
    }
    let mut refunds: Vec<_> = refunds.into_iter().map(|(what, at)| (at, what.2, what)).collect();
    refunds.sort_unstable();
    let beyond: BTreeSet<(ReportedStatus, Option<Timestamp>, Option<i64>)> =
        refunds.into_iter().skip(TOLD_MAX).map(|(_, _, what)| what).collect();
    order.updates.iter().enumerate().filter(|(_, update)| !beyond.contains(&update.what())).collect()
}
