//! The read model, as its readers see it.

use std::future::Future;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{Confidence, ConversionState, ConversionTransitioned, TimelineEntry};

/// One conversion with all of its timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionView {
    /// The conversion as of its last revision; its own `timeline` is empty here.
    pub conversion: ConversionTransitioned,
    /// Every entry, by `seq`.
    pub timeline: Vec<TimelineEntry>,
}

/// Which conversions to list: those of one merchant in one mode, and never another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// The merchant.
    pub merchant_id: String,
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
        self.state.is_none_or(|asked| asked == state) && self.confidence.is_none_or(|asked| confidence == Some(asked))
    }
}

/// A place in the list: that of a conversion which was looked at. It never moves, since neither of the two ever changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListCursor {
    /// When its report was received.
    pub received_at: Timestamp,
    /// Its id.
    pub conversion_id: ConversionId,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// Conversions as of their last revision, with no timeline.
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
}
