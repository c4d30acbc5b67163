//! What becomes of one order in a test: reports, re-sends and statuses, drawn at random, in the order of their sending.
//!
//! Nothing here knows how it must end; that is the checker's to say.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::facts::now_ms;
use crate::http::{Merchant, ONE, TWO};
use crate::random::Random;

/// A day after the recorded clicks, and the instant at which a rule takes effect.
const ORDERED_AT: &str = "2026-06-14T09:30:00Z";
/// How many clicks come late; each is named by many orders.
pub(crate) const LATE_CLICKS: u64 = 40;

/// One thing to send.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A click on this link, which the order then names.
    Click(&'static str),
    /// The report.
    Report,
    /// The report to both edges at once.
    Twice,
    /// The report to one edge, and at the same time one that differs to the other.
    Raced,
    /// A report that differs.
    Differing,
    /// A status update.
    Status(Value),
}

/// An order and what is still to be sent of it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Whose it is.
    pub(crate) merchant: &'static Merchant,
    /// The body of its report.
    pub(crate) report: Value,
    /// What is still to be sent, in order.
    pub(crate) steps: VecDeque<Step>,
}

impl Order {
    /// Draws an order of this id.
    pub(crate) fn draw(random: &mut Random, id: &str) -> Order {
        let merchant = if random.percent(75) { &ONE } else { &TWO };
        let mut steps = VecDeque::new();
        let report = report(random, merchant, id, &mut steps);
        let reporting = match random.below(100) {
            0..80 => Step::Report,
            80..92 => Step::Twice,
            _ => Step::Raced,
        };
        steps.push_back(reporting);
        let early = steps.len() - 1;
        for _ in 0..random.pick(&[0, 0, 1, 1, 1, 2, 3]) {
            let status = Step::Status(status(random, id, &report));
            let place = if random.percent(20) { early } else { steps.len() };
            if random.percent(15) {
                steps.push_back(status.clone());
            }
            steps.insert(place, status);
        }
        if random.percent(20) {
            steps.push_back(Step::Report);
        }
        if random.percent(8) {
            steps.push_back(Step::Differing);
        }
        Order { merchant, report, steps }
    }

    /// The body of a report of it that differs.
    pub(crate) fn differing(&self) -> Value {
        let mut body = self.report.clone();
        body["orderAmount"] = json!(if body["currency"] == "JPY" { "77777" } else { "777.77" });
        body["currency"] = json!(if body["currency"] == "JPY" { "JPY" } else { "NPR" });
        body
    }
}

fn report(random: &mut Random, merchant: &Merchant, id: &str, steps: &mut VecDeque<Step>) -> Value {
    let amount = random.below(1_000_000);
    let (currency, amount) = match (merchant.id, random.below(10)) {
        ("mer_two", 0..2) => (Some("USD"), decimal(amount)),
        ("mer_two", _) => (Some("JPY"), amount.to_string()),
        (_, 0..3) => (None, decimal(amount)),
        _ => (Some("NPR"), decimal(amount)),
    };
    let mut body = json!({
        "externalOrderId": id, "orderAmount": amount,
        "orderStatus": random.pick(&["confirmed", "confirmed", "confirmed", "pending", "delivered", "cancelled"]),
        "metadata": {"order": id, "note": "-".repeat(random.index(200))},
    });
    if let Some(currency) = currency {
        body["currency"] = json!(currency);
    }
    if let Some(product) = random.pick(&[Some("SKU-RED-42"), Some("SKU-NEW"), Some("SKU-ZERO"), Some("SKU-9"), None]) {
        body["externalProductId"] = json!(product);
    }
    if random.percent(40) {
        body["couponCode"] = json!(random.pick(&["AFF10", "aff10", "turn", "TWO10", "own10", "NOBODYS"]));
    }
    match random.below(100) {
        0..80 => body["orderedAt"] = json!(ORDERED_AT),
        80..90 => body["orderedAt"] = json!("2026-06-14T09:29:59.999Z"),
        _ => {}
    }
    let links: &[&'static str] = if merchant.id == "mer_one" { &["demo", "demo-long"] } else { &["demo-two"] };
    match random.below(100) {
        0..45 => body["clickId"] = json!(merchant.click),
        45..55 => {}
        55..61 => body["clickId"] = json!(format!("clk_nobody_{id}")),
        61..65 => body["clickId"] = json!(if merchant.id == "mer_one" { TWO.click } else { ONE.click }),
        65..78 => {
            // Placed now, or its click would come after it; some do.
            if random.percent(70) {
                body.as_object_mut().expect("an object").remove("orderedAt");
            }
            steps.push_back(Step::Click(random.pick(links)));
        }
        78..90 => body["clickId"] = json!(random.pick(&["clk_edge", "clk_old", "clk_long", "clk_own"])),
        _ => body["clickId"] = json!(late_click(random.below(LATE_CLICKS))),
    }
    body
}

fn status(random: &mut Random, id: &str, report: &Value) -> Value {
    let statuses = [
        "delivered",
        "delivered",
        "delivered",
        "confirmed",
        "paid",
        "pending",
        "commission_approved",
        "cancelled",
        "refunded",
        "refunded",
        "refunded",
        "returned",
        "commission_rejected",
    ];
    let status = random.pick(&statuses);
    let mut body = json!({"externalOrderId": id, "status": status});
    if matches!(status, "refunded" | "returned")
        && let Some(amount) = refunded(random, report)
    {
        body["refundedAmount"] = json!(amount);
    }
    let now_ms = now_ms();
    let second = |seconds: u64| i64::try_from(seconds).expect("a small number") * 1_000;
    let at_ms = match random.below(10) {
        0..5 => return body,
        // Long ago, in whole hours so that some are of one instant.
        5..7 => 1_781_429_400_000 + 3_600 * second(random.below(6)),
        // Now, so that its hold is still running, or has not begun.
        7..9 => now_ms - second(random.below(5)),
        _ => now_ms + second(random.below(4)),
    };
    body["statusUpdatedAt"] = json!(Timestamp::from_millisecond(at_ms).expect("a time of this century").to_string());
    body
}

/// A part of the order, the rest if it comes twice, something finer than most currencies, or nothing said of it.
fn refunded(random: &mut Random, report: &Value) -> Option<String> {
    let amount = report["orderAmount"].as_str().expect("an amount");
    let whole: u64 = amount.split('.').next().and_then(|whole| whole.parse().ok()).expect("digits");
    match random.below(10) {
        0..3 => None,
        3..6 => Some((whole / 2 + 1).to_string()),
        6..8 => Some((whole / 3 + 1).to_string()),
        8 => Some(amount.to_owned()).filter(|_| whole > 0),
        _ => Some("0.125".to_owned()),
    }
}

/// The id of a click that is recorded only late.
pub(crate) fn late_click(number: u64) -> String {
    format!("clk_late_{number}")
}

fn decimal(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
