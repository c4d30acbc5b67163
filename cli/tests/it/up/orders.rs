//! Orders as a test sends them, and what has to become of them, worked out without the crates under test.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::up::client::{Answer, CONVERSIONS, Client, Merchant, ONE, ORDER_STATUS, TWO};

/// A day after the demo's recorded clicks.
pub(crate) const ORDERED_AT: &str = "2026-06-14T09:30:00Z";

/// The click that an order names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Click {
    /// None.
    Missing,
    /// One that nobody ever recorded.
    Unknown,
    /// The recorded one of the order's merchant.
    Own,
    /// The recorded one of the other merchant.
    Foreign,
}

/// An order and everything about it that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Whose it is.
    pub(crate) merchant: &'static Merchant,
    /// Its id.
    pub(crate) id: String,
    /// The click it names.
    pub(crate) click: Click,
    /// The product.
    pub(crate) product: Option<&'static str>,
    /// The amount in paisa.
    pub(crate) amount_minor: i64,
    /// How long a note its metadata has.
    pub(crate) note_characters: usize,
    /// The status it was reported with.
    pub(crate) status: &'static str,
    /// The statuses reported of it since.
    pub(crate) updates: BTreeSet<&'static str>,
    /// Re-sends with another amount.
    pub(crate) conflicts: u32,
}

impl Order {
    /// A confirmed order of this merchant by its own click.
    pub(crate) fn new(merchant: &'static Merchant, id: impl Into<String>, amount_minor: i64) -> Order {
        Order {
            merchant,
            id: id.into(),
            click: Click::Own,
            product: None,
            amount_minor,
            note_characters: 0,
            status: "confirmed",
            updates: BTreeSet::new(),
            conflicts: 0,
        }
    }

    /// The body of its report.
    pub(crate) fn body(&self) -> String {
        self.body_with(self.amount_minor)
    }

    /// The body of a report of it with an amount that may be wrong.
    pub(crate) fn body_with(&self, amount_minor: i64) -> String {
        let mut body = json!({
            "externalOrderId": self.id, "orderAmount": decimal(amount_minor), "currency": "NPR",
            "orderStatus": self.status, "orderedAt": ORDERED_AT, "metadata": {"test": self.id, "note": "-".repeat(self.note_characters)},
        });
        let other = if self.merchant == &ONE { &TWO } else { &ONE };
        match self.click {
            Click::Missing => {}
            Click::Unknown => body["clickId"] = json!(format!("clk_nobody_{}", self.id)),
            Click::Own => body["clickId"] = json!(self.merchant.click),
            Click::Foreign => body["clickId"] = json!(other.click),
        }
        if let Some(product) = self.product {
            body["externalProductId"] = json!(product);
        }
        body.to_string()
    }

    /// Reports it, and that it was delivered.
    pub(crate) fn deliver(&mut self, client: &mut Client) {
        for (path, body) in [(CONVERSIONS, self.body()), (ORDER_STATUS, self.status_body("delivered"))] {
            let answer = client.settle(path, &body, None);
            assert_eq!(answer.status, 202, "order {}: {answer:?}", self.id);
        }
        self.updates.insert("delivered");
    }

    /// The body of a status update of it.
    pub(crate) fn status_body(&self, status: &str) -> String {
        json!({"externalOrderId": self.id, "status": status}).to_string()
    }

    /// The confidence that it ends with, and the reason of a LOW one.
    pub(crate) fn confidence(&self) -> (&'static str, Option<&'static str>) {
        match self.click {
            Click::Missing => ("LOW", Some("no_click")),
            Click::Unknown | Click::Foreign => ("LOW", Some("click_unknown")),
            Click::Own => ("HIGH", None),
        }
    }

    /// The commission in paisa, if it has one.
    pub(crate) fn commission_minor(&self) -> Option<i64> {
        let percent = match (self.merchant.id, self.product) {
            ("mer_one", Some("SKU-RED-42")) => 12,
            ("mer_one", Some("SKU-ZERO")) => 0,
            ("mer_one", _) => 10,
            _ => 5,
        };
        (self.click == Click::Own).then(|| half_even(self.amount_minor * percent))
    }

    /// The state in which nothing more happens to it.
    pub(crate) fn final_state(&self) -> &'static str {
        let reported = |status: &str| self.status == status || self.updates.contains(status);
        if ["cancelled", "returned", "refunded", "commission_rejected"].into_iter().any(reported) {
            "reversed"
        } else if self.click != Click::Own {
            "received"
        } else if ["confirmed", "paid", "delivered", "commission_approved"].into_iter().any(reported) {
            "payable"
        } else {
            "commission_created"
        }
    }

    /// What is wrong with an answer about it at any time after its 202.
    pub(crate) fn fault(&self, answer: &Answer) -> Option<String> {
        let shown = answer.json();
        let expected = decimal(self.amount_minor);
        let right = answer.status == 200
            && shown["externalOrderId"] == self.id.as_str()
            && shown["orderAmount"] == expected.as_str()
            && shown["metadata"]["test"] == self.id.as_str()
            && shown["metadata"]["note"].as_str().map(str::len) == Some(self.note_characters)
            && (shown["commission"].is_null() || self.commission_fits(&shown["commission"]));
        (!right).then(|| format!("order {} of {} paisa: {answer:?}", self.id, self.amount_minor))
    }

    /// What an answer about it does not yet say of its end.
    pub(crate) fn unsettled(&self, answer: &Answer) -> Option<String> {
        let shown = answer.json();
        let (confidence, reason) = self.confidence();
        let settled = self.fault(answer).is_none()
            && shown["state"] == self.final_state()
            && shown["confidence"] == confidence
            && shown["confidenceReason"] == json!(reason)
            && shown["commission"].is_null() == self.commission_minor().is_none()
            && shown["conflicts"].as_u64() >= Some(u64::from(self.conflicts));
        (!settled).then(|| format!("{self:?} has to end {} and {confidence}: {answer:?}", self.final_state()))
    }

    fn commission_fits(&self, shown: &Value) -> bool {
        self.commission_minor().is_some_and(|minor| shown["amount"] == decimal(minor).as_str())
    }
}

/// Paisa as a decimal string of rupees.
pub(crate) fn decimal(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// A hundredth, half to even.
fn half_even(hundredths: i64) -> i64 {
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match rest.cmp(&50) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Equal => whole + whole % 2,
        std::cmp::Ordering::Greater => whole + 1,
    }
}
