//! What orders and clicks ask and tell each other.

use schemas::records::{ClickLookupRequested, ClickMatched};

use super::{Committed, Visible, same_key};
use crate::fault::{Faults, Invariant};
use crate::keys;

impl Committed {
    pub(super) fn asked(&mut self, record: Visible<'_>, lookup: ClickLookupRequested, faults: &mut Faults) {
        same_key(record, &lookup.click_id, faults);
        let key = keys::order(&lookup.merchant_id, lookup.livemode, &lookup.external_order_id);
        let named = self.report(&key).and_then(|report| report.click_id.as_deref());
        faults.check(Invariant::Lookup, named == Some(&*lookup.click_id), || {
            format!("{key}: asked for the click {}, and its report names {named:?}", lookup.click_id)
        });
        if let Some(before) = self.lookups.get(&key) {
            faults.add(Invariant::Lookup, format!("{key}: asked twice for its click: {before:?} and {lookup:?}"));
            return;
        }
        self.lookups.insert(key, lookup);
    }

    pub(super) fn answered(&mut self, record: Visible<'_>, verdict: ClickMatched, faults: &mut Faults) {
        let key = keys::order(&verdict.merchant_id, verdict.livemode, &verdict.external_order_id);
        same_key(record, &key, faults);
        let asked = self.lookups.get(&key).map(|lookup| &lookup.click_id);
        faults.check(Invariant::Verdict, asked == Some(&verdict.click.click_id), || {
            format!("{key}: asked for the click {asked:?}, and was told of {}", verdict.click.click_id)
        });
        let click = self.clicks.get(&verdict.click.click_id);
        faults.check(Invariant::Verdict, click == Some(&verdict.click), || {
            format!("{key}: was told {:?}, and the log has {click:?}", verdict.click)
        });
        if self.verdicts.contains_key(&key) {
            faults.add(Invariant::Verdict, format!("{key}: was told twice of the click {}", verdict.click.click_id));
            return;
        }
        self.verdicts.insert(key, verdict);
    }
}
