//! A page of a merchant's conversions: from the parameters of a request to a question, and from rows to an answer.

use schemas::records::{Confidence, ConversionState};
use schemas::view::{ConversionBody, DamagedMetadata};
use serde::Serialize;
use store::{ListOf, ListPage, ListQuery, Part};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::cursor;
use crate::error::Error;
use crate::openapi::words;
use crate::query::Parameters;

/// The parameters of the request.
pub(crate) const PARAMETERS: &[&str] = &["status", "confidence", "from", "to", "limit", "cursor"];

/// Most items of a page, if the request does not say.
pub(crate) const LIMIT_DEFAULT: usize = 20;
/// Most items of a page that a request may ask for.
pub(crate) const LIMIT_MAX: usize = 100;

/// The states to filter by.
pub(crate) const STATES: &[(&str, ConversionState)] = &[
    ("received", ConversionState::Received),
    ("attributed", ConversionState::Attributed),
    ("commission_created", ConversionState::CommissionCreated),
    ("hold", ConversionState::Hold),
    ("payable", ConversionState::Payable),
    ("paid", ConversionState::Paid),
    ("rejected", ConversionState::Rejected),
    ("reversed", ConversionState::Reversed),
];

/// The confidences to filter by.
pub(crate) const CONFIDENCES: &[(&str, Confidence)] = &[("HIGH", Confidence::High), ("LOW", Confidence::Low)];

/// Validates the parameters of a caller's request.
///
/// # Errors
/// Every fault.
pub(crate) fn read(query: &str, caller: &Caller) -> Result<ListQuery, Vec<String>> {
    let mut parameters = Parameters::parse(query, PARAMETERS);
    let state = parameters.word("status", STATES);
    let confidence = parameters.word("confidence", CONFIDENCES);
    let Part { from, until, after, limit } = part(&mut parameters);
    let (of, livemode) = (ListOf::Merchant(caller.merchant_id.clone()), caller.livemode);
    let query = ListQuery { of, livemode, state, confidence, from, until, after, limit };
    parameters.finish().map(|()| query)
}

/// Reads `from`, `to`, `limit` and `cursor`.
pub(crate) fn part(parameters: &mut Parameters) -> Part {
    let (from, until) = (parameters.instant("from"), parameters.instant("to"));
    if let (Some(from), Some(until), Some(text)) = (from, until, parameters.text("to"))
        && until < from
    {
        parameters.refuse("to", format_args!("must not be before from, which is {from}"), &text);
    }
    let limit = parameters.number("limit", 1, LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
    let after = parameters.text("cursor").and_then(|text| {
        let place = cursor::decode(&text);
        if place.is_none() {
            let must = "must be the nextCursor of a page, as it came: leave it out to begin with the newest";
            parameters.refuse("cursor", must, &text);
        }
        place
    });
    Part { from, until, after, limit }
}

/// The answer to `GET /api/v1/conversions`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageBody<'a> {
    #[schema(schema_with = words::listed)]
    data: Vec<ConversionBody<'a>>,
    /// Where the next page begins; null on the last one.
    #[schema(schema_with = words::cursor_or_null)]
    next_cursor: Option<String>,
}

impl<'a> PageBody<'a> {
    /// What the merchant of a page may see of it.
    ///
    /// # Errors
    /// As for [`ConversionBody::of`].
    pub(crate) fn of(page: &'a ListPage) -> Result<PageBody<'a>, Error> {
        let data = page.rows.iter().map(ConversionBody::listed).collect::<Result<_, DamagedMetadata>>()?;
        Ok(PageBody { data, next_cursor: page.next.map(cursor::encode) })
    }
}
