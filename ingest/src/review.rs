//! Reviews: a decision from the fields of a request to a record, and what became of it, as a timeline tells.

use schemas::ids::ConversionId;
use schemas::records::{
    CauseType, Confidence, ConfidenceReason, ConversionState, ConversionTransitioned, Review, ReviewDecided,
    ReviewDecision, TimelineEntry,
};
use schemas::registry::Registry;
use schemas::view::{ConversionBody, DamagedMetadata};
use schemas::{Timestamp, ids};
use serde::Serialize;
use store::{ConversionView, ListOf, ListPage, ListQuery, Part, waits_for_review};
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::clicks::known;
use crate::cursor;
use crate::error::Error;
use crate::fields::Reader;
use crate::listing::part;
use crate::openapi::words;
use crate::query::Parameters;

/// The fields of an approval.
pub(crate) const APPROVAL_FIELDS: &[&str] = &["revision", "affiliateId", "reason"];
/// The fields of any other decision.
pub(crate) const FIELDS: &[&str] = &["revision", "reason"];
/// The parameters of the queue.
pub(crate) const PARAMETERS: &[&str] = &["merchantId", "mode", "from", "to", "limit", "cursor"];

/// Most characters of a reason.
pub(crate) const REASON_CHARACTERS_MAX: usize = 500;
/// The highest revision that a decision may name.
pub(crate) const REVISION_MAX: i64 = 1 << 40;
/// The modes to filter by.
pub(crate) const MODES: &[(&str, bool)] = &[("live", true), ("test", false)];

/// What a reviewer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) decision: ReviewDecision,
    pub(crate) revision: i64,
    pub(crate) affiliate_id: Option<String>,
    pub(crate) reason: String,
}

/// Validates a decision.
///
/// # Errors
/// Every fault.
pub(crate) fn read(
    mut reader: Reader<'_>,
    decision: ReviewDecision,
    registry: &Registry,
) -> Result<Asked, Vec<String>> {
    const REVISION: &str = "revision";
    if reader.raw(REVISION).is_none() {
        reader.fault(format!("{REVISION} is required: that of the conversion which the decision is on"));
    }
    let revision = reader.whole(REVISION, 1, REVISION_MAX);
    let affiliate_id = match decision {
        ReviewDecision::Approve => affiliate_id(&mut reader, registry),
        ReviewDecision::Reject | ReviewDecision::Reinstate => None,
    };
    let reason = reader.required_text("reason", REASON_CHARACTERS_MAX);
    let asked =
        Asked { decision, revision: revision.unwrap_or_default(), affiliate_id, reason: reason.unwrap_or_default() };
    reader.finish().map(|()| asked)
}

fn affiliate_id(reader: &mut Reader<'_>, registry: &Registry) -> Option<String> {
    const NAME: &str = "affiliateId";
    if reader.raw(NAME).is_none() {
        reader.fault(format!("{NAME} is required: the id of the affiliate in the registry who is credited"));
    }
    known(reader, NAME, "affiliate", |id| registry.affiliate(id)).map(|affiliate| affiliate.id.clone())
}

/// Validates the parameters of the queue: what is LOW and undecided, in one mode, of all merchants or of one.
///
/// # Errors
/// Every fault.
pub(crate) fn queue(query: &str, registry: &Registry) -> Result<ListQuery, Vec<String>> {
    const MERCHANT: &str = "merchantId";
    let mut parameters = Parameters::parse(query, PARAMETERS);
    let merchant_id = parameters.text(MERCHANT);
    if let Some(id) = &merchant_id
        && registry.merchant(id).is_none()
    {
        parameters.refuse(MERCHANT, "must be the id of a merchant in the registry, or left out for all of them", id);
    }
    let livemode = parameters.word("mode", MODES).unwrap_or(true);
    let Part { from, until, after, limit } = part(&mut parameters);
    let query = ListQuery {
        of: merchant_id.map_or(ListOf::Reviewers, ListOf::Merchant),
        livemode,
        state: Some(ConversionState::Received),
        confidence: Some(Confidence::Low),
        from,
        until,
        after,
        limit,
    };
    parameters.finish().map(|()| query)
}

impl Asked {
    /// The fact of its being decided.
    pub(crate) fn record(
        self,
        conversion: &ConversionTransitioned,
        admin: &Admin,
        uuid: uuid::Uuid,
        request_id: &str,
        now: Timestamp,
    ) -> ReviewDecided {
        ReviewDecided {
            event_id: ids::event_id(ids::EventKind::Review, uuid),
            merchant_id: conversion.merchant_id.clone(),
            livemode: conversion.livemode,
            external_order_id: conversion.external_order_id.clone(),
            review: Review {
                decision: self.decision,
                revision: self.revision,
                affiliate_id: self.affiliate_id,
                reviewer: admin.name.clone(),
                role: admin.role.word().to_owned(),
                reason: self.reason,
                request_id: request_id.to_owned(),
            },
            decided_at: now,
        }
    }

    /// The decision that this one asks for again, if it is the last that counted: then it was this reviewer's.
    pub(crate) fn repeats<'a>(&self, view: &'a ConversionView, admin: &Admin) -> Option<Decided<'a>> {
        acts(view).filter(|act| act.applied).last().filter(|act| {
            let review = act.review;
            let (was, is) = ((review.decision, review.revision), (self.decision, self.revision));
            was == is && review.affiliate_id == self.affiliate_id && review.reviewer == admin.name
        })
    }

    /// Whether a conversion that is so far on is not to be decided like this any more.
    pub(crate) fn is_too_late(&self, conversion: &ConversionTransitioned) -> bool {
        let waits = waits_for_review(conversion.state, conversion.confidence);
        let fits = match self.decision {
            ReviewDecision::Approve | ReviewDecision::Reject => waits,
            ReviewDecision::Reinstate => {
                matches!(conversion.state, ConversionState::Rejected | ConversionState::Reversed)
            }
        };
        // Of a revision that the read model does not have yet nothing is known.
        self.revision <= conversion.revision && !fits
    }
}

/// A decision, as a timeline tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided<'a> {
    pub(crate) event_id: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) applied: bool,
    pub(crate) review: &'a Review,
}

/// Every decision in a timeline, each once: one may have brought the conversion through several states.
pub(crate) fn acts(view: &ConversionView) -> impl Iterator<Item = Decided<'_>> {
    let mut last = None;
    view.timeline.iter().filter_map(act).filter(move |act| last.replace(act.event_id) != Some(act.event_id))
}

fn act(entry: &TimelineEntry) -> Option<Decided<'_>> {
    let cause = &entry.cause;
    let (event_id, review) = (cause.event_id.as_deref()?, cause.review.as_ref()?);
    (cause.kind == CauseType::Review).then_some(Decided { event_id, at: entry.at, applied: cause.applied, review })
}

/// What a reviewer is told whose decision does not count.
pub(crate) fn conflict(view: &ConversionView) -> Error {
    let conversion = &view.conversion;
    let state = word(&conversion.state);
    let decided = match acts(view).filter(|act| act.applied).last() {
        Some(Decided { review, at, .. }) => {
            format!("{} by {} at {at} stands", word(&review.decision), review.reviewer)
        }
        None => "nobody has decided it".to_owned(),
    };
    Error::ReviewConflict(format!(
        "the conversion is {state} as of revision {}, and {decided}: read it again before you decide",
        conversion.revision
    ))
}

/// The contract's word for a value of an enumeration.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => unreachable!("an enumeration of the schemas is a word"),
    }
}

/// The answer to `GET /admin/v1/reviews`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueBody<'a> {
    data: Vec<ReviewBody<'a>>,
    next_cursor: Option<String>,
}

impl<'a> QueueBody<'a> {
    /// What reviewers see of a page.
    ///
    /// # Errors
    /// As for [`ConversionBody::of`].
    pub(crate) fn of(page: &'a ListPage) -> Result<QueueBody<'a>, Error> {
        let row = |conversion: &'a ConversionTransitioned| -> Result<ReviewBody<'a>, DamagedMetadata> {
            Ok(ReviewBody::new(conversion, ConversionBody::listed(conversion)?, None))
        };
        let data = page.rows.iter().map(row).collect::<Result<_, DamagedMetadata>>()?;
        Ok(QueueBody { data, next_cursor: page.next.map(cursor::encode) })
    }
}

/// A conversion as a reviewer reads it: an item of the queue, or the answer to `GET /admin/v1/reviews/{id}`.
#[derive(Serialize, ToSchema)]
#[schema(as = Review)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewBody<'a> {
    revision: i64,
    merchant_id: &'a str,
    /// Why it is LOW, also where the merchant is told less.
    #[schema(schema_with = words::true_reason)]
    reason: Option<ConfidenceReason>,
    #[schema(schema_with = words::conversion)]
    conversion: ConversionBody<'a>,
    /// Who decided what, those too that did not count. Not in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::acts)]
    acts: Option<Vec<ActBody<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActBody<'a> {
    event_id: &'a str,
    at: String,
    applied: bool,
    #[serde(flatten)]
    review: &'a Review,
}

impl<'a> ReviewBody<'a> {
    fn new(
        conversion: &'a ConversionTransitioned,
        body: ConversionBody<'a>,
        acts: Option<Vec<ActBody<'a>>>,
    ) -> ReviewBody<'a> {
        ReviewBody {
            revision: conversion.revision,
            merchant_id: &conversion.merchant_id,
            reason: conversion.confidence_reason,
            conversion: body,
            acts,
        }
    }

    /// One conversion with all that was decided of it.
    ///
    /// # Errors
    /// As for [`ConversionBody::of`].
    pub(crate) fn of(view: &'a ConversionView) -> Result<ReviewBody<'a>, Error> {
        let act = |Decided { event_id, at, applied, review }| ActBody { event_id, at: at.to_string(), applied, review };
        let body = ConversionBody::of(&view.conversion, &view.timeline)?;
        Ok(ReviewBody::new(&view.conversion, body, Some(acts(view).map(act).collect())))
    }
}

/// The answer to a decision that counts.
#[derive(Serialize, ToSchema)]
#[schema(as = Decided)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DecidedBody<'a> {
    #[schema(schema_with = words::event_id)]
    event_id: &'a str,
    status: &'static str,
    #[schema(schema_with = words::decision)]
    decision: ReviewDecision,
    #[schema(schema_with = words::conversion_id)]
    conversion_id: ConversionId,
    revision: i64,
    #[schema(schema_with = words::state)]
    state: ConversionState,
}

impl<'a> DecidedBody<'a> {
    pub(crate) fn new(view: &'a ConversionView, act: Decided<'a>) -> DecidedBody<'a> {
        DecidedBody {
            event_id: act.event_id,
            status: "DECIDED",
            decision: act.review.decision,
            conversion_id: view.conversion.conversion_id,
            revision: view.conversion.revision,
            state: view.conversion.state,
        }
    }
}

/// The answer to a decision that is durable and of which the outcome is not known yet.
#[derive(Serialize, ToSchema)]
#[schema(as = Pending)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PendingBody<'a> {
    #[schema(schema_with = words::event_id)]
    event_id: &'a str,
    status: &'static str,
    #[schema(schema_with = words::conversion_id)]
    conversion_id: ConversionId,
}

impl<'a> PendingBody<'a> {
    pub(crate) fn new(event_id: &'a str, conversion_id: ConversionId) -> PendingBody<'a> {
        PendingBody { event_id, status: "PENDING", conversion_id }
    }
}
