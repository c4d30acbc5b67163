//! The routes.

use std::io::Write;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use schemas::ids::OrderKey;
use schemas::{Currency, Timestamp};
use serde_json::{Value, json};
use tokio_postgres::Row;

use crate::auth::now;
use crate::reports::Taken;
use crate::request::{self, Refused};
use crate::{Failure, Service};

const SELECT: &str = "
    SELECT event_id, external_order_id, livemode, state, confidence, confidence_reason, click_id, affiliate_id, campaign_id,
           external_product_id, amount_minor, currency, order_status, ordered_at, received_at, coupon_code, metadata,
           commission_minor, commission_level, rule_id, rate, hold_until
    FROM conversions WHERE merchant_id = $1 AND livemode = $2 AND external_order_id = $3";

/// `POST /api/v1/conversions`
pub(crate) async fn report(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let now = now();
    let key = service.keys.check(&headers, &body, now)?;
    let report = request::parse(&body, key, &service.registry, now)?;
    let event_id = report.event_id.clone();
    let order = (report.external_order_id.clone(), key);
    let answer = match service.reports.take(report).await {
        Some(Taken::Received) => format!(r#"{{"eventId":"{event_id}","status":"RECEIVED","duplicate":false}}"#),
        Some(Taken::Duplicate) => {
            let (external_order_id, key) = order;
            let key = OrderKey {
                merchant_id: &key.merchant_id,
                livemode: key.livemode,
                external_order_id: &external_order_id,
            };
            format!(r#"{{"status":"DUPLICATE","conversionId":"{}","duplicate":true}}"#, key.conversion_id())
        }
        None => return Err(Refused::unavailable()),
    };
    Ok(json_answer(StatusCode::ACCEPTED, answer))
}

/// `GET /api/v1/conversions/{externalOrderId}`
pub(crate) async fn conversion(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let key = service.keys.check(&headers, b"", now())?;
    let found = find(&service, &key.merchant_id, key.livemode, &id).await.map_err(|error| {
        complain("reading a conversion", &error);
        Refused::unavailable()
    })?;
    let row = found.ok_or_else(Refused::not_found)?;
    let order = OrderKey { merchant_id: &key.merchant_id, livemode: key.livemode, external_order_id: &id };
    Ok(json_answer(StatusCode::OK, shown(&row, &order).to_string()))
}

async fn find(service: &Service, merchant_id: &str, livemode: bool, id: &str) -> Result<Option<Row>, Failure> {
    let client = service.pool.get().await?;
    let statement = client.prepare_cached(SELECT).await?;
    Ok(client.query_opt(&statement, &[&merchant_id, &livemode, &id]).await?)
}

fn shown(row: &Row, order: &OrderKey<'_>) -> Value {
    let text = |name: &str| row.get::<_, Option<String>>(name);
    let time = |name: &str| row.get::<_, Option<i64>>(name).map(|at| Timestamp(at).to_string());
    let code: String = row.get("currency");
    let money = |minor: i64| Currency::parse(&code).map(|currency| currency.format_amount(minor)).ok();
    let commission = row.get::<_, Option<i64>>("commission_minor").map(|minor| {
        json!({ "amount": money(minor), "currency": code, "level": text("commission_level"), "ruleId": text("rule_id"), "rate": text("rate") })
    });
    let metadata: Option<Value> = text("metadata").and_then(|text| serde_json::from_str(&text).ok());
    json!({
        "conversionId": order.conversion_id().to_string(), "eventId": text("event_id"), "externalOrderId": order.external_order_id,
        "livemode": order.livemode, "state": text("state"), "confidence": text("confidence"),
        "confidenceReason": text("confidence_reason"), "clickId": text("click_id"), "affiliateId": text("affiliate_id"),
        "campaignId": text("campaign_id"), "externalProductId": text("external_product_id"),
        "orderAmount": money(row.get("amount_minor")), "currency": code, "orderStatus": text("order_status"),
        "orderedAt": time("ordered_at"), "receivedAt": time("received_at"), "couponCode": text("coupon_code"),
        "metadata": metadata, "commission": commission, "holdUntil": time("hold_until"),
        // There are no refunds, and re-sends that differ are not told from others.
        "refundedAmount": null, "conflicts": 0,
    })
}

fn json_answer(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Tells an operator.
pub(crate) fn complain(doing: &str, error: &Failure) {
    // Nothing is left to tell it to when stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "peer-postgres: {doing}: {error}");
}
