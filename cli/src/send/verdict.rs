//! What became of one object.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::{Answer, Unanswered};

/// Most characters of an answer that is not ours, in a message.
const FOREIGN_CHARACTERS_MAX: usize = 120;

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// New: `RECEIVED`, or `ACCEPTED` for a status.
    Received,
    /// Known already, and safe: `DUPLICATE`.
    Duplicate,
    /// Refused for a fault of its own, here or by the server: sending it again would change nothing.
    Refused {
        /// The error code of the contract, or what stands for it.
        code: String,
        /// Every fault.
        message: String,
    },
    /// Not known to be recorded: it may be sent again as it is.
    Failed {
        /// What happened last.
        message: String,
    },
}

/// One object that is done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// The line that it begins at.
    pub(super) line: u64,
    /// Bytes of input that it took.
    pub(super) bytes: u64,
    /// Its order, when it names one.
    pub(super) order: Option<String>,
    /// What became of it.
    pub(super) verdict: Verdict,
    /// The server's last answer, when there was one.
    pub(super) answer: Option<Answer>,
}

/// Whether a text is a JSON object and may be sent, and the order that it names. What the object means is the
/// server's to judge.
///
/// # Errors
/// It is no JSON object; the text says why.
pub(super) fn check(text: &[u8], is_cut: bool) -> Result<Option<String>, Verdict> {
    let refused = |message: String| Verdict::Refused { code: "NOT_SENT".to_owned(), message };
    if is_cut {
        return Err(refused("is longer than 1 MiB".to_owned()));
    }
    if text.starts_with(b"[") {
        return Err(refused("is a JSON array: write one object a line, as `jq -c '.[]'` does".to_owned()));
    }
    if let Err(error) = serde_json::from_slice::<&RawValue>(text) {
        return Err(refused(format!("is no JSON: {error}")));
    }
    if !text.starts_with(b"{") {
        return Err(refused("is no JSON object".to_owned()));
    }
    /// The one field that is of use here.
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "externalOrderId")]
        order: Option<Value>,
    }
    let head = serde_json::from_slice::<Head>(text).map_err(|error| refused(format!("is no conversion: {error}")))?;
    Ok(head.order.and_then(|order| order.as_str().map(str::to_owned)))
}

/// What an answer means for its object.
pub(super) fn judge(answer: &Result<Answer, Unanswered>) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(unanswered) => return Verdict::Failed { message: unanswered.to_string() },
    };
    let status = answer.status;
    if status.is_success() {
        return judge_success(status, &answer.body);
    }
    let (code, message) = error_of(status, &answer.body);
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        Verdict::Refused { code, message }
    } else if status.is_redirection() {
        Verdict::Failed { message: format!("the server answered {status}: give --to the address that it redirects to") }
    } else {
        Verdict::Failed { message: format!("{code}: {message}") }
    }
}

fn judge_success(status: StatusCode, body: &[u8]) -> Verdict {
    /// What the contract answers.
    #[derive(Deserialize)]
    struct Accepted<'a> {
        status: &'a str,
    }
    match serde_json::from_slice::<Accepted<'_>>(body).map(|accepted| accepted.status) {
        Ok("RECEIVED" | "ACCEPTED") => Verdict::Received,
        Ok("DUPLICATE") => Verdict::Duplicate,
        Ok(_) | Err(_) => {
            let body = foreign(body);
            let message = format!("the server answered {status} and not as the contract has it ({body}): check --to");
            Verdict::Failed { message }
        }
    }
}

/// Code and message of an error body, or what can be said of another one.
pub(crate) fn error_of(status: StatusCode, body: &[u8]) -> (String, String) {
    let parsed = serde_json::from_slice::<Value>(body).ok();
    let code = parsed.as_ref().and_then(|body| body.get("code")?.as_str()).map(str::to_owned);
    let message = parsed.as_ref().and_then(|body| match body.get("message")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(texts) => Some(texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    });
    (code.unwrap_or_else(|| format!("HTTP {}", status.as_u16())), message.unwrap_or_else(|| foreign(body)))
}

/// What the user can do about a code that concerns every request alike.
pub(crate) fn remedy(code: &str) -> Option<&'static str> {
    match code {
        "INVALID_SIGNATURE" => Some("the signing secret does not belong to this --key"),
        "INVALID_API_KEY" => Some("check --key, and that it is a key of this server"),
        "EXPIRED_TIMESTAMP" => Some("set this machine's clock: it is more than 300 s off"),
        "API_KEY_DISABLED" | "API_KEY_REVOKED" | "API_KEY_EXPIRED" => Some("use another key of the merchant"),
        "MERCHANT_NOT_APPROVED" => Some("use a test key until the merchant is approved"),
        "IP_NOT_ALLOWED" => Some("send from an address on the key's list, or extend the list"),
        "NOT_FOUND" | "HTTP 404" => Some("check --to"),
        _ => None,
    }
}

fn foreign(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let plain: String = text.chars().filter(|c| !c.is_control()).take(FOREIGN_CHARACTERS_MAX).collect();
    if plain.is_empty() { "an empty answer".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn judged(status: u16, body: &'static str) -> Verdict {
        let status = StatusCode::from_u16(status).expect("a status");
        judge(&Ok(Answer { status, body: body.into(), latency: Duration::ZERO }))
    }

    fn refused(text: &str) -> String {
        match check(text.as_bytes(), false) {
            Err(Verdict::Refused { code, message }) if code == "NOT_SENT" => message,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn only_objects_are_sent() {
        assert_eq!(check(br#"{"externalOrderId":"A \u00fc"}"#, false), Ok(Some("A ü".to_owned())));
        assert_eq!(check(br#"{"externalOrderId":7}"#, false), Ok(None), "the server says what is wrong with it");
        assert_eq!(check(b"{}", false), Ok(None));
        assert!(check(b"{}", true).is_err());
        assert!(refused("nonsense").contains("is no JSON: "));
        assert!(refused("{\"a\":1,}").contains("is no JSON: "));
        assert!(refused("{} {}").contains("is no JSON: "));
        assert!(refused("7").contains("object"));
        assert!(refused("[{}]").contains("jq"));
    }

    #[test]
    fn answers() {
        assert_eq!(judged(202, r#"{"eventId":"cnvevt_1","status":"RECEIVED","duplicate":false}"#), Verdict::Received);
        assert_eq!(judged(202, r#"{"status":"ACCEPTED"}"#), Verdict::Received);
        assert_eq!(judged(202, r#"{"status":"DUPLICATE"}"#), Verdict::Duplicate);
        assert!(matches!(judged(200, "<html>"), Verdict::Failed { message } if message.contains("<html>")));
        assert!(matches!(judged(302, ""), Verdict::Failed { message } if message.contains("--to")));
        assert!(matches!(judged(503, ""), Verdict::Failed { .. }));
        assert!(matches!(judged(429, ""), Verdict::Failed { .. }));
        let refused = judged(400, r#"{"code":"VALIDATION_FAILED","message":["a is bad","b is bad"]}"#);
        let expected = Verdict::Refused { code: "VALIDATION_FAILED".into(), message: "a is bad; b is bad".into() };
        assert_eq!(refused, expected);
        assert_eq!(
            judged(404, "no\u{1b}[31m such page"),
            Verdict::Refused { code: "HTTP 404".into(), message: "no[31m such page".into() }
        );
    }
}
