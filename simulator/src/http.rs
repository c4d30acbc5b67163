//! Requests as merchants and shoppers send them, and what comes back.

use std::fmt::Write as _;

use axum::body::Body as HttpBody;
use axum::http::Request;
use hmac::{Hmac, KeyInit as _, Mac as _};
use oracle::{Body, Report, Status};
use schemas::records::{OrderStatus, ReportedStatus};
use serde_json::{Map, Value, value::RawValue};
use sha2::Sha256;

use crate::merchants::Ticket;
use crate::terms::Sender;

/// A request on its way to an edge.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) ticket: Ticket,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) ticket: Ticket,
    /// The edge that answers.
    pub(crate) edge: usize,
    /// When the request was sent, by the wall clock, in milliseconds.
    pub(crate) sent_ms: i64,
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) text: String,
}

impl Call {
    /// As it goes to the router.
    pub(crate) fn request(&self) -> Request<HttpBody> {
        let mut request = Request::builder().uri(&self.path).method(if self.body.is_some() { "POST" } else { "GET" });
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = self.body.clone().map_or_else(HttpBody::empty, HttpBody::from);
        request.body(body).expect("the simulator makes no other headers")
    }
}

/// A shopper follows a link.
pub(crate) fn follow(link: &str, ticket: Ticket) -> Call {
    Call { ticket, path: format!("/c/{link}"), headers: Vec::new(), body: None }
}

/// A merchant sends a body, signed at this time.
pub(crate) fn report(sender: Sender, said: &Body, body: &str, key: Option<&str>, now_ms: i64, ticket: Ticket) -> Call {
    let path = match said {
        Body::Report(_) => "/api/v1/conversions",
        Body::Status(_) => "/api/v1/order-status",
        Body::Clock(_) => "/api/v1/test/clock",
    };
    let timestamp = now_ms.div_euclid(1_000).to_string();
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("x-api-key", sender.key.to_owned()),
        ("x-signature", signature(sender, &timestamp, body)),
        ("x-timestamp", timestamp),
    ];
    headers.extend(key.map(|key| ("x-idempotency-key", key.to_owned())));
    Call { ticket, path: path.to_owned(), headers, body: Some(body.to_owned()) }
}

fn signature(sender: Sender, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(sender.secret.as_bytes()).expect("any length is a key");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The click id that a shopper is sent on with.
pub(crate) fn click_of(location: &str) -> Option<String> {
    let rest = location.split_once("affiliate_click_id=")?.1;
    Some(rest.split(['&', '#']).next().unwrap_or(rest).to_owned())
}

/// The body of a request, in JSON.
pub(crate) fn body(external_order_id: &str, body: &Body) -> String {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), Value::String(value));
        }
    };
    set("externalOrderId", Some(external_order_id.to_owned()));
    let mut metadata = None;
    match body {
        Body::Report(report) => {
            let Report { click_id, external_product_id, amount_minor, currency, order_status, .. } = report.clone();
            set("clickId", click_id);
            set("externalProductId", external_product_id);
            set("orderAmount", Some(currency.format_amount(amount_minor)));
            set("currency", Some(currency.code().to_owned()));
            set("orderStatus", Some(order_word(order_status).to_owned()));
            set("orderedAt", report.ordered_at.map(|at| at.to_string()));
            set("couponCode", report.coupon_code.clone());
            metadata.clone_from(&report.metadata);
        }
        Body::Status(Status { status, status_updated_at, refunded_thousandths }) => {
            set("status", Some(status_word(*status).to_owned()));
            set("statusUpdatedAt", status_updated_at.map(|at| at.to_string()));
            set("refundedAmount", refunded_thousandths.map(|it| format!("{}.{:03}", it / 1_000, it % 1_000)));
        }
        Body::Clock(advance_to) => set("advanceTo", Some(advance_to.to_string())),
    }
    let mut text = serde_json::to_string(&fields).expect("texts are JSON");
    if let Some(metadata) = metadata {
        // As it is, byte for byte.
        let raw = RawValue::from_string(metadata).expect("the plan's metadata is JSON");
        text.truncate(text.len() - 1);
        let _ = write!(text, ",\"metadata\":{raw}}}");
    }
    text
}

fn order_word(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "pending",
        OrderStatus::Confirmed => "confirmed",
        OrderStatus::Paid => "paid",
        OrderStatus::Delivered => "delivered",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Returned => "returned",
        OrderStatus::Refunded => "refunded",
    }
}

fn status_word(status: ReportedStatus) -> &'static str {
    match status {
        ReportedStatus::Pending => "pending",
        ReportedStatus::Confirmed => "confirmed",
        ReportedStatus::Paid => "paid",
        ReportedStatus::Delivered => "delivered",
        ReportedStatus::Cancelled => "cancelled",
        ReportedStatus::Returned => "returned",
        ReportedStatus::Refunded => "refunded",
        ReportedStatus::CommissionApproved => "commission_approved",
        ReportedStatus::CommissionRejected => "commission_rejected",
    }
}
