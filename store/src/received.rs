//! A conversion of which nothing is known but its claim: as of its report alone, which is read from the log.

use std::sync::Arc;

use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{Cause, CauseType, ConversionReported, ConversionState, ConversionTransitioned, TimelineEntry};
use schemas::topics::CONVERSIONS;
use streams::Record;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::claims::ConversionClaim;
use crate::embedded::Reports;
use crate::view::{ConversionView, ReadError};

/// Most reads of reports at once from a log that blocks: they hold threads. Others wait for theirs to come, which the
/// edge bounds by its deadline.
const READS_MAX: usize = 8;

/// Reads reports from the log, a few at once.
#[derive(Debug)]
pub(crate) struct ReportReader {
    reports: Arc<dyn Reports>,
    /// Reads that block, which may be under way.
    reads: Arc<Semaphore>,
}

impl ReportReader {
    /// Reads them from there.
    pub(crate) fn new(reports: Arc<dyn Reports>) -> ReportReader {
        ReportReader { reports, reads: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// The conversion as of the report that its claim is for.
    pub(crate) async fn received(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<ConversionView, ReadError> {
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
            Ok(Some(record)) => {
                named(id, &record).map(|report| received(id, report)).map_err(|message| missing(&message))
            }
            Ok(None) => Err(missing("there is no record")),
            Err(error) => Err(missing(&error.to_string())),
        }
    }
}

/// The report that a record is, if it is one of the conversion.
fn named(id: ConversionId, record: &Record) -> Result<ConversionReported, String> {
    if record.topic == CONVERSIONS.number {
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
        refunded_thousandths: None,
        applied: true,
        fields: Vec::new(),
        review: None,
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
        suggested_affiliate_id: None,
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
        refunded_thousandths: None,
        conflicts: 0,
        timeline: Vec::new(),
        explanation: None,
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
