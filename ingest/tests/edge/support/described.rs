//! The description of the contract, against which every request of every test and its answer are held.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use boon::{Compiler, Draft, SchemaIndex, Schemas};
use serde_json::{Map, Value};

use super::{Call, Reply};

const URL: &str = "https://edge.example/openapi.json";
/// Headers that HTTP itself has, or that no operation is the answer of.
const OF_HTTP: [&str; 5] = ["content-type", "content-length", "connection", "allow", "vary"];
/// What a request is refused for that no schema can say: it depends on the time, the registry, the merchant, another field,
/// or on how a text is written and not on what it says.
const BEYOND_SCHEMAS: [&str; 11] = [
    " decimals, as ",
    " after now, which is ",
    "metadata must have at most ",
    "half of a surrogate pair",
    "X-Idempotency-Key and Idempotency-Key differ",
    "X-External-Event-Id is given twice with different values",
    "in the registry",
    "to must not be before from",
    "is given more than once",
    "cursor must be the nextCursor of a page",
    "must be an ISO 8601 date and time with an offset",
];

/// The description, with the schemas in it.
pub(crate) struct Described {
    pub(crate) document: Value,
    schemas: Schemas,
    compiled: HashMap<String, SchemaIndex>,
}

/// The description. In it every object has the fields that it names and no others, which it does not promise to callers.
pub(crate) static DESCRIBED: LazyLock<Described> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(ingest::description()).expect("the description is JSON");
    close(&mut document);
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.add_resource(URL, document.clone()).expect("a resource");
    let mut pointers = Vec::new();
    schema_pointers(&document, String::new(), &mut pointers);
    let compile = |pointer: String| {
        let index = compiler.compile(&format!("{URL}#{}", encoded(&pointer)), &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{pointer} is no schema: {error:#}"));
        (pointer, index)
    };
    let compiled = pointers.into_iter().map(compile).collect();
    Described { document, schemas, compiled }
});

/// A JSON pointer as a fragment of a URL.
fn encoded(pointer: &str) -> String {
    pointer.replace('{', "%7B").replace('}', "%7D")
}

fn close(value: &mut Value) {
    if let Value::Object(fields) = value {
        let is_open = fields.get("type").is_some_and(|it| it == "object") && fields.contains_key("properties");
        if is_open && !fields.contains_key("additionalProperties") {
            fields.insert("additionalProperties".to_owned(), false.into());
        }
    }
    match value {
        // What all of several schemas say, none of them says alone.
        Value::Object(fields) => fields.iter_mut().filter(|(name, _)| *name != "allOf").for_each(|(_, it)| close(it)),
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where the schemas are that something is said to be.
fn schema_pointers(value: &Value, at: String, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (escaped(name), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, child) in children {
        let below = format!("{at}/{name}");
        if name == "schema" || at == "/components/schemas" {
            found.push(below);
        } else if name != "example" {
            schema_pointers(child, below, found);
        }
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl Described {
    /// Why a value is not as the schema at a place says.
    pub(crate) fn fault(&self, pointer: &str, value: &Value) -> Option<String> {
        let index = self.compiled.get(pointer).unwrap_or_else(|| panic!("no schema is at {pointer}"));
        self.schemas.validate(value, *index).err().map(|error| format!("{error:#}"))
    }

    fn at(&self, pointer: &str) -> &Value {
        self.document.pointer(pointer).unwrap_or_else(|| panic!("nothing is at {pointer}"))
    }

    /// Where what is at a place is, if it stands elsewhere.
    fn resolved(&self, pointer: String) -> String {
        match self.at(&pointer).get("$ref").and_then(Value::as_str) {
            Some(reference) => reference.trim_start_matches('#').to_owned(),
            None => pointer,
        }
    }

    /// Where the operation of a request is: a path without parameters comes before one with them.
    fn operation(&self, method: &Method, path: &str) -> Option<String> {
        let paths = self.at("/paths").as_object().expect("paths");
        let fits = |template: &str| {
            let (mut wanted, mut given) = (template.split('/'), path.split('/'));
            let all = wanted.by_ref().zip(given.by_ref()).all(|(wanted, given)| match wanted.starts_with('{') {
                true => !given.is_empty(),
                false => wanted == given,
            });
            all && template.split('/').count() == path.split('/').count()
        };
        let found = paths.keys().filter(|template| fits(template)).min_by_key(|template| template.contains('{'))?;
        let method = method.as_str().to_ascii_lowercase();
        let operation = format!("/paths/{}/{method}", escaped(found));
        self.document.pointer(&operation).is_some().then_some(operation)
    }

    /// The parameters of an operation in a place, with the pointers of their schemas.
    fn parameters(&self, operation: &str, place: &str) -> Vec<(&Map<String, Value>, String)> {
        let all = self.at(operation)["parameters"].as_array().into_iter().flatten().enumerate();
        let here = all.filter(|(_, parameter)| parameter["in"] == place);
        here.map(|(index, parameter)| {
            (parameter.as_object().expect("a parameter"), format!("{operation}/parameters/{index}/schema"))
        })
        .collect()
    }
}

/// Holds a request and its answer against the description.
pub(super) fn check(call: &Call, reply: &Reply) {
    let described = &*DESCRIBED;
    let (method, target, body) = call.line();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let shown = format!("{method} {target} {}: {}", reply.status, reply.text);
    let asked = if method == Method::HEAD { Method::GET } else { method.clone() };
    let operation = described.operation(method, path).or_else(|| described.operation(&asked, path));
    let Some(operation) = operation else {
        assert!(matches!(reply.status.as_u16(), 404 | 405), "{shown}: it is not described");
        return check_error(reply, &shown);
    };
    check_answer(&operation, method, reply, &shown);
    let faults = request_faults(&operation, call, query, body);
    if reply.status.is_success() {
        assert_eq!(faults, [""; 0], "{shown}: it was accepted, and is not as described");
    } else if faults.is_empty() && reply.text.contains("\"VALIDATION_FAILED\"") {
        let told = reply.json()["message"].clone();
        let told = told.as_array().expect("messages").iter().filter_map(Value::as_str);
        let unsaid: Vec<_> = told.filter(|told| !BEYOND_SCHEMAS.iter().any(|beyond| told.contains(beyond))).collect();
        assert!(unsaid.is_empty(), "{shown}: it was refused, and is as described");
    }
}

/// An error without an operation.
fn check_error(reply: &Reply, shown: &str) {
    if let Ok(json) = serde_json::from_str(&reply.text) {
        assert_eq!(DESCRIBED.fault("/components/schemas/Error", &json), None, "{shown}");
    }
}

fn check_answer(operation: &str, method: &Method, reply: &Reply, shown: &str) {
    let answer = format!("{operation}/responses/{}", reply.status.as_u16());
    assert!(DESCRIBED.document.pointer(&answer).is_some(), "{shown}: the status is not described");
    let answer = DESCRIBED.resolved(answer);
    let headers = &DESCRIBED.at(&answer)["headers"];
    for (name, value) in &reply.headers {
        if OF_HTTP.contains(&name.as_str()) {
            continue;
        }
        let known =
            headers.as_object().into_iter().flatten().find(|(known, _)| known.eq_ignore_ascii_case(name.as_str()));
        let (known, _) = known.unwrap_or_else(|| panic!("{shown}: the header {name} is not described"));
        let pointer = format!("{answer}/headers/{known}/schema");
        let fault = DESCRIBED.fault(&pointer, &read(&pointer, value.to_str().expect("ASCII")));
        assert_eq!(fault, None, "{shown}: {name}");
    }
    assert!(reply.header("x-request-id").is_some(), "{shown}");
    let Some((media_type, _)) = DESCRIBED.at(&answer)["content"].as_object().and_then(|it| it.iter().next()) else {
        return assert_eq!(reply.text, "", "{shown}: no body is described");
    };
    let essence = reply.header("content-type").and_then(|it| it.split(';').next());
    assert_eq!(essence, Some(media_type.as_str()), "{shown}");
    if method == Method::HEAD {
        return;
    }
    let json = if media_type == "application/json" { reply.json() } else { reply.text.clone().into() };
    let fault = DESCRIBED.fault(&format!("{answer}/content/{}/schema", escaped(media_type)), &json);
    assert_eq!(fault, None, "{shown}");
}

/// What of a request is not as it is described; what a schema does not have to say of it is not looked at.
fn request_faults(operation: &str, call: &Call, query: &str, body: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    let sent: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let known = DESCRIBED.parameters(operation, "query");
    for (name, value) in sent {
        match known.iter().find(|(parameter, _)| parameter["name"] == name) {
            Some((_, pointer)) => faults.extend(DESCRIBED.fault(pointer, &read(pointer, &value))),
            // Where there are no parameters, whatever is sent is not looked at.
            None if known.is_empty() => {}
            None => faults.push(format!("{name} is not described")),
        }
    }
    for (parameter, pointer) in DESCRIBED.parameters(operation, "header") {
        let name = parameter["name"].as_str().expect("a name");
        let sent = call.headers();
        let sent = sent.iter().find(|(sent, _)| name.eq_ignore_ascii_case(sent));
        match sent {
            Some((_, value)) => {
                let value = String::from_utf8_lossy(value).into_owned();
                faults.extend(DESCRIBED.fault(&pointer, &value.into()));
            }
            None if parameter["required"] == true => faults.push(format!("{name} is missing")),
            None => {}
        }
    }
    let pointer = format!("{operation}/requestBody/content/application~1json/schema");
    if DESCRIBED.document.pointer(&pointer).is_some() {
        match serde_json::from_slice(body) {
            Ok(json) => faults.extend(DESCRIBED.fault(&pointer, &as_whole(json))),
            // JSON has numbers that no float is; they are kept as they are written.
            Err(error) if error.to_string().starts_with("number out of range") => {}
            Err(error) => faults.push(error.to_string()),
        }
    }
    faults
}

/// A batch without its items, which are accepted or refused each by itself.
fn as_whole(mut body: Value) -> Value {
    if let Some(Value::Array(items)) = body.get_mut("conversions") {
        let one = serde_json::json!({"externalOrderId": "A", "orderAmount": "1"});
        items.iter_mut().for_each(|item| *item = one.clone());
    }
    body
}

/// A text as the schema at a place would have it: a number, if it wants one.
fn read(pointer: &str, text: &str) -> Value {
    match DESCRIBED.at(pointer)["type"] == "integer" && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
        false => text.into(),
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
