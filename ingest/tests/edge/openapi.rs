//! The description of the contract: that it is served, committed and whole. That it is true is shown by all other tests: the
//! bench holds each request and each answer of theirs against it.

use std::collections::BTreeSet;

use axum::http::Method;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::support::{ASHA, Bench, Call, DESCRIBED, ONE_TEST, REGISTRY, SERVICE_TOKEN};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(PAGE, ingest::description()).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    let is_same = written == ingest::description();
    assert!(is_same, "docs/openapi.json is not up to date: UPDATE_OPENAPI=1 cargo test -p ingest openapi");
}

#[tokio::test]
async fn anybody_is_shown_the_description_at_any_time() {
    let bench = Bench::new();
    let get = Call::get("/openapi.json").unsigned();
    let reply = bench.send(get.clone()).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, ingest::description()));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let head = bench.send(get.clone().method(Method::HEAD)).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(ingest::description().len().to_string().as_str()));
    bench.readiness.draining();
    assert_eq!(bench.send(get.clone()).await.status, 200);
    let posted = bench.send(get.method(Method::POST)).await;
    posted.error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(posted.header("allow"), Some("GET,HEAD"));
}

/// The operations, as method and path.
fn operations() -> BTreeSet<(String, String)> {
    let paths = DESCRIBED.document["paths"].as_object().unwrap().iter();
    let all = paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |it| (it.to_uppercase(), path.clone())));
    all.collect()
}

/// The paths that the router knows, without that of its fallback.
fn routed(bench: &Bench) -> BTreeSet<String> {
    let shown = format!("{:?}", bench.router);
    let paths = shown.split('"').skip(1).step_by(2);
    let paths = paths.filter(|text| text.starts_with('/') && *text != "/" && !text.contains("__private"));
    paths.map(str::to_owned).collect()
}

#[tokio::test]
async fn each_route_has_an_operation_and_each_operation_a_route() {
    let bench = Bench::new();
    let (described, routed) = (operations(), routed(&bench));
    assert!(routed.len() > 10, "{routed:?}");
    let is_event = |path: &str| path.starts_with("/api/v1/webhooks/");
    let of_paths: BTreeSet<String> = described
        .iter()
        .map(|(_, path)| if is_event(path) { "/api/v1/webhooks/{event}".to_owned() } else { path.clone() })
        .collect();
    assert_eq!(of_paths, routed);
    for path in described.iter().map(|(_, path)| path) {
        let reply = bench.send(Call::get(&path.replace(['{', '}'], "")).unsigned().method(Method::OPTIONS)).await;
        reply.error(405, "METHOD_NOT_ALLOWED");
        let allowed: BTreeSet<String> = reply.header("allow").unwrap().split(',').map(str::to_owned).collect();
        let mut wanted: BTreeSet<String> =
            described.iter().filter(|(_, other)| other == path).map(|(method, _)| method.clone()).collect();
        if wanted.contains("GET") {
            wanted.insert("HEAD".to_owned());
        }
        assert_eq!(allowed, wanted, "{path}");
    }
    let ids: Vec<&Value> = DESCRIBED.document["paths"].as_object().unwrap().values().collect();
    let ids = ids.iter().flat_map(|item| item.as_object().unwrap().values().map(|it| it["operationId"].to_string()));
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), described.len(), "each has an id of its own");
}

/// What a caller has to add to a request of this path.
fn call(path: &str, body: &Value) -> Call {
    let id =
        if path.contains("/payouts/") { "pay_1781872500_NPR_aff_one" } else { "cnv_1f0c6c1f0e9b4a3d8c7b6a5948372615" };
    let call = Call::post(&path.replace("{id}", id), body.to_string());
    match path {
        "/internal/v1/clicks" => call.unsigned().header("authorization", format!("Bearer {SERVICE_TOKEN}")),
        "/api/v1/test/clock" => call.by(ONE_TEST),
        path if path.starts_with("/admin/") => call.unsigned().header("authorization", format!("Bearer {ASHA}")),
        path if path.contains("/webhooks/") => call.header("x-external-event-id", "evt_1"),
        _ => call,
    }
}

/// The bench, with a link that is named as in the demo.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.set_registry(&REGISTRY.replace("\"lnk_one\"", "\"demo\""));
    bench
}

/// The paths of requests with a body, with the example of each.
fn examples() -> Vec<(String, Value)> {
    let paths = DESCRIBED.document["paths"].as_object().unwrap();
    let example = |item: &Value| item.pointer("/post/requestBody/content/application~1json/example").cloned();
    paths.iter().filter_map(|(path, item)| example(item).map(|example| (path.clone(), example))).collect()
}

#[tokio::test]
async fn examples_of_requests_are_accepted() {
    let examples = examples();
    assert_eq!(examples.len(), operations().iter().filter(|(method, _)| method == "POST").count());
    for (path, example) in examples {
        let reply = bench().send(call(&path, &example)).await;
        // What an administrator decides is looked for once the request has no fault, and the bench has none.
        let is_decision = path.starts_with("/admin/") && reply.text.contains("no such ");
        assert!(reply.status.is_success() || is_decision, "{path}: {}", reply.text);
        assert!(!reply.text.contains("REJECTED"), "{path}: {}", reply.text);
    }
}

#[test]
fn examples_of_answers_are_answers() {
    let mut checked = 0;
    let mut check = |at: &str, answer: &Value| {
        let Some(example) = answer.pointer("/content/application~1json/example") else { return };
        assert_eq!(DESCRIBED.fault(&format!("{at}/content/application~1json/schema"), example), None, "{at}");
        checked += 1;
    };
    for (name, answer) in DESCRIBED.document["components"]["responses"].as_object().unwrap() {
        check(&format!("/components/responses/{name}"), answer);
    }
    check(
        "/paths/~1api~1v1~1conversions~1{id}/get/responses/200",
        &DESCRIBED.document["paths"]["/api/v1/conversions/{id}"]["get"]["responses"]["200"],
    );
    assert_eq!(checked, 1 + DESCRIBED.document["components"]["responses"].as_object().unwrap().len());
}

/// What a field may be sent as: each limit and one past it, each word and what is none, and what is of another type.
fn values(field: &str) -> Vec<Value> {
    let mut values = vec![json!(null), json!(""), json!("x"), json!(1), json!(true), json!([]), json!({})];
    let lengths = |lengths: [usize; 2]| lengths.map(|length| json!("é".repeat(length)));
    values.extend(match field {
        "externalOrderId" | "externalProductId" => lengths([160, 161]).to_vec(),
        "clickId" => {
            [lengths([128, 129]).to_vec(), vec![json!("!~".repeat(64)), json!("~".repeat(129)), json!("a b")]].concat()
        }
        "couponCode" => lengths([64, 65]).to_vec(),
        "reason" => lengths([500, 501]).to_vec(),
        "reference" => lengths([200, 201]).to_vec(),
        "orderAmount" | "refundedAmount" => [
            "0",
            "0.00",
            "00.010",
            "1.005",
            "1.0005",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            " 1",
            "999999999999999.99",
            "1000000000000000",
            "٣",
        ]
        .map(Value::from)
        .to_vec(),
        "currency" => ["NPR", "JPY", "KWD", "npr", "XXX", "XAU", "DEM", "NPRX"].map(Value::from).to_vec(),
        "orderStatus" | "status" => [
            "pending",
            "confirmed",
            "paid",
            "delivered",
            "cancelled",
            "returned",
            "refunded",
            "commission_approved",
            "commission_rejected",
            "Pending",
        ]
        .map(Value::from)
        .to_vec(),
        "revision" => [0_u64, 1, 1 << 40, (1 << 40) + 1].map(Value::from).to_vec(),
        "orderedAt" | "statusUpdatedAt" | "clickedAt" | "advanceTo" => [
            "2026-06-14T09:30:00Z",
            "2026-06-14T15:15:00.123456789+05:45",
            "2026-06-14T09:35:00Z",
            "2026-06-14T09:35:01Z",
            "2026-06-14t09:30:00z",
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-06-14T09:30:00",
            "2026-06-14",
            "2026-02-30T09:30:00Z",
            "2026-06-14T24:00:00Z",
            "2026-06-14 09:30:00Z",
            "02026-06-14T09:30:00Z",
        ]
        .map(Value::from)
        .to_vec(),
        "metadata" => {
            vec![json!({"a": {"b": [1, null]}}), json!({"a": "m".repeat(8_184)}), json!({"a": "m".repeat(8_185)})]
        }
        "linkId" => vec![json!("demo"), json!("none")],
        "campaignId" => vec![json!("cmp_one"), json!("none")],
        "affiliateId" => vec![json!("aff_one"), json!("none")],
        "conversions" => vec![json!([1]), json!([{"externalOrderId": "A", "orderAmount": "1"}])],
        _ => Vec::new(),
    });
    values
}

/// The fields that a request of this path may have.
fn fields(path: &str) -> Vec<String> {
    let schema =
        DESCRIBED.document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            .clone();
    let schema = DESCRIBED.document.pointer(schema.as_str().unwrap().trim_start_matches('#')).unwrap();
    let one = schema.pointer("/oneOf/0").unwrap_or(schema);
    one["properties"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn each_limit_of_each_field_is_described() {
    let bench = bench();
    let (mut accepted, mut refused) = (0, 0);
    for (path, example) in examples() {
        for field in fields(&path).into_iter().chain(["stranger".to_owned()]) {
            let mut bodies: Vec<Value> = vec![example.clone()];
            bodies[0].as_object_mut().unwrap().remove(&field);
            bodies.extend(values(&field).into_iter().map(|value| {
                let mut body = example.clone();
                body[&field] = value;
                body
            }));
            for body in bodies {
                // The bench compares what becomes of it with what its schema says.
                match bench.send(call(&path, &body)).await.status.as_u16() {
                    200 | 202 | 404 => accepted += 1,
                    400 => refused += 1,
                    422 => {}
                    status => panic!("{path} {status}: {body}"),
                }
            }
        }
    }
    assert!(accepted > 100 && refused > 500, "{accepted} {refused}");
}

fn body() -> impl Strategy<Value = (String, Value)> {
    select(examples()).prop_flat_map(|(path, _)| {
        let fields = fields(&path).into_iter().chain(["stranger".to_owned()]);
        let field = |field: String| {
            let values = values(&field);
            (Just(field), proptest::option::weighted(0.6, select(values)))
        };
        let fields: Vec<_> = fields.map(field).collect();
        fields.prop_map(move |fields| {
            let given = fields.into_iter().filter_map(|(field, value)| value.map(|value| (field, value)));
            (path.clone(), Value::Object(given.collect::<Map<_, _>>()))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Fields of all kinds together: what one of them says of another too.
    #[test]
    fn any_body_is_accepted_or_refused_as_it_is_described((path, body) in body()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reply = runtime.block_on(async { bench().send(call(&path, &body)).await });
        prop_assert!(matches!(reply.status.as_u16(), 200 | 202 | 400 | 404), "{} {}", path, reply.text);
    }
}
