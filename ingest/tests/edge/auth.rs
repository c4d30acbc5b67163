//! Who is let in, and what the others are told.

use crate::support::{Bench, Call, Lines, NOW_S, ONE, ONE_TEST, Sender};

const BODY: &str = r#"{"externalOrderId":"SHOP-100245","orderAmount":"2999.00"}"#;

fn call() -> Call {
    Call::conversion(BODY)
}

#[tokio::test]
async fn a_signature_made_elsewhere_is_accepted() {
    // printf '%s' '1781429400.<body>' | openssl dgst -sha256 -hmac sk_live_one_00000000000000000000
    let known = "0718cc6cf85cf187ae2768248705c37b266690439dd52f0167b82da8383e3baa";
    assert_eq!(ONE.sign("1781429400", BODY.as_bytes()), known);
    let bench = Bench::new();
    bench.send(call().header("x-signature", known)).await.accepted("RECEIVED");
    bench.send(call().header("x-signature", known.to_uppercase())).await.accepted("DUPLICATE");
    let bodyless = "8f6cfa5af4340ba3d9c85d1992549b107be648fe0bf5bc007b9cc9bd4982d05d";
    let get = Call::get("/api/v1/conversions/X").header("x-signature", bodyless);
    bench.send(get).await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn each_reason_has_its_code() {
    #[track_caller]
    fn check(reply: crate::support::Reply, code: &str, begins: &str) {
        let messages = reply.error(401, code);
        assert!(messages.len() == 1 && messages[0].starts_with(begins), "{messages:?}");
    }
    let bench = Bench::new();
    let unknown = Sender { key: "live_pk_nobody", secret: ONE.secret };
    let of = |key, secret| call().by(Sender { key, secret });
    for (call, code, begins) in [
        (call().by(unknown), "INVALID_API_KEY", "X-Api-Key is missing or names no key"),
        (call().without("x-api-key"), "INVALID_API_KEY", "X-Api-Key"),
        (call().unsigned(), "INVALID_API_KEY", "X-Api-Key"),
        (call().header("x-api-key", ""), "INVALID_API_KEY", "X-Api-Key"),
        (call().header("x-api-key", "\u{e9}"), "INVALID_API_KEY", "X-Api-Key"),
        (call().by(unknown).at("x"), "INVALID_API_KEY", "X-Api-Key"),
        (call().without("x-timestamp"), "EXPIRED_TIMESTAMP", "X-Timestamp is missing"),
        (call().at("yesterday"), "EXPIRED_TIMESTAMP", "X-Timestamp is not a decimal number"),
        (call().at(NOW_S * 1_000), "EXPIRED_TIMESTAMP", "X-Timestamp is 1779647970600 s ahead"),
        (call().at(NOW_S - 301), "EXPIRED_TIMESTAMP", "X-Timestamp is 301 s behind"),
        (call().at(NOW_S + 301), "EXPIRED_TIMESTAMP", "X-Timestamp is 301 s ahead"),
        (call().at(NOW_S - 301).header("x-signature", "00"), "EXPIRED_TIMESTAMP", "X-Timestamp is 301 s behind"),
        (call().without("x-signature"), "INVALID_SIGNATURE", "X-Signature is missing or wrong"),
        (call().header("x-signature", "00"), "INVALID_SIGNATURE", "X-Signature"),
        (call().header("x-signature", "0".repeat(64)), "INVALID_SIGNATURE", "X-Signature"),
        (call().header("x-signature", "z".repeat(64)), "INVALID_SIGNATURE", "X-Signature"),
        (call().header("x-signature", ONE.sign("1781429400", b"{}")), "INVALID_SIGNATURE", "X-Signature"),
        (call().header("x-signature", ONE.sign("1781429401", BODY.as_bytes())), "INVALID_SIGNATURE", "X-Signature"),
        (of(ONE.key, ONE_TEST.secret), "INVALID_SIGNATURE", "X-Signature"),
        (of("live_pk_disabled", "wrong"), "INVALID_SIGNATURE", "X-Signature"),
        (of("live_pk_disabled", "sk_live_dis_00000000000000000000"), "API_KEY_DISABLED", "the API key is disabled"),
        (of("live_pk_revoked", "sk_live_rev_00000000000000000000"), "API_KEY_REVOKED", "the API key is revoked"),
        (of("live_pk_expired", "sk_live_exp_00000000000000000000"), "API_KEY_EXPIRED", "the API key has expired"),
        (of("live_pk_new", "sk_live_new_00000000000000000000"), "MERCHANT_NOT_APPROVED", "the merchant is not"),
    ] {
        check(bench.send(call).await, code, begins);
    }
    assert_eq!(bench.log.count(), 0);
    assert!(bench.metric("auth_failures_total{code=\"INVALID_API_KEY\"} 6").await);
}

#[tokio::test]
async fn who_signs_rightly_is_let_in() {
    let bench = Bench::new();
    let order = |id: &str| Call::conversion(format!(r#"{{"externalOrderId":"{id}","orderAmount":"1"}}"#));
    let rotated = Sender { key: "live_pk_one_rotated", secret: "sk_live_one_11111111111111111111" };
    let unapproved_test = Sender { key: "test_pk_new", secret: "sk_test_new_00000000000000000000" };
    let expiring = Sender { key: "live_pk_expired", secret: "sk_live_exp_00000000000000000000" };
    for call in [
        order("past").at(NOW_S - 300),
        order("future").at(NOW_S + 300),
        order("rotated").by(rotated),
        order("test").by(ONE_TEST),
        order("unapproved").by(unapproved_test),
    ] {
        bench.send(call).await.accepted("RECEIVED");
    }
    bench.clock.set(NOW_S * 1_000 - 1);
    bench.send(order("expiring").by(expiring)).await.accepted("RECEIVED");
    // A signed body is told of its faults, an unsigned one is not.
    bench.send(Call::conversion("nonsense")).await.error(400, "MALFORMED_JSON");
    bench.send(Call::conversion("nonsense").unsigned()).await.error(401, "INVALID_API_KEY");
}

/// Collects what is logged.
#[tokio::test]
async fn nothing_printed_or_logged_holds_a_secret() {
    let lines = Lines::of_all_tests();
    let bench = Bench::new();
    let printed = format!("{:?} {:#?}", bench.edge, bench.edge);
    let refused = call().header("x-signature", "0".repeat(64)).header("x-request-id", "req-1");
    bench.send(refused).await.error(401, "INVALID_SIGNATURE");
    bench.send(Call::conversion("{}").header("x-request-id", "req-2")).await.error(400, "VALIDATION_FAILED");
    let logged = lines.text();
    assert!(logged.contains("req-1") && logged.contains("INVALID_SIGNATURE"), "{logged}");
    assert!(logged.contains("req-2") && logged.contains("VALIDATION_FAILED"), "{logged}");
    let signature = ONE.sign(&NOW_S.to_string(), BODY.as_bytes());
    for secret in ["sk_live", "sk_test", &signature] {
        assert!(!printed.contains(secret) && !logged.contains(secret), "{secret} in {printed} {logged}");
    }
    assert!(printed.contains("AuthTable(9 keys)"), "{printed}");
}
