//! The read model, as its readers see it.

use std::future::Future;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{Confidence, ConversionState, ConversionTransitioned, TimelineEntry};

use crate::payouts::{PayoutPage, PayoutQuery, PayoutView};

/// One conversion with all of its timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionView {
    /// The conversion as of its last revision; its own `timeline` is empty here.
    pub conversion: ConversionTransitioned,
    /// Every entry, by `seq`.
    pub timeline: Vec<TimelineEntry>,
}

/// Whose conversions a list has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListOf {
    /// One merchant's, and never another's.
    Merchant(String),
    /// All merchants', those that wait for a reviewer: no merchant is ever shown this one.
    ///
    /// It has no others but those that waited once, where a store keeps their rows: [`ListQuery::admits`] holds of each.
    Reviewers,
}

/// Which conversions to list, all of them in one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Whose.
    pub of: ListOf,
    /// Live, or the test namespace.
    pub livemode: bool,
    /// Only those in this state.
    pub state: Option<ConversionState>,
    /// Only those of this confidence.
    pub confidence: Option<Confidence>,
    /// Only those received at this instant or later.
    pub from: Option<Timestamp>,
    /// Only those received before this instant.
    pub until: Option<Timestamp>,
    /// Only those after this place in the list.
    pub after: Option<ListCursor>,
    /// Most rows of the page, at least 1.
    pub limit: usize,
}

impl ListQuery {
    /// Whether a conversion that is in this state and has this confidence is asked for.
    #[must_use]
    pub fn admits(&self, state: ConversionState, confidence: Option<Confidence>) -> bool {
        let is_of_list = match self.of {
            ListOf::Merchant(_) => true,
            ListOf::Reviewers => waits_for_review(state, confidence),
        };
        is_of_list
            && self.state.is_none_or(|asked| asked == state)
            && self.confidence.is_none_or(|asked| confidence == Some(asked))
    }

    /// Which part of the list is asked for.
    #[must_use]
    pub fn part(&self) -> Part {
        Part { from: self.from, until: self.until, after: self.after, limit: self.limit }
    }
}

/// Whether a conversion that is in this state and has this confidence waits for a reviewer: nobody is credited with it by
/// itself, and nobody has decided it.
#[must_use]
pub fn waits_for_review(state: ConversionState, confidence: Option<Confidence>) -> bool {
    state == ConversionState::Received && confidence == Some(Confidence::Low)
}

/// A place in a list: that of what was looked at. It never moves, since neither of the two ever changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListCursor {
    /// When a conversion's report was received; of a payout its cut-off.
    pub at: Timestamp,
    /// The id of a conversion; of a payout [`payout_digest`](crate::payouts::payout_digest).
    pub id: [u8; 16],
}

impl ListCursor {
    /// The place of a conversion.
    #[must_use]
    pub fn of(conversion: &ConversionTransitioned) -> ListCursor {
        ListCursor { at: conversion.received_at, id: conversion.conversion_id.0 }
    }
}

/// Which part of a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Only what is of this instant or later.
    pub from: Option<Timestamp>,
    /// Only what is of before this instant.
    pub until: Option<Timestamp>,
    /// Only what is after this place in the list.
    pub after: Option<ListCursor>,
    /// Most rows of the page, at least 1.
    pub limit: usize,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// Conversions as of their last revision, with no timeline and unexplained: an explanation would be held for each row of
    /// a page, and no list tells it.
    pub rows: Vec<ConversionTransitioned>,
    /// What to go on after; `None` when nothing is left. A page may have fewer rows than asked for, or none, and still
    /// end here: a store bounds what it looks at and what it returns for one page.
    pub next: Option<ListCursor>,
}

/// Why the read model could not answer.
#[derive(Debug, thiserror::Error)]
#[error("read model: {0}")]
pub struct ReadError(pub String);

/// What can be asked of the read model.
pub trait ReadModel: Send + Sync + 'static {
    /// A conversion by id. One whose report was answered 202 is always found, `received` at least.
    fn conversion(&self, id: ConversionId) -> impl Future<Output = Result<Option<ConversionView>, ReadError>> + Send;

    /// Conversions, newest first: by `received_at`, then by id, both descending. Whoever goes on from page to page gets
    /// each row that was there when they began once, and none twice, whatever arrives meanwhile.
    ///
    /// A conversion is in the list once its first transition is in the read model: a 202 alone does not put it there.
    fn list(&self, query: &ListQuery) -> impl Future<Output = Result<ListPage, ReadError>> + Send;

    /// A payout by id, once its making is in the read model.
    fn payout(&self, payout_id: &str) -> impl Future<Output = Result<Option<PayoutView>, ReadError>> + Send;

    /// Payouts, the latest cut-off first and those of one cut-off in a fixed order, with the same promise to whoever goes on
    /// from page to page.
    fn payouts(&self, query: &PayoutQuery) -> impl Future<Output = Result<PayoutPage, ReadError>> + Send;
}
