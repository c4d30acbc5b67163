//! Payouts: their changes, their list, and a page of it.
//!
//! A change never changes itself. It becomes visible before its row of the list, so whoever finds the row finds the
//! payout as well, perhaps further on: that is held against the question again.

use std::sync::Arc;

use bytes::Bytes;
use schemas::records::{PayoutChanged, PayoutState};
use streams::{StateStore, StoreError};

use super::Shared;
use super::fold::Batch;
use super::places::{BOUNDS, Bounds, Look, look, newest_first};
use super::rows::{PAYOUT_LIST, PAYOUTS, VALUE_VERSION, key, malformed, versioned};
use crate::payouts::{PayoutPage, PayoutQuery, PayoutView, change_number, payout_digest};
use crate::view::{ListCursor, ReadError};

/// The key of a payout's change; 0 is before the first.
fn change_key(digest: [u8; 16], change: u8) -> Vec<u8> {
    key(PAYOUTS, &[&digest, &[change]])
}

/// What the keys of the list begin with.
fn list_prefix() -> Vec<u8> {
    key(PAYOUT_LIST, &[])
}

/// The row of a payout in the list: after which change it is in what state.
fn list_row(payout: &PayoutChanged) -> (Vec<u8>, Bytes) {
    let mut value = vec![VALUE_VERSION, change_number(payout.state)];
    serde_json::to_writer(&mut value, &payout.state).expect("a word is plain data");
    (key(PAYOUT_LIST, &[&newest_first(ListCursor::of_payout(payout))]), value.into())
}

/// Reads back the value that [`list_row`] made.
fn parse_row(value: &[u8]) -> Result<(u8, PayoutState), StoreError> {
    let parse = || {
        let (change, json) = versioned(value)?.split_first()?;
        Some((*change, serde_json::from_slice(json).ok()?))
    };
    parse().ok_or_else(|| malformed("a row of the list of payouts", value))
}

fn decode(value: &[u8]) -> Result<PayoutChanged, StoreError> {
    let record = versioned(value).ok_or_else(|| malformed("a payout", value))?;
    schemas::decode(record).map_err(|error| StoreError { context: "decoding a payout", message: error.to_string() })
}

impl<S: StateStore> Batch<'_, S> {
    /// Adds what a change of a payout changes.
    pub(super) fn payout(&mut self, payout: &PayoutChanged) -> Result<(), StoreError> {
        let change = change_number(payout.state);
        let value = [&[VALUE_VERSION], &*schemas::encode(payout)].concat();
        self.changes.insert(change_key(payout_digest(&payout.payout_id), change), Some(value.into()));
        let (key, value) = list_row(payout);
        let before = self.get(&key)?.map(|value| parse_row(&value)).transpose()?;
        if before.is_none_or(|(before, _)| before < change) {
            self.changes.insert(key, Some(value));
        }
        Ok(())
    }
}

/// A payout, by the digest of its id.
fn payout<S: StateStore>(rows: &S, digest: [u8; 16]) -> Result<Option<PayoutView>, StoreError> {
    let mut changes = Vec::new();
    rows.scan(&change_key(digest, 0), &change_key(digest, u8::MAX), &mut |_, value| {
        changes.push(decode(value));
        true
    })?;
    Ok(PayoutView::of(changes.into_iter().collect::<Result<_, _>>()?))
}

/// A page of what is in the rows.
fn page<S: StateStore>(rows: &S, query: PayoutQuery, bounds: &Bounds) -> Result<PayoutPage, StoreError> {
    let admits = |value: &[u8]| parse_row(value).map(|(_, state)| query.admits(state));
    let Look { found, next } = look(rows, (&list_prefix(), query.part), bounds, admits)?;
    let mut page = PayoutPage { rows: Vec::with_capacity(found.len()), next };
    for place in found {
        let absent = || {
            let message = format!("that of {} is in a list and nowhere else: delete the state folder", place.at);
            StoreError { context: "reading a payout", message }
        };
        let found = payout(rows, place.id)?.ok_or_else(absent)?;
        if query.admits(found.current().state) {
            page.rows.push(found.current().clone());
        }
    }
    Ok(page)
}

impl Shared {
    /// From the caller's own thread: two rows at most.
    pub(super) fn payout(&self, payout_id: &str) -> Result<Option<PayoutView>, StoreError> {
        payout(&self.rows, payout_digest(payout_id))
    }

    pub(super) async fn payouts(self: &Arc<Self>, query: &PayoutQuery) -> Result<PayoutPage, ReadError> {
        let query = *query;
        self.page("payouts", move |rows| page(rows, query, &BOUNDS)).await
    }
}
