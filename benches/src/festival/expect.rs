//! What an order must have become, worked out from the plan and from what was accepted, and from nothing of the server's.

use serde::Deserialize;

use super::book::{Line, Part};
use super::plan::{Click, Order, Status};

/// How an order must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    state: &'static str,
    confidence: &'static str,
    reason: Option<&'static str>,
    /// The amount as written, and the level of its rule.
    commission: Option<(String, &'static str)>,
    refunded: Option<String>,
}

/// What the server says of an order, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    state: String,
    confidence: Option<String>,
    confidence_reason: Option<String>,
    pub(super) commission: Option<ShownCommission>,
    refunded_amount: Option<String>,
    order_amount: String,
    currency: String,
    conflicts: u64,
}

/// A commission in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ShownCommission {
    amount: String,
    level: String,
}

/// What is wrong with an order: what kind of thing, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

/// Compares what the server says of an order, none for not found, with what it must say.
pub(super) fn check(order: &Order, line: Line, holds_end: bool, shown: Option<&Shown>) -> Option<Wrong> {
    let wrong = |what, expected: &str, found: String| Some(Wrong { what, expected: expected.to_owned(), found });
    let Some(shown) = shown else {
        let accepted = line.accepted(Part::Report);
        return if accepted { wrong("lost", "the order, which was accepted", "404".to_owned()) } else { None };
    };
    if order.group.forged {
        return wrong("let in", "404, for its signature was wrong", shown.state.clone());
    }
    if !line.accepted(Part::Report) && !line.unclear(Part::Report) {
        return wrong("let in", "404, for it was refused", shown.state.clone());
    }
    let money = order.group.merchant.money();
    let (amount, found) = (money.decimal(order.amount), format!("{} {}", shown.order_amount, shown.currency));
    if shown.order_amount != amount || shown.currency != money.code() {
        return wrong("amount", &format!("{amount} {}", money.code()), found);
    }
    if let Some(wrong) = check_conflicts(line, shown.conflicts) {
        return Some(wrong);
    }
    let ends = ends(order, line, holds_end);
    let difference = |end: &End| difference(end, shown);
    let differences: Option<Vec<Wrong>> = ends.iter().map(difference).collect();
    // One end that fits is enough; the first is that with everything in doubt having arrived.
    differences.and_then(|all| all.into_iter().next())
}

fn check_conflicts(line: Line, found: u64) -> Option<Wrong> {
    let accepted = u64::from(line.accepted(Part::Conflict));
    let open = line.unclear(Part::Conflict) || line.conflict_repeated();
    let fits = if open { found >= accepted } else { found == accepted };
    let expected = format!("{}{accepted}", if open { "at least " } else { "" });
    (!fits).then(|| Wrong { what: "conflicts", expected, found: found.to_string() })
}

fn difference(end: &End, shown: &Shown) -> Option<Wrong> {
    let text = |text: Option<&str>| text.unwrap_or("null").to_owned();
    let commission =
        |of: Option<(&str, &str)>| of.map_or("null".to_owned(), |(amount, level)| format!("{amount} by {level}"));
    let confidence = (Some(end.confidence), end.reason);
    let found = (shown.confidence.as_deref(), shown.confidence_reason.as_deref());
    let pairs = [
        ("state", end.state.to_owned(), shown.state.clone()),
        ("confidence", format!("{confidence:?}"), format!("{found:?}")),
        (
            "commission",
            commission(end.commission.as_ref().map(|(amount, level)| (amount.as_str(), *level))),
            commission(shown.commission.as_ref().map(|it| (it.amount.as_str(), it.level.as_str()))),
        ),
        ("refunded", text(end.refunded.as_deref()), text(shown.refunded_amount.as_deref())),
    ];
    let differs = pairs.into_iter().find(|(_, expected, found)| expected != found);
    differs.map(|(what, expected, found)| Wrong { what, expected, found })
}

/// All ends that there may be: what is unclear has arrived or has not.
fn ends(order: &Order, line: Line, holds_end: bool) -> Vec<End> {
    let mut parts: Vec<Part> = (0..order.updates.len()).map(Part::Update).collect();
    parts.push(Part::Click);
    let unclear: Vec<Part> = parts.iter().copied().filter(|part| line.unclear(*part)).collect();
    let combinations = 0..1_u32 << unclear.len();
    let end = |missing: u32| {
        let arrived = |part: Part| {
            let doubt = unclear.iter().position(|it| *it == part);
            line.accepted(part) || doubt.is_some_and(|place| missing & (1 << place) == 0)
        };
        end(order, arrived, holds_end)
    };
    combinations.map(end).collect()
}

fn end(order: &Order, arrived: impl Fn(Part) -> bool, holds_end: bool) -> End {
    let merchant = order.group.merchant;
    let (confidence, reason) = match order.click {
        Click::None => ("LOW", Some("no_click")),
        Click::Known(_) => ("HIGH", None),
        Click::Late(_) if arrived(Part::Click) => ("HIGH", None),
        Click::Late(_) | Click::Unknown => ("LOW", Some("click_unknown")),
    };
    let (mut held, mut approved, mut reversed) = (order.confirmed, false, false);
    let (mut refunded, mut refunds, mut counted) = (0, false, 0);
    for (place, update) in order.updates.iter().enumerate() {
        if reversed || !arrived(Part::Update(place)) {
            continue;
        }
        match (update.status, update.refunded) {
            (Status::Confirmed | Status::Delivered, _) => held = true,
            (Status::Approved, _) => approved = true,
            (Status::Cancelled | Status::Rejected, _) | (Status::Returned | Status::Refunded, None) => reversed = true,
            (Status::Returned | Status::Refunded, Some(part)) => {
                refunds = true;
                refunded += part;
                reversed = refunded >= order.amount;
                // The commission stays with the amount that it had before the last of the order was refunded.
                counted = if reversed { counted } else { refunded };
            }
        }
    }
    let high = confidence == "HIGH";
    let state = match (reversed, high, held, approved) {
        (true, ..) => "reversed",
        (false, false, ..) => "received",
        (false, true, _, true) => "payable",
        (false, true, true, false) if holds_end => "payable",
        (false, true, true, false) => "hold",
        (false, true, false, false) => "commission_created",
    };
    let terms = merchant.terms(order.product);
    let commission = || (merchant.money().decimal(terms.commission(order.amount, counted)), terms.level);
    let refunded = refunds.then(|| merchant.money().decimal(refunded.min(order.amount)));
    End { state, confidence, reason, commission: high.then(commission), refunded }
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
