//! Keys over their life, and from where they may be used.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::server::start;
use crate::support::{Bench, Call, NOW_S, REGISTRY, Sender};

pub(crate) const OLD: Sender = Sender { key: "live_pk_old", secret: "sk_live_old_00000000000000000000" };
const NEW: Sender = Sender { key: "live_pk_new2", secret: "sk_live_new_11111111111111111111" };

/// The bench's registry with [`OLD`], which has these fields besides.
pub(crate) fn with_old(fields: &str) -> String {
    with(OLD, fields)
}

fn with(sender: Sender, fields: &str) -> String {
    let Sender { key, secret } = sender;
    format!("{REGISTRY}\n[[keys]]\nid = \"{key}\"\nmerchant = \"mer_one\"\nsecret = \"{secret}\"\n{fields}\n")
}

pub(crate) fn order(id: &str) -> Call {
    Call::conversion(format!(r#"{{"externalOrderId":"{id}","orderAmount":"1"}}"#)).by(OLD)
}

#[tokio::test]
async fn a_merchant_rotates_without_a_gap() {
    let bench = Bench::new();
    let both = |old: &str| {
        let (old, new) = (with_old(old), with(NEW, ""));
        format!("{old}{}", new.strip_prefix(REGISTRY).unwrap())
    };
    // One key; then two side by side, each with its own secret; then the new one alone.
    bench.set_registry(&with_old(""));
    bench.send(order("A")).await.accepted("RECEIVED");
    bench.send(order("B").by(NEW)).await.error(401, "INVALID_API_KEY");
    bench.set_registry(&both(""));
    bench.send(order("B").by(NEW)).await.accepted("RECEIVED");
    bench.send(order("C")).await.accepted("RECEIVED");
    bench.send(order("D").by(Sender { secret: OLD.secret, ..NEW })).await.error(401, "INVALID_SIGNATURE");
    bench.send(order("A").by(NEW)).await.accepted("DUPLICATE");
    // The old one ends by itself, to the millisecond, or by hand, and back.
    bench.set_registry(&both("expires_at = \"2026-06-14T09:31:00Z\""));
    bench.clock.set((NOW_S + 60) * 1_000 - 1);
    bench.send(order("D")).await.accepted("RECEIVED");
    bench.clock.set((NOW_S + 60) * 1_000);
    bench.send(order("E")).await.error(401, "API_KEY_EXPIRED");
    for (status, code) in [("disabled", "API_KEY_DISABLED"), ("revoked", "API_KEY_REVOKED")] {
        bench.set_registry(&both(&format!("status = \"{status}\"")));
        bench.send(order("E")).await.error(401, code);
        bench.send(Call::get("/api/v1/conversions/A").by(OLD)).await.error(401, code);
        bench.send(order("E").header("x-signature", "0".repeat(64))).await.error(401, "INVALID_SIGNATURE");
    }
    bench.send(order("E").by(NEW)).await.accepted("RECEIVED");
    bench.set_registry(&both("status = \"active\""));
    bench.send(order("F")).await.accepted("RECEIVED");
}

#[tokio::test]
async fn a_merchant_is_approved_or_has_test_keys_only() {
    let bench = Bench::new();
    let live = Sender { key: "live_pk_new", secret: "sk_live_new_00000000000000000000" };
    let test = Sender { key: "test_pk_new", secret: "sk_test_new_00000000000000000000" };
    bench.send(order("A").by(live)).await.error(401, "MERCHANT_NOT_APPROVED");
    bench.send(order("A").by(test)).await.accepted("RECEIVED");
    bench.set_registry(&REGISTRY.replace("approved = false", "approved = true"));
    bench.send(order("A").by(live)).await.accepted("RECEIVED");
}

#[tokio::test]
async fn a_key_with_a_list_is_used_from_there_only() {
    let bench = Bench::new();
    bench.set_registry(&with_old("allowed_ips = \"203.0.113.0/24, 198.51.100.7, 2001:db8::/32\""));
    for (number, (peer, allowed)) in [
        ("203.0.113.0", true),
        ("203.0.113.255", true),
        ("::ffff:203.0.113.9", true),
        ("198.51.100.7", true),
        ("2001:db8:1::1", true),
        ("203.0.112.255", false),
        ("203.0.114.0", false),
        ("198.51.100.6", false),
        ("198.51.100.8", false),
        ("2001:db9::1", false),
        ("127.0.0.1", false),
        ("::1", false),
    ]
    .into_iter()
    .enumerate()
    {
        let call = order(&format!("order {number}")).from(peer);
        // What a sender writes of itself counts for nothing.
        let reply = bench.send(call.header("x-forwarded-for", "203.0.113.1")).await;
        if allowed {
            reply.accepted("RECEIVED");
        } else {
            let messages = reply.error(401, "IP_NOT_ALLOWED");
            assert_eq!(messages, [format!("the API key may not be used from {peer}")]);
        }
    }
    // Other keys are used from anywhere; and nobody learns of a list who does not sign rightly.
    bench.send(Call::conversion(r#"{"externalOrderId":"A","orderAmount":"1"}"#)).await.accepted("RECEIVED");
    let wrong = order("B").header("x-signature", "0".repeat(64));
    bench.send(wrong).await.error(401, "INVALID_SIGNATURE");
    bench.send(Call::get("/api/v1/conversions/A").by(OLD)).await.error(401, "IP_NOT_ALLOWED");
    assert!(bench.metric("auth_failures_total{code=\"IP_NOT_ALLOWED\"} 8").await);
}

#[tokio::test]
async fn behind_proxies_the_address_is_what_the_trusted_ones_say() {
    for (trusted_proxies, forwarded, expected) in [
        (1, Some("203.0.113.7"), None),
        (1, Some("198.51.100.1, 203.0.113.7"), None),
        (2, Some("203.0.113.7, 198.51.100.1"), None),
        (1, Some("203.0.113.7, 198.51.100.1"), Some("198.51.100.1")),
        (2, Some("203.0.113.7"), Some("an address that is not known")),
        (1, None, Some("an address that is not known")),
        (1, Some("203.0.113.7, unknown"), Some("an address that is not known")),
    ] {
        let bench = Bench::with(|config| config.trusted_proxies = trusted_proxies);
        bench.set_registry(&with_old("allowed_ips = \"203.0.113.7\""));
        // The connection's own address is a proxy's, and on nobody's list.
        let call = order("A").from("10.0.0.1");
        let call = match forwarded {
            Some(forwarded) => call.header("x-forwarded-for", forwarded),
            None => call,
        };
        let reply = bench.send(call).await;
        match expected {
            None => reply.accepted("RECEIVED"),
            Some(from) => {
                let messages = reply.error(401, "IP_NOT_ALLOWED");
                assert_eq!(messages, [format!("the API key may not be used from {from}")], "{forwarded:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_address_is_that_of_the_connection() {
    let served = start(|_| {}).await;
    for (list, expected) in [("127.0.0.1", "RECEIVED"), ("203.0.113.7", "IP_NOT_ALLOWED")] {
        served.bench.set_registry(&with_old(&format!("allowed_ips = \"{list}\"")));
        let mut stream = crate::server::open(&served, &order("A").header("connection", "close").into_wire()).await;
        stream.flush().await.unwrap();
        let text = crate::server::rest(stream).await;
        assert!(text.contains(expected), "{list}: {text}");
        sleep(Duration::from_millis(1)).await;
    }
}
