//! What merchants' endpoints are told, and what they answered.

use serde::{Deserialize, Serialize};

use super::WebhookResult;
use crate::Timestamp;

/// A delivery is to be attempted now. It comes again, as the same attempt, if no outcome is told in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAttempt {
    /// The endpoint.
    pub endpoint_id: String,
    /// The merchant, whose endpoint and order it is.
    pub merchant_id: String,
    /// False for the test namespace.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The last timeline entry of the conversion as of the change that is told; with conversion and endpoint it names the delivery.
    pub sequence: i32,
    /// The header webhook-id: the same for every attempt of a delivery, and for no other delivery.
    pub webhook_id: String,
    /// 1 for the first attempt of the delivery, then one more each; the same again for one whose outcome was lost.
    pub attempt: i32,
    /// The body, JSON, the same bytes in every attempt.
    pub body: String,
    /// Who has not begun to send it by then leaves it: it comes again.
    pub send_before: Timestamp,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookOutcome {
    /// The endpoint.
    pub endpoint_id: String,
    /// The merchant, whose endpoint and order it is.
    pub merchant_id: String,
    /// False for the test namespace.
    pub livemode: bool,
    /// The merchant's order id.
    pub external_order_id: String,
    /// The last timeline entry of the conversion as of the change that is told; with conversion and endpoint it names the delivery.
    pub sequence: i32,
    /// Which attempt.
    pub attempt: i32,
    /// How it ended.
    pub result: WebhookResult,
    /// The status that was answered; absent without an answer.
    pub http_status: Option<i32>,
    /// Why there was no answer, a stable code such as timeout or address_not_allowed; absent with one.
    pub reason: Option<String>,
    /// For how long the endpoint asked to be left alone, in milliseconds, at most a day; absent if it did not.
    pub retry_after_ms: Option<i64>,
    /// How long the attempt took, in milliseconds.
    pub duration_ms: i64,
    /// When it ended.
    pub at: Timestamp,
}
