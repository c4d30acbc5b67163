//! What a report may say, and what is answered if it says something else.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::registry::Registry;
use schemas::{Currency, Timestamp};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::auth::Key;

const FUTURE_MAX_MS: i64 = 300_000;
const METADATA_BYTES_MAX: usize = 8 << 10;

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: Vec<String>,
}

impl Refused {
    pub(crate) fn unsigned(code: &'static str) -> Refused {
        Refused {
            status: StatusCode::UNAUTHORIZED,
            code,
            message: vec!["the request is not signed by a key that may be used".to_owned()],
        }
    }

    pub(crate) fn unavailable() -> Refused {
        let message = vec!["not recorded: send it again".to_owned()];
        Refused { status: StatusCode::SERVICE_UNAVAILABLE, code: "UNAVAILABLE", message }
    }

    pub(crate) fn not_found() -> Refused {
        Refused {
            status: StatusCode::NOT_FOUND,
            code: "NOT_FOUND",
            message: vec!["there is no such conversion".to_owned()],
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = self.status.canonical_reason().unwrap_or_default();
        let body =
            json!({ "statusCode": self.status.as_u16(), "error": error, "code": self.code, "message": self.message });
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<'a> {
    click_id: Option<String>,
    external_order_id: String,
    external_product_id: Option<String>,
    order_amount: String,
    currency: Option<String>,
    order_status: Option<String>,
    ordered_at: Option<String>,
    coupon_code: Option<String>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// A report that is taken.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) merchant_id: String,
    pub(crate) livemode: bool,
    pub(crate) external_order_id: String,
    pub(crate) event_id: String,
    pub(crate) click_id: Option<String>,
    pub(crate) external_product_id: Option<String>,
    pub(crate) amount_minor: i64,
    pub(crate) currency: &'static str,
    pub(crate) order_status: String,
    pub(crate) ordered_at: i64,
    pub(crate) received_at: i64,
    pub(crate) coupon_code: Option<String>,
    pub(crate) metadata: Option<String>,
}

/// Reads a body, and collects all that is wrong with it.
pub(crate) fn parse(body: &[u8], key: &Key, registry: &Registry, now: Timestamp) -> Result<Report, Refused> {
    let refused = |code, message| Refused { status: StatusCode::BAD_REQUEST, code, message };
    let body: Body<'_> = serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { "VALIDATION_FAILED" } else { "MALFORMED_JSON" };
        refused(code, vec![error.to_string()])
    })?;
    let mut faults = Vec::new();
    let mut length = |name: &str, value: Option<&String>, least: usize, most: usize| {
        if value.is_some_and(|value| !(least..=most).contains(&value.chars().count())) {
            faults.push(format!("{name} must have {least} to {most} characters"));
        }
    };
    length("externalOrderId", Some(&body.external_order_id), 1, 160);
    length("clickId", body.click_id.as_ref(), 0, 128);
    length("externalProductId", body.external_product_id.as_ref(), 0, 160);
    length("couponCode", body.coupon_code.as_ref(), 0, 64);
    let preset = registry.merchant(&key.merchant_id).map(|merchant| merchant.currency);
    let currency = match &body.currency {
        Some(code) => Currency::parse(code).map_err(|error| faults.push(format!("currency {error}"))).ok(),
        None => preset,
    };
    let amount = currency.map(|currency| currency.parse_amount(&body.order_amount));
    let amount_minor = match amount {
        Some(Ok(minor)) => minor,
        Some(Err(error)) => {
            faults.push(format!("orderAmount {error}"));
            0
        }
        None => 0,
    };
    let order_status = body.order_status.unwrap_or_else(|| "pending".to_owned());
    if !["pending", "confirmed", "delivered", "cancelled", "returned", "refunded"].contains(&order_status.as_str()) {
        faults.push("orderStatus must be a status of an order".to_owned());
    }
    let ordered_at = match body.ordered_at.as_deref().map(Timestamp::parse) {
        Some(Ok(at)) if at.0 > now.0 + FUTURE_MAX_MS => {
            faults.push("orderedAt must not lie in the future".to_owned());
            now
        }
        Some(Ok(at)) => at,
        Some(Err(error)) => {
            faults.push(format!("orderedAt {error}"));
            now
        }
        None => now,
    };
    if body.metadata.is_some_and(|it| it.get().len() > METADATA_BYTES_MAX || !it.get().starts_with('{')) {
        faults.push(format!("metadata must be an object of at most {METADATA_BYTES_MAX} bytes"));
    }
    let (Some(currency), []) = (currency, &faults[..]) else { return Err(refused("VALIDATION_FAILED", faults)) };
    Ok(Report {
        merchant_id: key.merchant_id.clone(),
        livemode: key.livemode,
        external_order_id: body.external_order_id,
        event_id: schemas::ids::event_id(schemas::ids::EventKind::Conversion, uuid::Uuid::now_v7()),
        click_id: body.click_id,
        external_product_id: body.external_product_id,
        amount_minor,
        currency: currency.code(),
        order_status,
        ordered_at: ordered_at.0,
        received_at: now.0,
        coupon_code: body.coupon_code,
        metadata: body.metadata.map(|it| it.get().to_owned()),
    })
}
