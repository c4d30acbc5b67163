//! Clicks, and what orders and clicks ask and tell each other.

use std::collections::BTreeMap;

use schemas::records::{ClickLookupRequested, ClickMatched, ClickRecorded};
use schemas::{Timestamp, encode};

use crate::digest::{Digest, packed, short};
use crate::orders::{Asked, Matched, Order};
use crate::report::{Found, Place, Subject};

/// The clicks of the log, each in its first form.
#[derive(Debug, Default)]
pub(crate) struct Clicks(BTreeMap<Digest, Click>);

/// What is kept of a click.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Click {
    says: u64,
    pub(crate) at: Timestamp,
    pub(crate) place: Place,
}

impl Clicks {
    /// Takes a click; false if another one has its id, which cannot be processed.
    pub(crate) fn take(&mut self, click: &ClickRecorded, place: Place) -> bool {
        let says = short(&encode(click));
        let known = self.0.entry(Digest::of(&click.click_id));
        known.or_insert(Click { says, at: click.clicked_at, place }).says == says
    }

    pub(crate) fn get(&self, id: Digest) -> Option<Click> {
        self.0.get(&id).copied()
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// An order asks for the click that its report names, once.
    pub(crate) fn asked(order: &mut Order, lookup: &ClickLookupRequested, place: Place, lost: bool, found: &mut Found) {
        let named = order.first_report().and_then(|report| report.click_id);
        if named.as_ref() != Some(&lookup.click_id) && !lost {
            let (expected, asked) = (format!("for {named:?}"), format!("for {:?}", lookup.click_id));
            found.add(|| order.subject(), "clickLookup", expected, asked, &with(order, place));
        }
        if order.asked.is_some() {
            found.add(|| order.subject(), "clickLookup", "one question", "another", &with(order, place));
            return;
        }
        order.asked = Some(Asked { click: Digest::of(&lookup.click_id), place, at: lookup.asked_at });
    }

    /// An order is told of the click that it asked for, as it is in the log, once.
    pub(crate) fn matched(
        &self,
        order: &mut Order,
        verdict: &ClickMatched,
        place: Place,
        lost: bool,
        found: &mut Found,
    ) {
        let id = Digest::of(&verdict.click.click_id);
        if order.asked.as_ref().map(|asked| asked.click) != Some(id) && !lost {
            let told = format!("{:?}", verdict.click.click_id);
            found.add(|| order.subject(), "clickVerdict", "the click asked for", told, &with(order, place));
        }
        let same = self.get(id).map(|click| click.says == short(&encode(&verdict.click)));
        if !same.unwrap_or(lost) {
            let told = format!("{:?}", verdict.click);
            found.add(|| order.subject(), "clickVerdict", "the click in the log", told, &with(order, place));
        }
        if order.click.is_some() {
            found.add(|| order.subject(), "clickVerdict", "one answer", "another", &with(order, place));
            return;
        }
        let kept = ClickRecorded { click_id: String::new(), link_id: None, ..verdict.click.clone() };
        order.click = Some(Matched { offset: place.offset, record: packed(&kept) });
    }
}

fn with(order: &Order, place: Place) -> Vec<Place> {
    let mut places = order.places();
    places.push(place);
    places
}

/// The subject of something about a click.
pub(crate) fn subject(id: &str) -> Subject {
    Subject::Click(id.to_owned())
}
