//! The read model, as the edge asks it.
//!
//! A batch of the feeder becomes visible row by row, in the order of keys. A timeline's entries come before the
//! conversion that counts them, so whoever reads the conversion first and then as many entries as it counts sees one
//! revision, whole, without a lock.

use schemas::ids::ConversionId;
use streams::{StateStore, StoreError};

use super::rows::{conversion_key, decode_conversion, decode_entry, timeline_key};
use super::{EmbeddedStore, Shared};
use crate::payouts::{PayoutPage, PayoutQuery, PayoutView};
use crate::view::{ConversionView, ListPage, ListQuery, ReadError, ReadModel};

impl ReadModel for EmbeddedStore {
    /// Read from the caller's own thread, as the claims are; only a report that has to come from another machine is not.
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionView>, ReadError> {
        if let Some(view) = self.shared.materialized(id).map_err(failed)? {
            return Ok(Some(view));
        }
        let Some(claim) = self.shared.conversion_claim(id).map_err(failed)? else { return Ok(None) };
        self.shared.reports.received(id, &claim).await.map(Some)
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, ReadError> {
        self.shared.list(query).await
    }

    async fn payout(&self, payout_id: &str) -> Result<Option<PayoutView>, ReadError> {
        self.shared.payout(payout_id).map_err(failed)
    }

    async fn payouts(&self, query: &PayoutQuery) -> Result<PayoutPage, ReadError> {
        self.shared.payouts(query).await
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
}

fn failed(error: StoreError) -> ReadError {
    ReadError(error.to_string())
}
