//! What the read API answers, as far as it is printed, and how.

use std::fmt;
use std::io::{self, Write};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A conversion. Fields that are not printed are ignored, and an unknown state is printed as it is: a newer server may
/// have more of both.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    /// The state.
    pub(super) state: String,
    confidence: Option<String>,
    confidence_reason: Option<String>,
    commission: Option<Commission>,
    hold_until: Option<String>,
    timeline: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Commission {
    amount: String,
    currency: String,
    level: Option<String>,
    rate: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    seq: u64,
    state: String,
    at: Option<String>,
    cause: Option<Map<String, Value>>,
}

impl View {
    /// Every state that the order has been in.
    pub(super) fn states(&self) -> impl Iterator<Item = &str> {
        self.timeline.iter().map(|entry| entry.state.as_str()).chain([self.state.as_str()])
    }
}

/// Prints what is new since the last time.
#[derive(Debug, Default)]
pub(super) struct Printer {
    seq: u64,
    last: Option<[Option<String>; 3]>,
}

impl Printer {
    /// Whether the order was known at least once.
    pub(super) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Prints the entries that are new, and below them confidence, commission and hold end when they have changed.
    ///
    /// # Errors
    /// The output is closed.
    pub(super) fn print(&mut self, view: &View, to: &mut impl Write) -> io::Result<()> {
        for entry in &view.timeline {
            if entry.seq > self.seq {
                self.seq = entry.seq;
                writeln!(to, "{entry}")?;
            }
        }
        let facts = [confidence(view), commission(view), hold(view)];
        let before = self.last.replace(facts.clone()).unwrap_or_default();
        for (fact, before) in facts.iter().zip(&before) {
            match fact {
                Some(fact) if Some(fact) != before.as_ref() => writeln!(to, "      {fact}")?,
                Some(_) | None => {}
            }
        }
        to.flush()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_deref().unwrap_or("-");
        write!(f, "{:>4}  {at:<24}  {:<18}", self.seq, Plain(&self.state))?;
        if let Some(kind) = self.cause.as_ref().and_then(|cause| cause.get("type")?.as_str()) {
            write!(f, "  {}", Plain(kind))?;
        }
        for (name, value) in self.cause.iter().flatten() {
            match (name.as_str(), value) {
                ("type", _) | (_, Value::Null) => {}
                (name, Value::String(text)) => write!(f, "  {}={}", Plain(name), Plain(text))?,
                (name, value) => write!(f, "  {}={value}", Plain(name))?,
            }
        }
        Ok(())
    }
}

fn confidence(view: &View) -> Option<String> {
    let confidence = view.confidence.as_ref()?;
    let reason = view.confidence_reason.as_ref().map(|reason| format!(" ({})", Plain(reason))).unwrap_or_default();
    let then = if confidence == "LOW" { ": waits for a reviewer, or for its click" } else { "" };
    Some(format!("confidence {}{reason}{then}", Plain(confidence)))
}

fn commission(view: &View) -> Option<String> {
    let Commission { amount, currency, level, rate } = view.commission.as_ref()?;
    let rate = rate.as_ref().map(|rate| format!(" {} %", Plain(rate))).unwrap_or_default();
    let rule = level.as_ref().map(|level| format!(" ({} rule{rate})", Plain(level))).unwrap_or_default();
    Some(format!("commission {} {}{rule}", Plain(amount), Plain(currency)))
}

fn hold(view: &View) -> Option<String> {
    view.hold_until.as_ref().map(|until| format!("held until {}", Plain(until)))
}

/// Text of the server without control characters, which a terminal would obey.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain: String = self.0.chars().filter(|c| !c.is_control()).collect();
        f.pad(&plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printed(printer: &mut Printer, view: Value) -> String {
        let view: View = serde_json::from_value(view).expect("a view");
        let mut text = Vec::new();
        printer.print(&view, &mut text).expect("a vector takes all");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn each_entry_once_and_facts_when_they_change() {
        let mut printer = Printer::default();
        let received = json!({"seq": 1, "state": "received", "at": "2026-06-14T09:30:00Z",
            "cause": {"type": "reported", "eventId": "cnvevt_1"}});
        let hold = json!({"seq": 2, "state": "hold", "at": "2026-06-14T09:30:01Z", "cause": {"type": "click_matched"}});
        let first = json!({"state": "received", "confidence": null, "confidenceReason": null, "commission": null,
            "holdUntil": null, "timeline": [received.clone()]});
        assert!(!printer.has_begun());
        let text = printed(&mut printer, first.clone());
        assert_eq!(text, "   1  2026-06-14T09:30:00Z      received            reported  eventId=cnvevt_1\n");
        assert!(printer.has_begun());
        assert_eq!(printed(&mut printer, first), "");
        let second = json!({"state": "hold", "confidence": "HIGH", "holdUntil": "2026-06-14T09:30:06Z",
            "commission": {"amount": "359.88", "currency": "NPR", "level": "product", "ruleId": "r", "rate": "12"},
            "timeline": [received, hold]});
        let text = printed(&mut printer, second.clone());
        let expected = "   2  2026-06-14T09:30:01Z      hold                click_matched
      confidence HIGH
      commission 359.88 NPR (product rule 12 %)
      held until 2026-06-14T09:30:06Z
";
        assert_eq!(text, expected);
        assert_eq!(printed(&mut printer, second), "");
    }

    #[test]
    fn a_terminal_is_not_steered() {
        let view = json!({"state": "x", "timeline": [{"seq": 1, "state": "a\u{1b}[2Jb"}]});
        assert!(printed(&mut Printer::default(), view).contains("a[2Jb"));
    }
}
