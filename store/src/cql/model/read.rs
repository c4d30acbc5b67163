//! The read model, as the edge asks it.

use std::sync::Arc;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{Cause, CauseType, ConversionState, ReportedStatus, Review, TimelineEntry};
use scylla::DeserializeRow;
use scylla::response::query_result::QueryResult;
use scylla::value::CqlTimestamp;
use tokio::sync::Semaphore;

use super::super::claims::CqlClaims;
use super::super::error::CqlError;
use super::super::link::{Cql, Lane};
use super::conversion::ConversionValue;
use super::payouts::{page, payout};
use super::values::{Json, Word};
use crate::claims::Claims;
use crate::embedded::Reports;
use crate::payouts::{PayoutPage, PayoutQuery, PayoutView, payout_digest};
use crate::received::ReportReader;
use crate::view::{ConversionView, ListPage, ListQuery, ReadError, ReadModel};

/// Most pages of lists at once: each makes as many requests as a slot has shards. Others wait for theirs to come, which the
/// edge bounds by its deadline.
const PAGES_MAX: usize = 8;

/// The read model that all edges share.
#[derive(Debug)]
pub struct CqlReadModel {
    pub(super) cql: Cql,
    claims: CqlClaims,
    reports: ReportReader,
    pub(super) pages: Semaphore,
}

impl CqlReadModel {
    /// The read model of a server. What is claimed there and not yet in it is read from the log.
    #[must_use]
    pub fn new(cql: &Cql, reports: Arc<dyn Reports>) -> CqlReadModel {
        CqlReadModel {
            cql: cql.clone(),
            claims: CqlClaims::new(cql),
            reports: ReportReader::new(reports),
            pages: Semaphore::new(PAGES_MAX),
        }
    }

    async fn materialized(&self, id: ConversionId) -> Result<Option<ConversionView>, CqlError> {
        let call = self.cql.call(Lane::Reads).await?;
        let connected = call.connected();
        let answer = connected.session.execute_unpaged(&connected.model.conversion, (&id.0[..],)).await;
        view(id, call.done(answer)?)
    }
}

impl ReadModel for CqlReadModel {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionView>, ReadError> {
        if let Some(view) = self.materialized(id).await.map_err(failed)? {
            return Ok(Some(view));
        }
        let claim = Claims::conversion(&self.claims, id).await.map_err(|error| ReadError(error.to_string()))?;
        let Some(claim) = claim else { return Ok(None) };
        self.reports.received(id, &claim).await.map(Some)
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, ReadError> {
        self.page(query).await.map_err(failed)
    }

    async fn payout(&self, payout_id: &str) -> Result<Option<PayoutView>, ReadError> {
        payout(&self.cql, payout_digest(payout_id)).await.map_err(failed)
    }

    async fn payouts(&self, query: &PayoutQuery) -> Result<PayoutPage, ReadError> {
        let _page = self.pages.acquire().await.expect("the places are never closed");
        page(&self.cql, query).await.map_err(failed)
    }
}

/// A row of a conversion's partition: the conversion with `seq` 0, or an entry of its timeline.
#[derive(Debug, DeserializeRow)]
struct PartitionRow {
    seq: i32,
    conversion: Option<ConversionValue>,
    state: Option<Word<ConversionState>>,
    at: Option<CqlTimestamp>,
    cause: Option<Word<CauseType>>,
    event_id: Option<String>,
    order_status: Option<Word<ReportedStatus>>,
    refunded_thousandths: Option<i64>,
    applied: Option<bool>,
    fields: Option<Vec<String>>,
    review: Option<Json<Review>>,
}

impl PartitionRow {
    fn into_entry(self) -> Option<TimelineEntry> {
        let cause = Cause {
            kind: self.cause?.0,
            event_id: self.event_id,
            order_status: self.order_status.map(|word| word.0),
            refunded_thousandths: self.refunded_thousandths,
            applied: self.applied?,
            // An empty list is none, to some servers.
            fields: self.fields.unwrap_or_default(),
            review: self.review.map(|json| json.0),
        };
        Some(TimelineEntry { seq: self.seq, state: self.state?.0, at: Timestamp(self.at?.0), cause })
    }
}

/// A conversion, and as many entries of its timeline as it counts.
fn view(id: ConversionId, answer: QueryResult) -> Result<Option<ConversionView>, CqlError> {
    let malformed = |error: &dyn std::fmt::Display| CqlError::malformed(&id.to_string(), error);
    let rows = answer.into_rows_result().map_err(|error| malformed(&error))?;
    let mut rows = rows.rows::<PartitionRow>().map_err(|error| malformed(&error))?;
    let Some(first) = rows.next().transpose().map_err(|error| malformed(&error))? else { return Ok(None) };
    // Entries without a conversion that counts them: it is on its way.
    let Some(conversion) = first.conversion else { return Ok(None) };
    let conversion = conversion.into_record(id);
    let mut timeline = Vec::new();
    for row in rows {
        let row = row.map_err(|error| malformed(&error))?;
        if row.seq <= conversion.seq {
            timeline.push(row.into_entry().ok_or_else(|| malformed(&"an entry of its timeline is not whole"))?);
        }
    }
    Ok(Some(ConversionView { conversion, timeline }))
}

fn failed(error: CqlError) -> ReadError {
    ReadError(error.to_string())
}
