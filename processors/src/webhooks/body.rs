//! What an endpoint is told.

use schemas::records::{ConversionState, ConversionTransitioned};
use schemas::view::{ConversionBody, DamagedMetadata};
use serde::Serialize;

/// The body of a webhook.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

/// The conversion as its merchant reads it, and what changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    sequence: i32,
    old_state: Option<ConversionState>,
    new_state: ConversionState,
    #[serde(flatten)]
    conversion: ConversionBody<'a>,
}

/// Renders a change from the state before, if that is known.
pub(super) fn render(
    conversion: &ConversionTransitioned,
    before: Option<ConversionState>,
) -> Result<String, DamagedMetadata> {
    let event = Event {
        kind: "conversion.transitioned",
        timestamp: conversion.at.to_string(),
        data: Data {
            sequence: conversion.seq,
            old_state: before,
            new_state: conversion.state,
            conversion: ConversionBody::of(conversion, &conversion.timeline)?,
        },
    };
    Ok(serde_json::to_string(&event).expect("texts, numbers and JSON are JSON"))
}
