//! The description of the HTTP contract as OpenAPI 3.1, made from what requests are read by and answers are written from.
//!
//! It is the same for every installation: limits that can be set are described with their defaults.

use std::sync::LazyLock;

use utoipa::openapi::path::{PathItem, PathsBuilder};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder, Paths, Server};

use crate::routes::Route;

mod answers;
mod conversion;
mod examples;
pub(crate) mod explained;
mod operations;
mod parameters;
mod refusals;
mod requests;
pub(crate) mod words;

const TITLE: &str = "Conversions";
const INTRODUCTION: &str = "\
Merchants report orders, and read what became of them. The contract in words is API.md; this is what can be said of it by schemas.

- Sizes and numbers are those of an installation whose settings do not say otherwise.
- Every `GET` may be asked with `HEAD`. Another method than those described is answered 405 `METHOD_NOT_ALLOWED` with `Allow`, and
  another path 404 `NOT_FOUND`, both with the body of every error.
- Broken HTTP that never becomes a request, such as a head over 32 KiB, is refused by 400 or 431 without a body.
- A body is `application/json` without a `Content-Encoding`, of at most 64 KiB, or 4 MiB of a batch.
- `null` is as good as absent in every field that may be absent. Answers may get more fields.
- Lengths are counted in Unicode scalar values.";

/// The description as JSON: what `GET /openapi.json` answers, and `docs/openapi.json`.
#[must_use]
pub fn description() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text = open_api().to_pretty_json().expect("a description is JSON");
        text.push('\n');
        text
    });
    &TEXT
}

fn open_api() -> OpenApi {
    let mut info = Info::new(TITLE, env!("CARGO_PKG_VERSION"));
    info.description = Some(INTRODUCTION.to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    let tags = [
        (operations::REPORTS, "What merchants and their shops report."),
        (operations::READING, "What merchants read."),
        (operations::CLICKS, "What shoppers and services of the installation call."),
        (operations::REVIEW, "What administrators decide."),
        (operations::PAYOUTS, "What administrators see and report of payouts."),
        (operations::OPERATION, "What whoever runs it calls."),
    ];
    let tags = tags.map(|(name, told)| TagBuilder::new().name(name).description(Some(told)).build());
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .tags(Some(tags))
        .paths(paths())
        .components(Some(components()))
        .build()
}

fn paths() -> Paths {
    let mut paths = PathsBuilder::new();
    for (path, method, operation) in Route::ALL.iter().copied().flat_map(operations::of) {
        paths = paths.path(path, PathItem::new(method, operation));
    }
    paths.build()
}

fn components() -> Components {
    let in_header =
        |name: &str, told: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, told)));
    let token =
        Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("The token of the installation's settings."));
    let admin = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("The token of an administrator."));
    let components = ComponentsBuilder::new()
        .security_scheme(operations::ADMIN_TOKEN, SecurityScheme::Http(admin.build()))
        .security_scheme(operations::API_KEY, in_header("X-Api-Key", "The public id of a key, live_pk_… or test_pk_…."))
        .security_scheme(
            operations::TIMESTAMP,
            in_header("X-Timestamp", "Unix seconds, decimal, within 300 s of the server's time."),
        )
        .security_scheme(
            operations::SIGNATURE,
            in_header(
                "X-Signature",
                "Hexadecimal HMAC-SHA256 of the timestamp as it is sent, a dot and the raw bytes of the body, under the key's \
                 signing secret as UTF-8 text. A request without a body signs the timestamp and the dot.",
            ),
        )
        .security_scheme(operations::SERVICE_TOKEN, SecurityScheme::Http(token.build()));
    refusals::answers(answers::schemas(requests::schemas(components))).build()
}
