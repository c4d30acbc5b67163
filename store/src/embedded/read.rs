//! The read model, as the edge asks it.
//!
//! A batch of the feeder becomes visible row by row, in the order of keys. A timeline's entries come before the
//! conversion that counts them, so whoever reads the conversion first and then as many entries as it counts sees one
//! revision, whole, without a lock.

use std::sync::Arc;

use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{Cause, CauseType, ConversionReported, ConversionState, ConversionTransitioned, TimelineEntry};
use streams::{Record, StateStore, StoreError};
use tokio::task::spawn_blocking;

use super::feed::CONVERSIONS_TOPIC;
use super::rows::{conversion_key, decode_conversion, decode_entry, timeline_key};
use super::{EmbeddedStore, Shared};
use crate::claims::ConversionClaim;
use crate::view::{ConversionView, ListPage, ListQuery, ReadError, ReadModel};

/// Most reads of reports at once from a log that blocks: they hold threads. Others wait for theirs to come, which the
/// edge bounds by its deadline.
pub(super) const READS_MAX: usize = 8;

impl ReadModel for EmbeddedStore {
    /// Read from the caller's own thread, as the claims are; only a report that has to come from another machine is not.
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionView>, ReadError> {
        if let Some(view) = self.shared.materialized(id).map_err(failed)? {
            return Ok(Some(view));
        }
        let Some(claim) = self.shared.conversion_claim(id).map_err(failed)? else { return Ok(None) };
        let report = self.shared.report(id, &claim).await?;
        Ok(Some(received(id, report)))
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, ReadError> {
        self.shared.list(query).await
    }
}

impl Shared {
    fn materialized(&self, id: ConversionId) -> Result<Option<ConversionView>, StoreError> {
        let Some(value) = self.rows.get(&conversion_key(id))? else { return Ok(None) };
        let (head, conversion) = decode_conversion(&value)?;
        let mut timeline = Vec::new();
        let (from, until) = (timeline_key(id, 0), timeline_key(id, head.seq_last.saturating_add(1)));
        self.rows.scan(&from, &until, &mut |_, entry| {
            timeline.push(decode_entry(entry));
            true
        })?;
        let timeline = timeline.into_iter().collect::<Result<_, _>>()?;
        Ok(Some(ConversionView { conversion, timeline }))
    }

    /// The report that a claim is for, from the log.
    async fn report(&self, id: ConversionId, claim: &ConversionClaim) -> Result<ConversionReported, ReadError> {
        let missing = |message: &str| missing(id, claim, message);
        let record = if self.reports.blocks() {
            let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|error| missing(&error.to_string()))?;
            let (reports, claim) = (Arc::clone(&self.reports), claim.clone());
            let read = spawn_blocking(move || {
                // Kept to the end of the read, whether or not anybody still waits for it.
                let _permit = permit;
                reports.read(&claim)
            });
            read.await.map_err(|error| missing(&error.to_string()))?
        } else {
            self.reports.read(claim)
        };
        match record {
            Ok(Some(record)) => named(id, &record).map_err(|message| missing(&message)),
            Ok(None) => Err(missing("there is no record")),
            Err(error) => Err(missing(&error.to_string())),
        }
    }
}

/// The report that a record is, if it is one of the conversion.
fn named(id: ConversionId, record: &Record) -> Result<ConversionReported, String> {
    if record.topic == CONVERSIONS_TOPIC.id {
        reported(id, &record.value)
    } else {
        Err("another topic's record is there".to_owned())
    }
}

fn reported(id: ConversionId, value: &[u8]) -> Result<ConversionReported, String> {
    let report: ConversionReported = schemas::decode(value).map_err(|error| error.to_string())?;
    let order = OrderKey {
        merchant_id: &report.merchant_id,
        livemode: report.livemode,
        external_order_id: &report.external_order_id,
    };
    if order.conversion_id() == id { Ok(report) } else { Err("another order's report is there".to_owned()) }
}

/// The conversion as of its report alone, before `orders` has said anything of it.
fn received(id: ConversionId, report: ConversionReported) -> ConversionView {
    let cause = Cause {
        kind: CauseType::Reported,
        event_id: Some(report.event_id.clone()),
        order_status: None,
        applied: true,
        fields: Vec::new(),
    };
    let entry = TimelineEntry { seq: 1, state: ConversionState::Received, at: report.received_at, cause };
    let conversion = ConversionTransitioned {
        conversion_id: id,
        revision: 0,
        seq: 1,
        event_id: report.event_id,
        merchant_id: report.merchant_id,
        livemode: report.livemode,
        external_order_id: report.external_order_id,
        state: ConversionState::Received,
        confidence: None,
        confidence_reason: None,
        click_id: report.click_id,
        affiliate_id: None,
        campaign_id: None,
        external_product_id: report.external_product_id,
        amount_minor: report.amount_minor,
        currency: report.currency,
        order_status: report.order_status,
        ordered_at: report.ordered_at.unwrap_or(report.received_at),
        received_at: report.received_at,
        coupon_code: report.coupon_code,
        metadata: report.metadata,
        commission: None,
        hold_until: None,
        conflicts: 0,
        timeline: Vec::new(),
        at: report.received_at,
    };
    ConversionView { conversion, timeline: vec![entry] }
}

fn missing(id: ConversionId, claim: &ConversionClaim, message: &str) -> ReadError {
    let ConversionClaim { partition, offset, .. } = claim;
    ReadError(format!(
        "the report of {id}, claimed at offset {offset} of partition {partition}, cannot be read: {message}"
    ))
}

fn failed(error: StoreError) -> ReadError {
    ReadError(error.to_string())
}
