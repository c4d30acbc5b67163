//! Payouts: what an administrator asks for and reports, and how one is told.

use schemas::Timestamp;
use schemas::ids::{self, EventKind};
use schemas::records::{Account, Administrator, PayoutChanged, PayoutOutcome, PayoutReported, PayoutState};
use serde::Serialize;
use store::{PayoutPage, PayoutQuery, PayoutView};
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::cursor;
use crate::error::Error;
use crate::fields::Reader;
use crate::listing::part;
use crate::openapi::words;
use crate::query::Parameters;

/// The fields of a report.
pub(crate) const FIELDS: &[&str] = &["reference"];
/// The parameters of the list.
pub(crate) const PARAMETERS: &[&str] = &["state", "from", "to", "limit", "cursor"];
/// Most characters of a reference.
pub(crate) const REFERENCE_CHARACTERS_MAX: usize = 200;
/// The states to filter by.
pub(crate) const STATES: &[(&str, PayoutState)] =
    &[("in_transit", PayoutState::InTransit), ("paid", PayoutState::Paid), ("failed", PayoutState::Failed)];

/// Validates the parameters of the list: payouts in one state or any, by their cut-off.
///
/// # Errors
/// Every fault.
pub(crate) fn query(query: &str) -> Result<PayoutQuery, Vec<String>> {
    let mut parameters = Parameters::parse(query, PARAMETERS);
    let state = parameters.word("state", STATES);
    let query = PayoutQuery { state, part: part(&mut parameters) };
    parameters.finish().map(|()| query)
}

/// Validates a report; returns its reference, if it has one.
///
/// # Errors
/// Every fault.
pub(crate) fn read(mut reader: Reader<'_>) -> Result<Option<String>, Vec<String>> {
    let reference = reader.text("reference", REFERENCE_CHARACTERS_MAX);
    reader.finish().map(|()| reference)
}

/// The fact of an outcome.
pub(crate) fn record(
    payout_id: &str,
    (outcome, reference): (PayoutOutcome, Option<String>),
    (admin, request_id): (&Admin, &str),
    uuid: uuid::Uuid,
    now: Timestamp,
) -> PayoutReported {
    PayoutReported {
        event_id: ids::event_id(EventKind::Payout, uuid),
        payout_id: payout_id.to_owned(),
        outcome,
        reference,
        reported_by: Some(Administrator {
            name: admin.name.clone(),
            role: admin.role.word().to_owned(),
            request_id: request_id.to_owned(),
        }),
        received_at: now,
    }
}

/// What is answered to a report of a payout that is so far: itself if it has ended so, nothing while it is on its way.
///
/// # Errors
/// It has ended the other way.
pub(crate) fn ended(view: &PayoutView, outcome: PayoutOutcome) -> Result<Option<PayoutBody<'_>>, Error> {
    let payout = view.current();
    match (payout.state, outcome) {
        (PayoutState::InTransit, _) => Ok(None),
        (PayoutState::Paid, PayoutOutcome::Paid) | (PayoutState::Failed, PayoutOutcome::Failed) => {
            Ok(Some(PayoutBody::of(view)))
        }
        (PayoutState::Paid, PayoutOutcome::Failed) => Err(conflict(payout, "paid")),
        (PayoutState::Failed, PayoutOutcome::Paid) => Err(conflict(payout, "failed")),
    }
}

fn conflict(payout: &PayoutChanged, was: &str) -> Error {
    let told = "the first report counts, so what happened after it is to be settled outside";
    Error::PayoutConflict(format!("the payout was reported {was} at {}: {told}", payout.at))
}

/// A payout with its bookings: the answer to `GET /admin/v1/payouts/{id}`, and to a report that counts.
#[derive(Serialize, ToSchema)]
#[schema(as = Payout)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PayoutBody<'a> {
    payout_id: &'a str,
    /// Counts the payouts of this affiliate and currency, from 1.
    #[schema(minimum = 1)]
    number: i64,
    affiliate_id: &'a str,
    #[schema(schema_with = words::payout_state)]
    state: PayoutState,
    #[schema(schema_with = words::amount)]
    amount: String,
    #[schema(schema_with = words::currency)]
    currency: &'a str,
    /// The cut-off that made it.
    #[schema(schema_with = words::instant)]
    cut_off: String,
    /// It has the bookings of affiliate_payable up to this one, after those of the payout before.
    #[schema(minimum = 1)]
    entries_to: i64,
    /// The payouts that failed since the one before, whose orders are in this one.
    retries: &'a [String],
    /// A bank's reference, or why it failed; null while it is in transit, or if nothing was given.
    reference: Option<&'a str>,
    /// When it came into its state.
    #[schema(schema_with = words::instant)]
    at: String,
    /// Its double entries: that it was made and, once it has ended, how. Not in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::payout_entries)]
    entries: Option<Vec<EntryBody>>,
}

/// A booking of a payout.
#[derive(Serialize, ToSchema)]
#[schema(as = PayoutEntry)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryBody {
    #[schema(schema_with = words::payout_state)]
    state: PayoutState,
    /// The account that the amount leaves.
    #[schema(schema_with = words::account)]
    debit: Account,
    /// Which entry of that account it is.
    #[schema(minimum = 1)]
    debit_entries: i64,
    /// The account that the amount enters.
    #[schema(schema_with = words::account)]
    credit: Account,
    /// Which entry of that account it is.
    #[schema(minimum = 1)]
    credit_entries: i64,
    #[schema(schema_with = words::instant)]
    at: String,
}

impl<'a> PayoutBody<'a> {
    /// A payout with its entries.
    pub(crate) fn of(view: &'a PayoutView) -> PayoutBody<'a> {
        let entries = view.changes().iter().map(EntryBody::of).collect();
        PayoutBody { entries: Some(entries), ..PayoutBody::listed(view.current()) }
    }

    /// A payout without them.
    fn listed(payout: &'a PayoutChanged) -> PayoutBody<'a> {
        PayoutBody {
            payout_id: &payout.payout_id,
            number: payout.number,
            affiliate_id: &payout.affiliate_id,
            state: payout.state,
            amount: payout.currency.format_amount(payout.amount_minor),
            currency: payout.currency.code(),
            cut_off: payout.cut_off.to_string(),
            entries_to: payout.entries_to,
            retries: &payout.retries,
            reference: payout.reference.as_deref(),
            at: payout.at.to_string(),
            entries: None,
        }
    }
}

impl EntryBody {
    fn of(change: &PayoutChanged) -> EntryBody {
        EntryBody {
            state: change.state,
            debit: change.debit,
            debit_entries: change.debit_entries,
            credit: change.credit,
            credit_entries: change.credit_entries,
            at: change.at.to_string(),
        }
    }
}

/// The answer to `GET /admin/v1/payouts`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PayoutPageBody<'a> {
    data: Vec<PayoutBody<'a>>,
    next_cursor: Option<String>,
}

impl<'a> PayoutPageBody<'a> {
    /// A page as administrators see it.
    pub(crate) fn of(page: &'a PayoutPage) -> PayoutPageBody<'a> {
        let data = page.rows.iter().map(PayoutBody::listed).collect();
        PayoutPageBody { data, next_cursor: page.next.map(cursor::encode) }
    }
}

/// The answer to a report that is durable and of which the outcome is not known yet.
#[derive(Serialize, ToSchema)]
#[schema(as = PayoutPending)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PayoutPendingBody<'a> {
    #[schema(schema_with = words::event_id)]
    event_id: &'a str,
    status: &'static str,
    payout_id: &'a str,
}

impl<'a> PayoutPendingBody<'a> {
    pub(crate) fn new(event_id: &'a str, payout_id: &'a str) -> PayoutPendingBody<'a> {
        PayoutPendingBody { event_id, status: "PENDING", payout_id }
    }
}
