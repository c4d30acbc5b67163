//! What reviewers have decided of an order.

use schemas::records::{
    ClickRecorded, Confidence, ConfidenceReason, ConversionReported, ConversionState, ConversionTransitioned,
    OrderStatusReported, Review, ReviewDecision,
};

use super::course::course;

/// What of the decisions on an order stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviews {
    /// The approval or the rejection.
    pub decided: Option<Decision>,
    /// Of how many updates, the first in the log, the reversals are set aside; the report's own with them.
    pub set_aside: Option<usize>,
}

/// An approval or a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whom an approval credits; nobody is by a rejection.
    pub affiliate_id: Option<String>,
    /// The campaign of the click named, if it was that affiliate's and had come.
    pub campaign_id: Option<String>,
    /// Why the order was LOW.
    pub reason: ConfidenceReason,
}

/// What was known of an order when a decision on it came.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The report.
    pub report: &'a ConversionReported,
    /// The updates that are before the decision in the log.
    pub updates: &'a [OrderStatusReported],
    /// The order's own merchant's click that it names, if the timeline had told of it.
    pub click: Option<&'a ClickRecorded>,
    /// The last revision.
    pub last: &'a ConversionTransitioned,
    /// The last revision that changed more than the timeline.
    pub changed_in: i64,
}

impl Reviews {
    /// Takes a decision, and says whether it counts: the first on what was shown does, if it is one that may be made then.
    pub fn take(&mut self, review: &Review, seen: Seen<'_>) -> bool {
        let Seen { report, updates, last, .. } = seen;
        let shown = seen.changed_in <= review.revision && review.revision <= last.revision;
        let waits = match (last.state, last.confidence) {
            (ConversionState::Received, Some(Confidence::Low)) => last.confidence_reason,
            _ => None,
        };
        match review.decision {
            _ if !shown => false,
            ReviewDecision::Approve | ReviewDecision::Reject => {
                let Some(reason) = waits else { return false };
                let affiliate_id = review.affiliate_id.clone();
                let theirs = seen.click.filter(|click| Some(&click.affiliate_id) == affiliate_id.as_ref());
                let campaign_id = theirs.map(|click| click.campaign_id.clone());
                self.decided = Some(Decision { affiliate_id, campaign_id, reason });
                true
            }
            ReviewDecision::Reinstate if last.state == ConversionState::Rejected => {
                self.decided = None;
                true
            }
            ReviewDecision::Reinstate if last.state == ConversionState::Reversed => {
                // What the partial refunds leave nothing of stays reversed.
                let brings_back = !course(report, updates, Some(updates.len())).reversed;
                if brings_back {
                    self.set_aside = Some(updates.len());
                }
                brings_back
            }
            ReviewDecision::Reinstate => false,
        }
    }
}

/// Whether two revisions differ in more than their timelines.
#[must_use]
pub fn changes(before: &ConversionTransitioned, now: &ConversionTransitioned) -> bool {
    let timeless = |it: &ConversionTransitioned| ConversionTransitioned {
        revision: 0,
        seq: 0,
        conflicts: 0,
        timeline: Vec::new(),
        explanation: None,
        at: schemas::Timestamp(0),
        ..it.clone()
    };
    timeless(before) != timeless(now)
}
