//! `/admin/v1/payouts`: what is on its way to affiliates, and what became of it.
//!
//! An outcome is a fact on `payout-reports`: the log decides which of several came first, `ledger` what follows, and whoever
//! reported one is answered when the read model tells. Publishing one twice changes nothing, so it is safe to report again.

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use schemas::ids::PayoutKey;
use schemas::records::{PayoutOutcome, PayoutState};
use schemas::topics::PAYOUT_REPORTS;
use store::{Claims, PayoutView, ReadModel};
use streams::{Message, Publisher};
use tokio::time::{Instant, sleep};

use super::admin::{Administered, LOOK_EVERY};
use super::{check_json, json_response};
use crate::admin::Act;
use crate::edge::{Edge, Inner, topic};
use crate::error::{Error, Shed};
use crate::fields::Reader;
use crate::json::Object;
use crate::payout::{self, PayoutBody, PayoutPageBody, PayoutPendingBody};

const NOT_FOUND: Error = Error::NotFound("no such payout: name it by its payoutId");

/// Lists payouts.
pub(super) async fn list<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let administered = edge.0.administered(request, Act::Read).await?;
    let query = payout::query(administered.uri.query().unwrap_or("")).map_err(Error::Validation)?;
    let page = edge.0.answered(edge.0.read_model.payouts(&query)).await?;
    json_response(StatusCode::OK, &PayoutPageBody::of(&page))
}

/// Shows a payout with its entries.
pub(super) async fn show<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let administered = edge.0.administered(request, Act::Read).await?;
    let view = edge.0.payout(payout_id(&administered.uri)?).await?;
    json_response(StatusCode::OK, &PayoutBody::of(&view))
}

/// The money has arrived.
pub(super) async fn paid<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    edge.0.report_payout(request, PayoutOutcome::Paid).await
}

/// The money has not arrived, and is payable again.
pub(super) async fn failed<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    edge.0.report_payout(request, PayoutOutcome::Failed).await
}

/// The payout that a path names after `/admin/v1/payouts/`. An id has no character that would be encoded in a path.
fn payout_id(uri: &Uri) -> Result<&str, Error> {
    let id = uri.path().split('/').nth(4).ok_or(NOT_FOUND)?;
    PayoutKey::parse(id).map(|_| id).ok_or(NOT_FOUND)
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    async fn payout(&self, payout_id: &str) -> Result<PayoutView, Error> {
        self.answered(self.read_model.payout(payout_id)).await?.ok_or(NOT_FOUND)
    }

    /// Publishes an outcome and waits for what becomes of it, unless the payout has ended already.
    async fn report_payout(&self, request: Request, outcome: PayoutOutcome) -> Result<Response, Error> {
        let administered = self.administered(request, Act::Pay).await?;
        let _permit = self.acts_in_flight.try_acquire().map_err(|_| self.shed(Shed::Acts))?;
        let deadline = Instant::now() + self.config.request_deadline;
        let Administered { admin, headers, uri, body, request_id } = &administered;
        check_json(headers)?;
        let object = Object::parse(body, payout::FIELDS).map_err(Error::MalformedJson)?;
        let reference = payout::read(Reader::new(object)).map_err(Error::Validation)?;
        let payout_id = payout_id(uri)?;
        let view = self.payout(payout_id).await?;
        if let Some(body) = payout::ended(&view, outcome)? {
            return json_response(StatusCode::OK, &body);
        }
        let now = self.now();
        let record = payout::record(payout_id, (outcome, reference), (admin, request_id), self.ids.next(now), now);
        let (key, event_id) = (PayoutKey::parse(payout_id).ok_or(NOT_FOUND)?.ledger_key(), &*record.event_id);
        self.publish_act(Message { topic: topic(&PAYOUT_REPORTS), key, value: schemas::encode(&record) }).await?;
        let by = &*admin.name;
        tracing::info!(request_id = &**request_id, by, payout_id, event_id, ?outcome, "a payout is reported on");
        let Some(view) = self.ended(payout_id, deadline).await else {
            return json_response(StatusCode::ACCEPTED, &PayoutPendingBody::new(event_id, payout_id));
        };
        let body = payout::ended(&view, outcome)?.expect("it has ended");
        json_response(StatusCode::OK, &body)
    }

    /// The payout once it has ended; nothing if that takes too long, or cannot be read: the report is in the log all the same.
    async fn ended(&self, payout_id: &str, deadline: Instant) -> Option<PayoutView> {
        loop {
            let view = self.payout(payout_id).await.ok();
            if let Some(view) = view.filter(|view| view.current().state != PayoutState::InTransit) {
                return Some(view);
            }
            if Instant::now() + LOOK_EVERY >= deadline {
                return None;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
