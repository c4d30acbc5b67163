//! Why an order is what it is, as its merchant is told.

use serde_json::{Value, json};

use crate::up::client::{CONVERSIONS, Client, Merchant};
use crate::up::cluster::Target;

/// The explanation of a processed order, with its id and state as they are told beside it.
pub(crate) fn explained(target: &Target, merchant: &'static Merchant, conversion: &Value) -> Value {
    let id = conversion["externalOrderId"].as_str().expect("an order id");
    let answer = Client::new(target, merchant).get(&format!("{CONVERSIONS}/{id}/explain")).expect("an answer");
    let told = answer.json();
    assert_eq!((answer.status, &told["externalOrderId"]), (200, &json!(id)), "{answer:?}");
    assert_eq!(told["conversionId"], conversion["conversionId"], "{answer:?}");
    let explanation = told["explanation"].clone();
    assert!(explanation.is_object(), "{answer:?}");
    explanation
}

/// The rules that were considered, each with what came of it.
pub(crate) fn outcomes(explanation: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let rules = explanation["rules"].as_array().expect("a list").iter();
    rules.map(|rule| (text(&rule["ruleId"]), text(&rule["outcome"]))).collect()
}

/// The question that its click failed; nothing if it passed all six.
pub(crate) fn failed_check(explanation: &Value) -> Option<String> {
    let checks = explanation["click"]["checks"].as_array().expect("a list");
    let failed = checks.iter().find(|check| check["passed"] == false);
    assert!(failed.is_some() || checks.len() == 6, "{explanation}");
    failed.map(|check| check["question"].as_str().expect("a text").to_owned())
}

/// The topics of the facts that it is made of, each of which says where in its topic.
pub(crate) fn fact_topics(explanation: &Value) -> Vec<String> {
    let facts = explanation["facts"].as_array().expect("a list").iter();
    let topic = |fact: &Value| {
        assert!(fact["partition"].is_u64() && fact["offset"].is_u64(), "{explanation}");
        fact["topic"].as_str().expect("a text").to_owned()
    };
    facts.map(topic).collect()
}
