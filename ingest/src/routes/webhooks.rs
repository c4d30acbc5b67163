//! `POST /api/v1/webhooks/{event}`: what shops send as events, in the bodies of the two routes for reports.

use axum::extract::{Request, State};
use axum::response::Response;
use schemas::records::ReportedStatus;
use store::{Claims, ReadModel};
use streams::Publisher;

use super::reports::answer;
use super::{Signed, check_json};
use crate::conversion;
use crate::edge::Edge;
use crate::error::Error;
use crate::fields::Reader;
use crate::idempotency::IdempotencyKey;
use crate::json::Object;
use crate::order_status;
use crate::submit::Guard;

const NOT_FOUND: Error = Error::NotFound(
    "no such event: there are order-created, order-paid, order-delivered, order-cancelled, order-returned and \
     order-refunded",
);

/// What an event says of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// That it is there: the body is a conversion's.
    Created,
    /// That it has this status: the body is a status update's.
    Status(ReportedStatus),
}

/// The events there are, by the last part of their path.
pub(crate) const EVENTS: [(&str, Event); 6] = [
    ("order-created", Event::Created),
    ("order-paid", Event::Status(ReportedStatus::Paid)),
    ("order-delivered", Event::Status(ReportedStatus::Delivered)),
    ("order-cancelled", Event::Status(ReportedStatus::Cancelled)),
    ("order-returned", Event::Status(ReportedStatus::Returned)),
    ("order-refunded", Event::Status(ReportedStatus::Refunded)),
];

/// Takes an event of a shop.
pub(super) async fn event<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    request: Request,
) -> Result<Response, Error> {
    let signed = edge.0.authenticate(request).await?;
    let path = signed.uri.path().rsplit('/').next().unwrap_or("");
    let (name, event) = EVENTS.into_iter().find(|(name, _)| *name == path).ok_or(NOT_FOUND)?;
    let ids = &edge.0.ids;
    let (mut submission, message, key, accepted) = match event {
        Event::Created => {
            let (reader, id) = signed.open_event(conversion::FIELDS)?;
            let record = signed.read_conversion(reader, Some(name), ids)?;
            let key = IdempotencyKey::of_event(&id, name, &record.external_order_id);
            let (submission, message) = signed.conversion(record, Some(&key));
            (submission, message, key, "RECEIVED")
        }
        Event::Status(status) => {
            let (reader, id) = signed.open_event(order_status::FIELDS)?;
            let record = signed.read_update(reader, Some((name, status)), ids)?;
            let key = IdempotencyKey::of_event(&id, name, &record.external_order_id);
            let (submission, message) = signed.update(record, Some(&key));
            (submission, message, key, "ACCEPTED")
        }
    };
    submission.guard = Some(Guard { scope: signed.scope(), key, is_event: true });
    answer(edge, signed, submission, message, accepted).await.map_err(|error| match error {
        Error::IdempotencyKeyReused => Error::EventIdReused,
        error => error,
    })
}

impl Signed {
    /// Begins to read the body, and takes the event's id; what is wrong with that is told with the faults of the fields.
    fn open_event(&self, fields: &'static [&'static str]) -> Result<(Reader<'_>, String), Error> {
        check_json(&self.headers)?;
        let object = Object::parse(&self.body, fields).map_err(Error::MalformedJson)?;
        let mut reader = Reader::new(object);
        let id = IdempotencyKey::event_id(&self.headers).unwrap_or_else(|fault| {
            reader.fault(fault);
            String::new()
        });
        Ok((reader, id))
    }
}
