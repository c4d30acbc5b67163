//! What each route does. A route has its operations here and nowhere else.

use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, HttpMethod, Ref, RefOr, Required, Response, ResponseBuilder};

use super::answers::{self, header, json, named, new_or_duplicate, own, retry_after, with_rate, with_request_id};
use super::refusals::{self, Refusal};
use super::words::{one_of, text};
use super::{examples, parameters, requests};
use crate::routes::Route;
use crate::routes::webhooks::{EVENTS, Event};

/// The names of the security schemes.
pub(super) const API_KEY: &str = "apiKey";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const SIGNATURE: &str = "signature";
pub(super) const SERVICE_TOKEN: &str = "serviceToken";
pub(super) const ADMIN_TOKEN: &str = "adminToken";

/// The tags.
pub(super) const REPORTS: &str = "Reports";
pub(super) const READING: &str = "Reading";
pub(super) const CLICKS: &str = "Clicks";
pub(super) const REVIEW: &str = "Review";
pub(super) const PAYOUTS: &str = "Payouts";
pub(super) const OPERATION: &str = "Operation";

/// What every signed request may be answered.
const SIGNED: [Refusal; 7] = [
    refusals::BROKEN_OFF,
    refusals::NOT_SIGNED,
    refusals::TOO_SLOW,
    refusals::TOO_LARGE,
    refusals::LIMITED,
    refusals::FAULT,
    refusals::UNAVAILABLE,
];
/// What a request with a body may be answered besides.
const WITH_BODY: [Refusal; 2] = [refusals::INVALID, refusals::NO_JSON];

/// An operation, and where it is.
pub(super) type Described = (String, HttpMethod, OperationBuilder);

/// The operations of a route.
pub(super) fn of(route: Route) -> Vec<Described> {
    let here = |method, operation| vec![(route.path().to_owned(), method, operation)];
    match route {
        Route::Conversions => here(HttpMethod::Post, report()),
        Route::List => here(HttpMethod::Get, list()),
        Route::Conversion => here(HttpMethod::Get, conversion("getConversion").parameter(parameters::conversion())),
        Route::Batch => {
            // The path of a batch is also that of a conversion of this name.
            let mut both = here(HttpMethod::Post, batch());
            both.extend(here(HttpMethod::Get, conversion("getConversionCalledBatch")));
            both
        }
        Route::OrderStatus => here(HttpMethod::Post, status_update()),
        Route::Webhook => EVENTS.into_iter().map(|(name, told)| event(route, name, told)).collect(),
        Route::Click => {
            let mut both = here(HttpMethod::Get, follow("followLink", "Records a click and sends the shopper on"));
            both.extend(here(HttpMethod::Head, follow("lookAtLink", "Tells where a link leads, and records nothing")));
            both
        }
        Route::ServiceClicks => here(HttpMethod::Post, service_click()),
        Route::Explanation => here(HttpMethod::Get, explanation()),
        Route::TestClock => here(HttpMethod::Post, test_clock()),
        Route::Reviews => here(HttpMethod::Get, queue()),
        Route::Review => here(HttpMethod::Get, review()),
        Route::Approve => here(HttpMethod::Post, decide("approve", requests::APPROVAL, examples::APPROVAL)),
        Route::Reject => here(HttpMethod::Post, decide("reject", requests::DECISION, examples::DECISION)),
        Route::Reinstate => here(HttpMethod::Post, decide("reinstate", requests::DECISION, examples::DECISION)),
        Route::Payouts => here(HttpMethod::Get, payouts()),
        Route::Payout => here(HttpMethod::Get, payout()),
        Route::Paid => here(HttpMethod::Post, report_payout("paid", "the money has arrived")),
        Route::Failed => {
            here(HttpMethod::Post, report_payout("failed", "the money has not arrived, and is payable again"))
        }
        Route::Live => here(HttpMethod::Get, live()),
        Route::Ready => here(HttpMethod::Get, ready()),
        Route::Metrics => here(HttpMethod::Get, metrics()),
        Route::Description => here(HttpMethod::Get, description()),
        Route::Unmatched => Vec::new(),
    }
}

fn operation(id: &str, tag: &str, summary: &str, refusals: &[Refusal]) -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag)
        .summary(Some(summary))
        .parameter(parameters::request_id());
    refusals.iter().fold(operation, |operation, refusal| {
        let answer: RefOr<Response> = Ref::from_response_name(refusal.name).into();
        operation.response(refusal.status().to_string(), answer)
    })
}

fn signed(operation: OperationBuilder) -> OperationBuilder {
    const NO_SCOPES: [&str; 0] = [];
    let all_of = SecurityRequirement::new(API_KEY, NO_SCOPES).add(TIMESTAMP, NO_SCOPES).add(SIGNATURE, NO_SCOPES);
    operation.security(all_of)
}

/// A signed request with a body.
fn reporting(id: &str, summary: &str, schema: &str, example: &str) -> OperationBuilder {
    let refusals = [&SIGNED[..], &WITH_BODY, &[refusals::REUSED]].concat();
    signed(operation(id, REPORTS, summary, &refusals)).request_body(Some(body(schema, example).build()))
}

fn body(schema: &str, example: &str) -> RequestBodyBuilder {
    RequestBodyBuilder::new().required(Some(Required::True)).content("application/json", exemplary(schema, example))
}

fn exemplary(schema: &str, example: &str) -> Content {
    let mut content = named(schema);
    content.example = Some(serde_json::from_str(example).expect("an example is JSON"));
    content
}

/// Answers a signed request.
fn answered(operation: OperationBuilder, status: &str, response: ResponseBuilder) -> OperationBuilder {
    operation.response(status, with_rate(with_request_id(response)).build())
}

/// What is recorded, or known: of a report with what is in conflict.
fn recorded(operation: OperationBuilder, new: &str, has_conflicts: bool) -> OperationBuilder {
    let mut response = json("Durable in the log, or known from before.", own(new_or_duplicate(new)));
    if has_conflicts {
        let told =
            "The fields that differ from the first report, as in orderAmount, clickId. Of a duplicate, if any does.";
        response =
            response.header("X-Conflict", header(text().pattern(Some("^[A-Za-z]+(, [A-Za-z]+)*$")).build(), told));
    }
    answered(operation, "202", response)
}

fn report() -> OperationBuilder {
    let operation = reporting("reportConversion", "Reports an order", requests::REPORT, examples::REPORT);
    let operation = operation.parameters(Some(parameters::idempotency_keys()));
    recorded(operation, answers::RECEIVED, true)
}

fn status_update() -> OperationBuilder {
    let summary = "Reports a new status of an order";
    let operation = reporting("reportOrderStatus", summary, requests::STATUS_UPDATE, examples::STATUS_UPDATE);
    let operation = operation.parameters(Some(parameters::idempotency_keys()));
    recorded(operation, answers::ACCEPTED, false)
}

fn event(route: Route, name: &str, event: Event) -> Described {
    let (new, example, is_created) = match event {
        Event::Created => (answers::RECEIVED, examples::ORDER_CREATED, true),
        Event::Status(_) => (answers::ACCEPTED, examples::ORDER_EVENT, false),
    };
    let schema = requests::event_name(name);
    let summary = format!("Takes a shop's event {name}");
    let operation = reporting(&format!("take{schema}"), &summary, &schema, example);
    let operation = recorded(operation.parameter(parameters::event_id()), new, is_created);
    (route.path().replace("{event}", name), HttpMethod::Post, operation)
}

fn batch() -> OperationBuilder {
    let summary = "Reports up to 1,000 orders, each as if it had come alone";
    let operation = reporting("reportConversions", summary, requests::BATCH, examples::BATCH);
    let results = json("What became of each, in order.", named(answers::BATCH_RESULTS));
    let told = "After how many seconds to send items again that are UNAVAILABLE; absent if none is.";
    let operation = operation.parameters(Some(parameters::idempotency_keys()));
    answered(operation, "200", results.header("Retry-After", retry_after(told)))
}

fn conversion(id: &str) -> OperationBuilder {
    let refusals = [&SIGNED[..], &[refusals::NOT_FOUND]].concat();
    let found = json("The conversion.", exemplary(answers::CONVERSION, examples::CONVERSION));
    answered(signed(operation(id, READING, "Shows a conversion", &refusals)), "200", found)
}

fn list() -> OperationBuilder {
    let refusals = [&SIGNED[..], &[refusals::INVALID]].concat();
    let operation = operation("listConversions", READING, "Lists the caller's conversions, newest first", &refusals);
    let page = json("A page. Go on until nextCursor is null.", named(answers::PAGE));
    answered(signed(operation).parameters(Some(parameters::list())), "200", page)
}

fn follow(id: &str, summary: &str) -> OperationBuilder {
    let operation = operation(id, CLICKS, summary, &[refusals::NOT_FOUND, refusals::FAULT]);
    let location = header(text().build(), "The link's destination; of a click, with affiliate_click_id and aff_id.");
    let sent_on = ResponseBuilder::new()
        .description("To the link's destination.")
        .header("Location", location)
        .header("Cache-Control", header(one_of(["no-store"]), "Every click is one."));
    operation.parameter(parameters::link()).response("302", with_request_id(sent_on).build())
}

fn service_click() -> OperationBuilder {
    const NO_SCOPES: [&str; 0] = [];
    let own = [
        refusals::INVALID,
        refusals::NO_SERVICE,
        refusals::NOT_FOUND,
        refusals::TOO_SLOW,
        refusals::TOO_LARGE,
        refusals::NO_JSON,
        refusals::FAULT,
        refusals::UNAVAILABLE,
    ];
    let recorded = json("Durable in the log.", named(answers::RECORDED));
    operation("recordClick", CLICKS, "Records a click that was made elsewhere", &own)
        .description(Some("For services of the installation. Where no token is set there is no such route (404)."))
        .security(SecurityRequirement::new(SERVICE_TOKEN, NO_SCOPES))
        .request_body(Some(body(requests::CLICK, examples::CLICK).build()))
        .response("202", with_request_id(recorded).build())
}

fn explanation() -> OperationBuilder {
    let refusals = [&SIGNED[..], &[refusals::NOT_FOUND]].concat();
    let told = json("Why it is what it is.", named(answers::EXPLANATION));
    let operation = operation("explainConversion", READING, "Explains a conversion", &refusals);
    answered(signed(operation).parameter(parameters::conversion()), "200", told)
}

fn test_clock() -> OperationBuilder {
    let refusals = [&SIGNED[..], &WITH_BODY, &[refusals::REUSED, refusals::LIVE_KEY]].concat();
    let operation = signed(operation("moveTestClock", REPORTS, "Moves the time of a test order forward", &refusals));
    let operation = operation
        .request_body(Some(body(requests::TEST_CLOCK, examples::TEST_CLOCK).build()))
        .parameters(Some(parameters::idempotency_keys()));
    recorded(operation, answers::ACCEPTED, false)
}

/// A request of an administrator.
fn administering(id: &str, tag: &str, summary: &str, more: &[Refusal]) -> OperationBuilder {
    const NO_SCOPES: [&str; 0] = [];
    let all = [
        refusals::BROKEN_OFF,
        refusals::NO_ADMIN,
        refusals::FORBIDDEN,
        refusals::NOT_FOUND,
        refusals::TOO_SLOW,
        refusals::TOO_LARGE,
        refusals::FAULT,
        refusals::UNAVAILABLE,
    ];
    operation(id, tag, summary, &[&all[..], more].concat())
        .description(Some("Where there is no list of administrators there is no such route (404)."))
        .security(SecurityRequirement::new(ADMIN_TOKEN, NO_SCOPES))
}

fn queue() -> OperationBuilder {
    let page = json("A page. Go on until nextCursor is null.", named(answers::QUEUE));
    administering("listReviews", REVIEW, "Lists what waits for a reviewer, newest first", &[refusals::INVALID])
        .parameters(Some(parameters::queue()))
        .response("200", with_request_id(page).build())
}

fn review() -> OperationBuilder {
    let found = json("The conversion, and who decided what.", named(answers::REVIEW));
    administering("getReview", REVIEW, "Shows a conversion with all that was decided of it", &[])
        .parameter(parameters::reviewed())
        .response("200", with_request_id(found).build())
}

fn decide(decision: &str, schema: &str, example: &str) -> OperationBuilder {
    let more = [&WITH_BODY[..], &[refusals::CONFLICT]].concat();
    let decided = json("It counts.", named(answers::DECIDED));
    let pending = json("Durable; what came of it is not known yet.", named(answers::PENDING));
    administering(&format!("{decision}Conversion"), REVIEW, &format!("Decides: {decision}"), &more)
        .parameter(parameters::reviewed())
        .request_body(Some(body(schema, example).build()))
        .response("200", with_request_id(decided).build())
        .response("202", with_request_id(pending).build())
}

fn payouts() -> OperationBuilder {
    let page = json("A page. Go on until nextCursor is null.", named(answers::PAYOUTS));
    administering("listPayouts", PAYOUTS, "Lists payouts, the latest cut-off first", &[refusals::INVALID])
        .parameters(Some(parameters::payouts()))
        .response("200", with_request_id(page).build())
}

fn payout() -> OperationBuilder {
    let found = json("The payout.", named(answers::PAYOUT));
    administering("getPayout", PAYOUTS, "Shows a payout with its double entries", &[])
        .parameter(parameters::payout())
        .response("200", with_request_id(found).build())
}

fn report_payout(outcome: &str, told: &str) -> OperationBuilder {
    let more = [&WITH_BODY[..], &[refusals::PAYOUT_CONFLICT]].concat();
    let ended = json("It has ended so, by this report or one before.", named(answers::PAYOUT));
    let pending = json("Durable; what came of it is not known yet.", named(answers::PAYOUT_PENDING));
    let capitalized = outcome[..1].to_uppercase() + &outcome[1..];
    administering(&format!("report{capitalized}"), PAYOUTS, &format!("Reports a payout {outcome}: {told}"), &more)
        .parameter(parameters::payout())
        .request_body(Some(body(requests::PAYOUT_REPORT, examples::PAYOUT_REPORT).build()))
        .response("200", with_request_id(ended).build())
        .response("202", with_request_id(pending).build())
}

/// A question about the process, which nobody signs.
fn probe(id: &str, summary: &str) -> OperationBuilder {
    operation(id, OPERATION, summary, &[refusals::FAULT])
}

fn live() -> OperationBuilder {
    let live = json("It lives.", own(answers::health(&["live"], false)));
    probe("live", "Whether the process lives").response("200", with_request_id(live).build())
}

fn ready() -> OperationBuilder {
    let ready = utoipa::openapi::OneOfBuilder::new()
        .item(answers::health(&["ready"], false))
        .item(answers::health(&["degraded"], true))
        .build();
    let ready = json("They should; degraded with what it has to do without.", own(ready));
    let not_ready = json("They should not, and why.", own(answers::health(&["not_ready"], true)));
    probe("ready", "Whether requests should come here")
        .response("200", with_request_id(ready).build())
        .response("503", with_request_id(not_ready).build())
}

fn metrics() -> OperationBuilder {
    let text = ResponseBuilder::new()
        .description("OpenMetrics text.")
        .content("application/openmetrics-text", own(text().build()));
    probe("metrics", "What is counted").response("200", with_request_id(text).build())
}

fn description() -> OperationBuilder {
    let any = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::Object).build();
    let this = json("OpenAPI 3.1.", own(any));
    probe("describe", "This description").response("200", with_request_id(this).build())
}
