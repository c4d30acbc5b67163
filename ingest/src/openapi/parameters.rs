//! What requests have besides a body: headers, parts of a path, and parameters of a query.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Object, Required};

use super::examples::{CONVERSION_ID, LINK_ID, ORDER_ID, PAYOUT_ID};
use super::words::{self, of_table, text};
use crate::conversion::ORDER_ID_CHARACTERS_MAX;
use crate::idempotency;
use crate::listing::{CONFIDENCES, LIMIT_DEFAULT, LIMIT_MAX, PARAMETERS, STATES};
use crate::{payout, review};

fn parameter(name: &str, place: ParameterIn, schema: Object, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

/// Of every request. One that is none is no fault, so its schema has no limit.
pub(super) fn request_id() -> Parameter {
    let told = "Echoed if it is 1 to 128 visible ASCII characters, and made up otherwise; in every log line and error.";
    parameter("X-Request-Id", ParameterIn::Header, text().build(), told).build()
}

/// The two names of an idempotency key.
pub(super) fn idempotency_keys() -> [Parameter; 2] {
    let told = "Guards the request in flight, and for 24 h what was accepted. Either name; if both are sent, they are the same.";
    ["X-Idempotency-Key", "Idempotency-Key"].map(|name| {
        let key = words::visible(idempotency::CHARACTERS_MAX);
        parameter(name, ParameterIn::Header, key, told).build()
    })
}

/// The id of a shop's event.
pub(super) fn event_id() -> Parameter {
    let told = "Of one event about one order, unique per merchant and mode.";
    let id = words::visible(idempotency::CHARACTERS_MAX);
    let parameter = parameter("X-External-Event-Id", ParameterIn::Header, id, told);
    parameter.required(Required::True).example(Some("evt_7f3a".into())).build()
}

/// The part of a path that says which conversion.
pub(super) fn conversion() -> Parameter {
    let id = text().min_length(Some(1)).max_length(Some(ORDER_ID_CHARACTERS_MAX)).build();
    let told = "The merchant's order id, or the conversion's own; percent-encoded.";
    parameter("id", ParameterIn::Path, id, told).required(Required::True).example(Some(ORDER_ID.into())).build()
}

/// The part of a path that says which link.
pub(super) fn link() -> Parameter {
    let id = text().min_length(Some(1)).build();
    let parameter = parameter("link", ParameterIn::Path, id, "The id of a link in the registry.");
    parameter.required(Required::True).example(Some(LINK_ID.into())).build()
}

/// The filters of a list, and which page.
pub(super) fn list() -> impl Iterator<Item = Parameter> {
    PARAMETERS.iter().map(|name| {
        let (schema, told) = match *name {
            "status" => (of_table(STATES), "The conversion's state.".to_owned()),
            "confidence" => (of_table(CONFIDENCES), "How sure it is whom to credit.".to_owned()),
            "from" => (words::past(), "receivedAt at or after this.".to_owned()),
            "to" => (words::past(), "receivedAt before this, which is not before from.".to_owned()),
            "limit" => (limit(), format!("Most items of the page; {LIMIT_DEFAULT}, if absent.")),
            "cursor" => (words::cursor(), "The nextCursor of the page to go on after.".to_owned()),
            name => unreachable!("the parameter {name} is not described"),
        };
        parameter(name, ParameterIn::Query, schema, &told).build()
    })
}

/// The part of a path that says which conversion reviewers mean.
pub(super) fn reviewed() -> Parameter {
    let told = "The conversion's own id.";
    let parameter = parameter("id", ParameterIn::Path, words::conversion_id(), told);
    parameter.required(Required::True).example(Some(CONVERSION_ID.into())).build()
}

/// The filters of what waits for a reviewer, and which page.
pub(super) fn queue() -> impl Iterator<Item = Parameter> {
    let own = review::PARAMETERS.iter().filter_map(|name| match *name {
        "merchantId" => Some((*name, text().build(), "The id of a merchant in the registry; all of them, if absent.")),
        "mode" => Some((*name, of_table(review::MODES), "live, if absent.")),
        _ => None,
    });
    let own = own.map(|(name, schema, told)| parameter(name, ParameterIn::Query, schema, told).build());
    own.chain(list().filter(|parameter| review::PARAMETERS.contains(&parameter.name.as_str())))
}

/// The part of a path that says which payout.
pub(super) fn payout() -> Parameter {
    let told = "The payout's id.";
    let parameter = parameter("id", ParameterIn::Path, text().pattern(Some("^pay_")).build(), told);
    parameter.required(Required::True).example(Some(PAYOUT_ID.into())).build()
}

/// The filters of payouts, and which page.
pub(super) fn payouts() -> impl Iterator<Item = Parameter> {
    let own = payout::PARAMETERS.iter().filter_map(|name| match *name {
        "state" => Some((*name, of_table(payout::STATES), "How far they are; however far, if absent.")),
        "from" => Some((*name, words::past(), "cutOff at or after this.")),
        "to" => Some((*name, words::past(), "cutOff before this, which is not before from.")),
        _ => None,
    });
    let own: Vec<_> =
        own.map(|(name, schema, told)| parameter(name, ParameterIn::Query, schema, told).build()).collect();
    let known: Vec<_> = own.iter().map(|parameter| parameter.name.clone()).collect();
    let shared = list().filter(move |parameter| {
        payout::PARAMETERS.contains(&parameter.name.as_str()) && !known.contains(&parameter.name)
    });
    own.into_iter().chain(shared)
}

fn limit() -> Object {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(LIMIT_MAX));
    number.default(Some(LIMIT_DEFAULT.into())).build()
}
