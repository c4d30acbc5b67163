//! What lets a request in, and what it costs to keep one out.

use std::cell::Cell;

use axum::http::HeaderValue;

use super::*;

thread_local! {
    /// Bytes that this thread's checks have seen, and signatures that they have compared.
    static WORK: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

pub(super) fn count_bytes(bytes: usize) {
    let (seen, compared) = WORK.get();
    WORK.set((seen + bytes, compared));
}

pub(super) fn count_comparison() {
    let (seen, compared) = WORK.get();
    WORK.set((seen, compared + 1));
}

const REGISTRY: &str = r#"
[[merchants]]
id = "m"
name = "M"

[[keys]]
id = "live_pk_known"
merchant = "m"
secret = "sk_live_0123456789abcdef"

[[keys]]
id = "live_pk_revoked"
merchant = "m"
secret = "sk_live_fedcba9876543210"
status = "revoked"
"#;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn who_is_kept_out_costs_what_who_is_let_in_does() {
    const BODY: &[u8] = &[b'x'; 1_000];
    let registry = Registry::parse(REGISTRY).unwrap();
    let table = AuthTable::new(&registry);
    let sign = |key: &str, timestamp: &str| {
        let mut mac = mac(registry.keys().find(|known| known.id == key).unwrap().secret.expose().as_bytes());
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(BODY);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (at, past) = ("1781429400", "1781429000");
    let (right, revoked, wrong) =
        (sign("live_pk_known", at), sign("live_pk_revoked", at), "00".repeat(SIGNATURE_BYTES));
    let (key, stamp, mark) = ("x-api-key", "x-timestamp", "x-signature");
    for (fields, expected) in [
        (vec![(key, "live_pk_known"), (stamp, at), (mark, &*right)], "OK"),
        (vec![(key, "live_pk_known"), (stamp, at), (mark, &*wrong)], "INVALID_SIGNATURE"),
        (vec![(key, "live_pk_known"), (stamp, at), (mark, &right[1..])], "INVALID_SIGNATURE"),
        (vec![(key, "live_pk_known"), (stamp, at)], "INVALID_SIGNATURE"),
        (vec![(key, "live_pk_known"), (stamp, past), (mark, &*wrong)], "EXPIRED_TIMESTAMP"),
        (vec![(key, "live_pk_revoked"), (stamp, at), (mark, &*revoked)], "API_KEY_REVOKED"),
        (vec![(key, "live_pk_unknown"), (stamp, at), (mark, &*right)], "INVALID_API_KEY"),
        (vec![(key, "live_pk_unknown"), (stamp, at)], "INVALID_API_KEY"),
        (vec![(stamp, at), (mark, &*right)], "INVALID_API_KEY"),
    ] {
        let headers = headers(&fields);
        WORK.set((0, 0));
        let told =
            table.verify(&headers, BODY, Timestamp(1_781_429_400_000), None).map_or_else(AuthError::code, |_| "OK");
        assert_eq!((told, WORK.get()), (expected, (at.len() + 1 + BODY.len(), 1)), "{fields:?}");

        // A stranger's body that is not kept.
        WORK.set((0, 0));
        let mut strangers = Box::new(table.strangers_mac(&headers));
        BODY.chunks(300).for_each(|piece| strangers.see(piece));
        let _ = strangers.end();
        assert_eq!(WORK.get(), (at.len() + 1 + BODY.len(), 1), "{fields:?}");
    }
}

#[track_caller]
fn check(text: &str, now_ms: i64, expected: Result<(), AuthError>) {
    let found = check_timestamp(text.as_bytes(), Timestamp(now_ms));
    assert_eq!(found.map(drop), expected, "{text} at {now_ms}");
    assert!(found.is_err() || found.map(|seconds| seconds.to_string()).as_deref() == Ok(text));
}

#[test]
fn timestamps_at_and_past_the_tolerance() {
    let now = 1_781_429_400_999;
    check("1781429400", now, Ok(()));
    check("1781429100", now, Ok(()));
    check("1781429700", now, Ok(()));
    check("1781429099", now, Err(AuthError::TimestampPast(301)));
    check("1781429701", now, Err(AuthError::TimestampFuture(301)));
    check("0", now, Err(AuthError::TimestampPast(1_781_429_400)));
    check("", now, Err(AuthError::TimestampMissing));
    for garbage in ["-1", "+1781429400", "1781429400.0", "1e9", "0x6A2E", "1781429400000000000000000", "١"] {
        check(garbage, now, Err(AuthError::TimestampGarbage));
    }
}

#[test]
fn hexadecimal_of_either_case() {
    let lower = "00ff".repeat(16);
    assert_eq!(
        hex::decode::<SIGNATURE_BYTES>(lower.as_bytes()),
        hex::decode::<SIGNATURE_BYTES>(lower.to_uppercase().as_bytes())
    );
    assert!(hex::decode::<SIGNATURE_BYTES>(lower.as_bytes()).is_some());
    for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"0g".repeat(32), &"+1".repeat(32)] {
        assert_eq!(hex::decode::<SIGNATURE_BYTES>(text.as_bytes()), None, "{text}");
    }
}
