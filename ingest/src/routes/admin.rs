//! `/admin/v1/reviews`: what waits for a reviewer, and what one decides of it.
//!
//! A decision is a fact like a report: the log decides which of several came first, `orders` what follows, and whoever
//! pressed is answered when the read model tells. So there is one answer however many press at once, at any edge.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{ReviewDecided, ReviewDecision};
use schemas::topics::CONVERSIONS;
use store::{Claims, ConversionView, ReadModel};
use streams::{Message, Publisher};
use tokio::time::{Instant, sleep, timeout};

use super::{check_json, json_response};
use crate::admin::{Act, Admin};
use crate::edge::{Edge, Inner, topic};
use crate::error::{Error, Shed};
use crate::fields::Reader;
use crate::json::Object;
use crate::request::Context;
use crate::review::{self, DecidedBody, PendingBody, QueueBody, ReviewBody};

const NOT_FOUND: Error = Error::NotFound("no such conversion: name it by its conversionId");
/// How often the read model is asked for the outcome of an act.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A request of an administrator who may do what it asks for.
pub(super) struct Administered {
    pub(super) admin: Admin,
    pub(super) headers: HeaderMap,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
    pub(super) request_id: Arc<str>,
}

/// Lists what waits for a reviewer.
pub(super) async fn queue<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let administered = edge.0.administered(request, Act::Read).await?;
    let live = edge.0.live.load_full();
    let query = administered.uri.query().unwrap_or("");
    let query = review::queue(query, &live.registry).map_err(Error::Validation)?;
    let page = edge.0.answered(edge.0.read_model.list(&query)).await?;
    json_response(StatusCode::OK, &QueueBody::of(&page)?)
}

/// Shows a conversion with all that was decided of it.
pub(super) async fn review<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let administered = edge.0.administered(request, Act::Read).await?;
    let view = edge.0.named(&administered.uri).await?;
    json_response(StatusCode::OK, &ReviewBody::of(&view)?)
}

/// Credits an affiliate.
pub(super) async fn approve<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    edge.0.decide_review(request, Act::Review, ReviewDecision::Approve).await
}

/// Credits nobody.
pub(super) async fn reject<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    edge.0.decide_review(request, Act::Review, ReviewDecision::Reject).await
}

/// Takes a rejection or a reversal back.
pub(super) async fn reinstate<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    edge.0.decide_review(request, Act::Reinstate, ReviewDecision::Reinstate).await
}

/// The conversion that a path names after `/admin/v1/reviews/`.
fn id_of(uri: &Uri) -> Option<ConversionId> {
    ConversionId::parse(uri.path().split('/').nth(4)?)
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    pub(super) async fn administered(&self, request: Request, act: Act) -> Result<Administered, Error> {
        let admins = self.admins.as_ref().ok_or(Error::NotFound("no such route"))?;
        let (Parts { headers, uri, extensions, .. }, body) = request.into_parts();
        let body = crate::body::read(body, self.config.body_bytes_max, self.config.body_deadline).await?;
        let context = extensions.get::<Context>().expect("the layer around all routes puts it there");
        let admin = admins.who(&headers, self.now()).inspect_err(|error| self.metrics.not_let_in(error.code()))?;
        let (request_id, path, by, role) = (&*context.request_id, uri.path(), &*admin.name, admin.role.word());
        if let Err(error) = admin.check(act) {
            self.metrics.not_let_in(error.code());
            tracing::warn!(request_id, path, by, role, ?act, "an administrator may not");
            return Err(error);
        }
        tracing::info!(request_id, path, by, role, ?act, "an administrator acts");
        let admin = admin.clone();
        Ok(Administered { admin, headers, uri, body, request_id: Arc::clone(&context.request_id) })
    }

    async fn named(&self, uri: &Uri) -> Result<ConversionView, Error> {
        self.read(id_of(uri).ok_or(NOT_FOUND)?).await?.ok_or(NOT_FOUND)
    }

    /// Publishes a decision and waits for what becomes of it, unless it is known to be too late, or to stand already.
    async fn decide_review(&self, request: Request, act: Act, decision: ReviewDecision) -> Result<Response, Error> {
        let administered = self.administered(request, act).await?;
        let _permit = self.acts_in_flight.try_acquire().map_err(|_| self.shed(Shed::Acts))?;
        let deadline = Instant::now() + self.config.request_deadline;
        let Administered { admin, headers, uri, body, request_id } = &administered;
        check_json(headers)?;
        let fields = match decision {
            ReviewDecision::Approve => review::APPROVAL_FIELDS,
            ReviewDecision::Reject | ReviewDecision::Reinstate => review::FIELDS,
        };
        let object = Object::parse(body, fields).map_err(Error::MalformedJson)?;
        let live = self.live.load_full();
        let asked = review::read(Reader::new(object), decision, &live.registry).map_err(Error::Validation)?;
        let view = self.named(uri).await?;
        if let Some(act) = asked.repeats(&view, admin) {
            return json_response(StatusCode::OK, &DecidedBody::new(&view, act));
        }
        if asked.is_too_late(&view.conversion) {
            return Err(review::conflict(&view));
        }
        let now = self.now();
        let record = asked.clone().record(&view.conversion, admin, self.ids.next(now), request_id, now);
        let (conversion_id, event_id) = (view.conversion.conversion_id, &*record.event_id);
        self.publish_decision(&record).await?;
        let reviewer = &*admin.name;
        tracing::info!(request_id = &**request_id, reviewer, %conversion_id, event_id, ?decision, "decided");
        let Some(view) = self.outcome(conversion_id, event_id, deadline).await else {
            return json_response(StatusCode::ACCEPTED, &PendingBody::new(event_id, conversion_id));
        };
        let own = review::acts(&view).find(|act| act.event_id == event_id && act.applied);
        match own.or_else(|| asked.repeats(&view, admin)) {
            Some(act) => json_response(StatusCode::OK, &DecidedBody::new(&view, act)),
            None => Err(review::conflict(&view)),
        }
    }

    async fn publish_decision(&self, record: &ReviewDecided) -> Result<(), Error> {
        let ReviewDecided { merchant_id, livemode, external_order_id, .. } = record;
        let key = OrderKey { merchant_id, livemode: *livemode, external_order_id }.to_bytes();
        self.publish_act(Message { topic: topic(&CONVERSIONS), key, value: schemas::encode(record) }).await
    }

    /// Publishes what an administrator did, and waits until it is durable.
    pub(super) async fn publish_act(&self, message: Message) -> Result<(), Error> {
        let pending = self.publisher.publish(vec![message]).map_err(|error| self.publish_error(&error))?;
        let Ok(answer) = timeout(self.config.ack_deadline, pending).await else {
            self.metrics.publish_failed("ack_deadline");
            return Err(self.perhaps_recorded("the log did not acknowledge an act within its deadline".to_owned()));
        };
        answer.map(|_ack| ()).map_err(|error| self.publish_error(&error))
    }

    /// The conversion once its timeline tells of a decision; nothing if that takes too long, or cannot be read: the
    /// decision is in the log all the same.
    async fn outcome(&self, id: ConversionId, event_id: &str, deadline: Instant) -> Option<ConversionView> {
        loop {
            let view = self.read(id).await.ok().flatten();
            if let Some(view) = view.filter(|view| review::acts(view).any(|act| act.event_id == event_id)) {
                return Some(view);
            }
            if Instant::now() + LOOK_EVERY >= deadline {
                return None;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
