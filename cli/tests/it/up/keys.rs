//! Keys over their life, through real processes: the registry changes, and what a key may do changes with it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::up::client::{Answer, CONVERSIONS, Client, Merchant, ONE, TWO, head, unix_seconds};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::{poll, test_clock};

on_each_cluster!(a_merchant_rotates_its_key, a_key_is_held_to_its_limits, no_secret_is_written);

const DEMO: &str = include_str!("../../../../schemas/src/registry/demo.toml");

static OLD: Merchant = key("live_pk_old", "sk_live_5ca1ab1e5ca1ab1e00000001");
static NEW: Merchant = key("live_pk_new", "sk_live_5ca1ab1e5ca1ab1e00000002");
static NEAR: Merchant = key("live_pk_near", "sk_live_5ca1ab1e5ca1ab1e00000003");
static FAR: Merchant = key("live_pk_far", "sk_live_5ca1ab1e5ca1ab1e00000004");
static STRICT: Merchant = key("live_pk_strict", "sk_live_5ca1ab1e5ca1ab1e00000005");
static LIMITED: Merchant = key("live_pk_limited", "sk_live_5ca1ab1e5ca1ab1e00000006");

/// Another key of [`ONE`].
const fn key(key: &'static str, secret: &'static str) -> Merchant {
    Merchant { id: ONE.id, key, secret, click: ONE.click }
}

/// The demo with these keys, each with more fields.
fn registry(keys: &[(&Merchant, &str)]) -> String {
    let entry = |(merchant, fields): &(&Merchant, &str)| {
        let Merchant { id, key, secret, .. } = merchant;
        format!("\n[[keys]]\nid = \"{key}\"\nmerchant = \"{id}\"\nsecret = \"{secret}\"\n{fields}\n")
    };
    format!("{DEMO}{}", keys.iter().map(entry).collect::<String>())
}

fn order(id: &str) -> String {
    json!({"externalOrderId": id, "orderAmount": "10.00"}).to_string()
}

fn report(target: &Target, merchant: &'static Merchant, id: &str) -> Answer {
    Client::new(target, merchant).post(CONVERSIONS, &order(id)).expect("an answer")
}

/// What an answer says of itself: its status, or the code of an error.
fn told(answer: &Answer) -> Value {
    let json = answer.json();
    if json["code"].is_null() { json["status"].clone() } else { json["code"].clone() }
}

#[track_caller]
fn check(target: &Target, merchant: &'static Merchant, id: &str, expected: &str) {
    let answer = report(target, merchant, id);
    assert_eq!(told(&answer), expected, "{} {id}: {answer:?}", merchant.key);
}

fn a_merchant_rotates_its_key<C: Cluster>() {
    let mut cluster = C::start();
    let target = cluster.target();
    cluster.apply(&registry(&[(&OLD, "")]));
    check(&target, &OLD, "KEY-1", "RECEIVED");
    check(&target, &NEW, "KEY-2", "INVALID_API_KEY");

    // Two live keys side by side are one merchant.
    cluster.apply(&registry(&[(&OLD, ""), (&NEW, "")]));
    check(&target, &OLD, "KEY-2", "RECEIVED");
    check(&target, &NEW, "KEY-2", "DUPLICATE");
    check(&target, &NEW, "KEY-3", "RECEIVED");
    assert_eq!(Client::new(&target, &NEW).conversion("KEY-1").status, 200);
    static MIXED: Merchant = key("live_pk_new", "sk_live_5ca1ab1e5ca1ab1e00000001");
    check(&target, &MIXED, "KEY-4", "INVALID_SIGNATURE");

    cluster.apply(&registry(&[(&OLD, "status = \"revoked\""), (&NEW, "")]));
    check(&target, &OLD, "KEY-4", "API_KEY_REVOKED");
    check(&target, &NEW, "KEY-1", "DUPLICATE");
    assert_eq!(Client::new(&target, &OLD).conversion("KEY-1").status, 401, "it reads no more either");

    // A key that expires does so by itself.
    let expires_at = schemas::Timestamp(i64::try_from(unix_seconds() + 2).expect("a time") * 1_000);
    cluster.apply(&registry(&[(&OLD, &format!("expires_at = \"{expires_at}\"")), (&NEW, "")]));
    let expired = poll(Duration::from_secs(20), || {
        let answer = report(&target, &OLD, "KEY-5");
        if answer.status == 202 { Err(format!("{answer:?}")) } else { Ok(answer) }
    });
    assert_eq!(told(&expired), "API_KEY_EXPIRED", "{expired:?}");
    check(&target, &NEW, "KEY-6", "RECEIVED");
}

fn a_key_is_held_to_its_limits<C: Cluster>() {
    let mut cluster = C::start();
    let target = cluster.target();
    cluster.apply(&registry(&[
        (&NEAR, "allowed_ips = \"127.0.0.0/8, 2001:db8::/32\""),
        (&FAR, "allowed_ips = \"203.0.113.0/24\""),
        (&STRICT, "strict_replay = true"),
        (&LIMITED, "rate_limit = \"1/m\"\nrate_burst = \"3\""),
    ]));
    check(&target, &NEAR, "LIMIT-NEAR", "RECEIVED");
    check(&target, &FAR, "LIMIT-FAR", "IP_NOT_ALLOWED");

    // One connection, since each edge remembers what it took itself.
    let mut strict = Client::new(&target, &STRICT);
    let body = order("LIMIT-STRICT");
    let signed = head(&STRICT, &format!("POST {CONVERSIONS}"), &body);
    for expected in ["RECEIVED", "REPLAY_DETECTED", "REPLAY_DETECTED"] {
        let answer = strict.send(&signed, &body).expect("an answer");
        assert_eq!(told(&answer), expected, "{answer:?}");
    }
    let mut near = Client::new(&target, &NEAR);
    let signed = head(&NEAR, &format!("POST {CONVERSIONS}"), &body);
    for _ in 0..2 {
        let answer = near.send(&signed, &body).expect("an answer");
        assert_eq!(told(&answer), "DUPLICATE", "without it a replay is harmless: {answer:?}");
    }

    let mut limited = Client::new(&target, &LIMITED);
    for left in [2, 1, 0] {
        let answer = limited.post(CONVERSIONS, &order(&format!("LIMIT-{left}"))).expect("an answer");
        assert_eq!(told(&answer), "RECEIVED", "{answer:?}");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=3;w=180"), "{answer:?}");
        let prefix = format!("\"key\";r={left};t=");
        assert!(answer.header("ratelimit").is_some_and(|value| value.starts_with(&prefix)), "{answer:?}");
    }
    let refused = limited.post(CONVERSIONS, &order("LIMIT-BEYOND")).expect("an answer");
    assert_eq!((refused.status, told(&refused)), (429, json!("RATE_LIMITED")), "{refused:?}");
    let seconds = refused.header("retry-after").and_then(|value| value.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{refused:?}");
    assert!(refused.header("ratelimit").is_some_and(|value| value.starts_with("\"key\";r=0;t=")), "{refused:?}");
    for (id, status) in [("LIMIT-0", 200), ("LIMIT-BEYOND", 404), ("LIMIT-FAR", 404)] {
        let answer = Client::new(&target, &ONE).conversion(id);
        assert_eq!(answer.status, status, "{id}: {answer:?}");
        assert_eq!(answer.header("ratelimit"), None, "a key without a limit has no such header");
    }
    // On this installation, since each takes seconds to start.
    test_clock::moves_past_a_hold(&mut cluster);
}

/// Neither into data nor into logs. What is on topics, `master_keys` looks at.
fn no_secret_is_written<C: Cluster>() {
    let mut cluster = C::start();
    let target = cluster.target();
    check(&target, &ONE, "SECRET-1", "RECEIVED");
    static WRONG: Merchant = key(ONE.key, TWO.secret);
    check(&target, &WRONG, "SECRET-2", "INVALID_SIGNATURE");
    let metrics = Client::new(&target, &ONE).get("/metrics").expect("an answer").body;
    cluster.quiet("after an order");
    cluster.stop();
    let files = cluster.folder().files();
    assert!(
        files.iter().any(|(path, _)| path.extension().is_some_and(|it| it == "log")),
        "logs are among them: {files:?}"
    );
    let written = files.into_iter().map(|(path, bytes)| (path.display().to_string(), bytes));
    for (name, bytes) in written.chain([("metrics".to_owned(), metrics.into_bytes())]) {
        for secret in [ONE.secret, TWO.secret] {
            let holds = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!holds, "{name} holds a secret");
        }
    }
}
