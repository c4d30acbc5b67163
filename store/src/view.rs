//! The read model, as its readers see it.

use std::future::Future;

use schemas::ids::ConversionId;
use schemas::records::{ConversionTransitioned, TimelineEntry};

/// One conversion with all of its timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionView {
    /// The conversion as of its last revision; its own `timeline` is empty here.
    pub conversion: ConversionTransitioned,
    /// Every entry, by `seq`.
    pub timeline: Vec<TimelineEntry>,
}

/// Why the read model could not answer.
#[derive(Debug, thiserror::Error)]
#[error("read model: {0}")]
pub struct ReadError(pub String);

/// What can be asked of the read model.
pub trait ReadModel: Send + Sync + 'static {
    /// A conversion by id. One whose report was answered 202 is always found, `received` at least.
    fn conversion(&self, id: ConversionId) -> impl Future<Output = Result<Option<ConversionView>, ReadError>> + Send;
}
