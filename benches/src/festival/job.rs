//! One request that is to be sent, and what its answer means.

use serde::Deserialize;

use super::book::Part;
use super::client::{Answer, Call, Unanswered};
use super::plan::Plan;
use super::tally::Kind;

const CONVERSIONS: &str = "/api/v1/conversions";
const BATCH: &str = "/api/v1/conversions/batch";
const ORDER_STATUS: &str = "/api/v1/order-status";
const CLICKS: &str = "/internal/v1/clicks";

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// The first report of a group's orders.
    Report {
        group: u64,
    },
    Duplicate {
        order: u64,
    },
    Conflict {
        order: u64,
    },
    Update {
        order: u64,
        place: usize,
    },
    Click {
        order: u64,
    },
}

/// A request, when it was meant to be sent, and how often it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    /// In microseconds from the epoch; an attempt after the first has that of the first.
    pub(super) intended: u64,
    pub(super) action: Action,
    pub(super) attempt: u32,
}

impl Action {
    pub(super) fn kind(self) -> Kind {
        match self {
            Action::Report { .. } => Kind::Report,
            Action::Duplicate { .. } | Action::Conflict { .. } => Kind::Resend,
            Action::Update { .. } => Kind::Update,
            Action::Click { .. } => Kind::Click,
        }
    }

    /// What the server has once it accepts it.
    pub(super) fn part(self) -> Part {
        match self {
            Action::Report { .. } | Action::Duplicate { .. } => Part::Report,
            Action::Conflict { .. } => Part::Conflict,
            Action::Update { place, .. } => Part::Update(place),
            Action::Click { .. } => Part::Click,
        }
    }

    /// The orders that it is about.
    pub(super) fn orders(self, plan: &Plan) -> std::ops::Range<u64> {
        match self {
            Action::Report { group } => plan.orders_of(group),
            Action::Duplicate { order }
            | Action::Conflict { order }
            | Action::Update { order, .. }
            | Action::Click { order } => order..order + 1,
        }
    }

    /// The request, as it is in every attempt but for time and signature.
    pub(super) fn call(self, plan: &Plan) -> Call {
        let id = |order: u64| plan.id(order);
        match self {
            Action::Report { group } if plan.scenario().batch > 1 => {
                let reports: Vec<String> =
                    plan.orders_of(group).map(|number| plan.report(&plan.order(number))).collect();
                let body = format!("{{\"conversions\":[{}]}}", reports.join(","));
                Call::post(BATCH, body, Some(format!("batch-{}", id(group))))
            }
            Action::Report { group: order } | Action::Duplicate { order } => {
                Call::post(CONVERSIONS, plan.report(&plan.order(order)), Some(id(order)))
            }
            // Without a key: the order's was used for another body.
            Action::Conflict { order } => Call::post(CONVERSIONS, plan.conflicting(&plan.order(order)), None),
            Action::Update { order, place } => {
                Call::post(ORDER_STATUS, plan.update(&plan.order(order), place), Some(format!("{}-{place}", id(order))))
            }
            Action::Click { order } => Call::post(CLICKS, plan.late_click(&plan.order(order)), None),
        }
    }
}

/// The question for an order.
pub(super) fn read(plan: &Plan, order: u64) -> Call {
    Call::get(format!("{CONVERSIONS}/{}", plan.id(order)))
}

/// What an answer says of one order or click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Accepted for the first time.
    Received,
    /// Accepted, now or before.
    Accepted,
    /// Not accepted, and not if it is sent again.
    Refused,
    /// Whether it was accepted is not known: it is sent again.
    Unclear,
    /// It was not accepted, but may be if it is sent again.
    Again,
}

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// As it is counted.
    pub(super) code: String,
    /// Of each order of the request; of only one, if they have it in common.
    pub(super) verdicts: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Body {
    status: Option<String>,
    code: Option<String>,
    #[serde(default)]
    results: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    status: String,
    code: Option<String>,
}

/// What an answer means for the orders of a request.
pub(super) fn judge(answer: &Result<Answer, Unanswered>) -> Judged {
    let all = |code: String, verdict| Judged { code, verdicts: vec![verdict] };
    let answer = match answer {
        Ok(answer) => answer,
        Err(unanswered @ Unanswered::NotConnected) => return all(unanswered.name().to_owned(), Verdict::Again),
        Err(unanswered) => return all(unanswered.name().to_owned(), Verdict::Unclear),
    };
    let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
    let status = answer.status;
    match (status, body) {
        (202, Some(body)) => {
            let said = body.status.unwrap_or_default();
            all(format!("202 {said}"), accepted(&said))
        }
        (200, Some(body)) if !body.results.is_empty() => {
            let verdicts = body.results.iter().map(|item| match (accepted(&item.status), item.code.as_deref()) {
                (Verdict::Unclear, Some("UNAVAILABLE" | "INTERNAL")) => Verdict::Unclear,
                (Verdict::Unclear, _) => Verdict::Refused,
                (verdict, _) => verdict,
            });
            Judged { code: "200 batch".to_owned(), verdicts: verdicts.collect() }
        }
        // Not let in, and told so before anything was done.
        (408 | 429, body) => all(code(status, body), Verdict::Again),
        (400..500, body) => all(code(status, body), Verdict::Refused),
        (_, body) => all(code(status, body), Verdict::Unclear),
    }
}

fn code(status: u16, body: Option<Body>) -> String {
    let code = body.and_then(|body| body.code).filter(|code| code.len() <= 40).unwrap_or_default();
    format!("{status} {code}").trim_end().to_owned()
}

fn accepted(said: &str) -> Verdict {
    match said {
        "RECEIVED" => Verdict::Received,
        "DUPLICATE" | "ACCEPTED" | "RECORDED" => Verdict::Accepted,
        _ => Verdict::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, code: &str, verdicts: &[Verdict]) {
        let answer = Answer { status, body: body.to_owned().into() };
        let expected = Judged { code: code.to_owned(), verdicts: verdicts.to_vec() };
        assert_eq!(judge(&Ok(answer)), expected, "{status} {body}");
    }

    #[test]
    fn what_answers_mean() {
        check(202, r#"{"status":"RECEIVED","duplicate":false}"#, "202 RECEIVED", &[Verdict::Received]);
        check(202, r#"{"status":"DUPLICATE","duplicate":true}"#, "202 DUPLICATE", &[Verdict::Accepted]);
        check(202, r#"{"status":"ACCEPTED"}"#, "202 ACCEPTED", &[Verdict::Accepted]);
        check(401, r#"{"code":"INVALID_SIGNATURE"}"#, "401 INVALID_SIGNATURE", &[Verdict::Refused]);
        check(429, r#"{"code":"RATE_LIMITED"}"#, "429 RATE_LIMITED", &[Verdict::Again]);
        check(503, r#"{"code":"UNAVAILABLE"}"#, "503 UNAVAILABLE", &[Verdict::Unclear]);
        check(502, "<html>", "502", &[Verdict::Unclear]);
        let items = r#"{"results":[{"status":"RECEIVED"},{"status":"REJECTED","code":"UNAVAILABLE"},
            {"status":"REJECTED","code":"VALIDATION_FAILED"},{"status":"DUPLICATE"}]}"#;
        let verdicts = [Verdict::Received, Verdict::Unclear, Verdict::Refused, Verdict::Accepted];
        check(200, items, "200 batch", &verdicts);
        assert_eq!(judge(&Err(Unanswered::Timeout)).verdicts, [Verdict::Unclear]);
        assert_eq!(judge(&Err(Unanswered::NotConnected)).verdicts, [Verdict::Again]);
    }
}
