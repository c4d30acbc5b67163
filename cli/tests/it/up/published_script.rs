//! The published client script, run by the real bash, openssl and curl, and the life of its order.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::up::client::{CONVERSIONS, Client, ONE, ORDER_STATUS, unix_seconds};
use crate::up::cluster::{Cluster, alone, on_each_cluster};
use crate::up::orders::Order;
use crate::up::poll;

on_each_cluster!(from_the_script_to_payable, a_cancelled_order_is_reversed);

const ORDER: &str = "SHOP-100245";

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published-client.sh")
}

/// Runs the script and returns the body that it printed.
fn run_script(cluster: &impl Cluster) -> Value {
    let mut bash = Command::new("bash");
    bash.arg(script()).env("API_BASE", format!("http://{}", cluster.address()));
    for variable in ["PUBLIC_KEY", "SIGNING_SECRET", "http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"] {
        bash.env_remove(variable);
    }
    let output = bash.output().expect("bash runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn states(conversion: &Value) -> Vec<&str> {
    let timeline = conversion["timeline"].as_array().expect("a timeline");
    let seqs: Vec<_> = timeline.iter().map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=timeline.len() as u64).map(Some).collect::<Vec<_>>(), "{conversion}");
    let times: Vec<_> = timeline.iter().map(|entry| instant(&entry["at"])).collect();
    assert!(times.is_sorted(), "{conversion}");
    timeline.iter().map(|entry| entry["state"].as_str().expect("a state")).collect()
}

fn instant(value: &Value) -> jiff::Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no instant"))
}

/// Waits until an order is in one of these states.
fn reach(client: &mut Client, order: &str, deadline: Duration, wanted: &[&str]) -> Value {
    poll(deadline, || {
        let answer = client.conversion(order);
        let conversion = answer.json();
        let reached = conversion["state"].as_str().is_some_and(|state| wanted.contains(&state));
        if reached { Ok(conversion) } else { Err(format!("order {order} is not {wanted:?}: {answer:?}")) }
    })
}

fn from_the_script_to_payable<C: Cluster>() {
    let _alone = alone();
    let cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let first = run_script(&cluster);
    let reported = Instant::now();
    let event_id = first["eventId"].as_str().unwrap_or_default();
    assert!(event_id.starts_with("cnvevt_"), "{first}");
    assert_eq!(first, json!({"eventId": event_id, "status": "RECEIVED", "duplicate": false}));

    let held = reach(&mut client, ORDER, Duration::from_secs(2), &["hold", "payable"]);
    assert!(reported.elapsed() < Duration::from_secs(2), "{held}");
    assert_eq!((&held["confidence"], &held["confidenceReason"]), (&json!("HIGH"), &Value::Null), "{held}");
    let commission =
        json!({"amount": "359.88", "currency": "NPR", "level": "product", "ruleId": "rul_sku_red_42", "rate": "12"});
    assert_eq!(held["commission"], commission, "{held}");
    assert_eq!(held["eventId"], event_id, "{held}");
    assert_eq!((&held["orderAmount"], &held["couponCode"]), (&json!("2999.00"), &json!("AFF10")), "{held}");
    assert_eq!(held["metadata"], json!({"channel": "instagram"}), "{held}");

    // Twice within one second, so that the signatures are equal too.
    let again = poll(Duration::from_secs(30), || {
        let before = unix_seconds();
        let answers = [run_script(&cluster), run_script(&cluster)];
        if unix_seconds() == before { Ok(answers) } else { Err("two runs of the script take more than a second") }
    });
    let duplicate = json!({"status": "DUPLICATE", "conversionId": held["conversionId"], "duplicate": true});
    assert_eq!(again, [duplicate.clone(), duplicate]);

    let payable = reach(&mut client, ORDER, Duration::from_secs(20), &["payable"]);
    assert_eq!(payable["commission"], commission, "{payable}");
    assert_eq!(states(&payable), ["received", "attributed", "commission_created", "hold", "payable"], "{payable}");
    let (received_at, hold_until) = (instant(&payable["receivedAt"]), instant(&payable["holdUntil"]));
    assert_eq!(hold_until.duration_since(received_at).as_millis(), 5_000, "{payable}");
    assert!(instant(&payable["timeline"][4]["at"]) >= hold_until, "{payable}");
    assert_eq!(payable["timeline"][4]["cause"]["type"], "hold_elapsed", "{payable}");
    assert_eq!(payable["conflicts"], 0, "{payable}");
}

fn a_cancelled_order_is_reversed<C: Cluster>() {
    let cluster = C::start();
    let mut client = Client::new(&cluster.target(), &ONE);
    let order = Order { product: Some("SKU-RED-42"), ..Order::new(&ONE, "SHOP-100246", 299_900) };
    let answer = client.settle(CONVERSIONS, &order.body(), None);
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("RECEIVED")), "{answer:?}");
    reach(&mut client, &order.id, Duration::from_secs(10), &["hold", "payable"]);

    let answer = client.settle(ORDER_STATUS, &order.status_body("cancelled"), None);
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("ACCEPTED")), "{answer:?}");
    let event_id = answer.json()["eventId"].clone();
    let reversed = reach(&mut client, &order.id, Duration::from_secs(10), &["reversed"]);
    assert_eq!(reversed["commission"]["amount"], "359.88", "{reversed}");
    assert_eq!(reversed["orderStatus"], "cancelled", "{reversed}");
    let passed: Vec<&str> = states(&reversed).into_iter().filter(|state| *state != "payable").collect();
    assert_eq!(passed, ["received", "attributed", "commission_created", "hold", "reversed"], "{reversed}");
    let last = reversed["timeline"].as_array().and_then(|timeline| timeline.last()).expect("an entry");
    assert_eq!(last["cause"]["orderStatus"], "cancelled", "{reversed}");
    assert_eq!(last["cause"]["eventId"], event_id, "{reversed}");
}

#[test]
fn the_readme_shows_this_script() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&readme).expect("the README is there");
    let script = fs::read_to_string(script()).expect("the script is there");
    let (_, command) = script.split_once("\nBODY=").expect("the script has a body");
    assert!(readme.contains(&format!("\nBODY={}\n", command.trim_end())), "the README's script is another one");
}
