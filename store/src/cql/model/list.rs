//! A page of a merchant's list, or of the reviewers'.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::ConversionState;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryResult;
use scylla::value::CqlTimestamp;

use super::super::error::CqlError;
use super::super::link::{Cql, Lane};
use super::columns::confidence_of;
use super::conversion::ConversionValue;
use super::merge::AT_ONCE_MAX;
use super::read::CqlReadModel;
use super::slots::{REVIEWERS, SHARDS, Slot, conversions_list, reviewers_list};
use super::values::{Word, instant};
use super::walk::{Bounds, List, Listed, Partition, Range, walk};
use crate::view::{ListCursor, ListOf, ListPage, ListQuery};

/// What is looked at for one page, which ends there however few rows it has.
pub(super) const BOUNDS: Bounds =
    Bounds { rows: 10_000, partitions: 1_024, time: Duration::from_millis(250), directory: 8 * SHARDS as usize };

/// How much a page may be, roughly: no row is added to so many bytes.
const BYTES_MAX: usize = 256 << 10;

impl CqlReadModel {
    pub(super) async fn page(&self, query: &ListQuery) -> Result<ListPage, CqlError> {
        let _page = self.pages.acquire().await.expect("the places are never closed");
        let (name, merchant_id) = match &query.of {
            ListOf::Merchant(merchant_id) => (conversions_list(merchant_id, query.livemode), &**merchant_id),
            ListOf::Reviewers => (reviewers_list(query.livemode), REVIEWERS),
        };
        let list = Conversions { cql: &self.cql, name, merchant_id, query };
        let found = walk(&list, query.part(), BOUNDS).await?;
        let heads = found.places.into_iter().map(|place| async move { (place, self.head(place, query).await) });
        let mut heads = stream::iter(heads).buffered(AT_ONCE_MAX);
        let (mut page, mut bytes, mut before) = (ListPage { rows: Vec::new(), next: found.next }, 0, None);
        while let Some((place, head)) = heads.next().await {
            if bytes >= BYTES_MAX {
                page.next = before;
                break;
            }
            if let Some(value) = head?.map(ConversionValue::unexplained) {
                bytes += value.weight();
                page.rows.push(value.into_record(ConversionId(place.id)));
            }
            before = Some(place);
        }
        Ok(page)
    }

    /// The conversion at a place, if it is there and still what is asked for.
    async fn head(&self, place: ListCursor, query: &ListQuery) -> Result<Option<ConversionValue>, CqlError> {
        let call = self.cql.call(Lane::Reads).await?;
        let connected = call.connected();
        let answer = connected.session.execute_unpaged(&connected.model.head, (&place.id[..],)).await;
        let heads: Vec<(Option<ConversionValue>,)> = rows("a conversion", call.done(answer)?)?;
        // A conversion has one place in one list; any other row of it is not its own.
        let asked_for = |it: &ConversionValue| {
            let is_of = match &query.of {
                ListOf::Merchant(merchant_id) => it.merchant_id == *merchant_id,
                ListOf::Reviewers => true,
            };
            let in_place = (it.livemode, it.received_at) == (query.livemode, instant(place.at));
            is_of && in_place && query.admits(it.state.0, it.confidence.map(|word| word.0))
        };
        Ok(heads.into_iter().find_map(|(head,)| head).filter(asked_for))
    }
}

/// One list, on a server.
#[derive(Debug)]
struct Conversions<'a> {
    cql: &'a Cql,
    name: String,
    /// Or what stands for one.
    merchant_id: &'a str,
    query: &'a ListQuery,
}

impl List for Conversions<'_> {
    type Error = CqlError;

    async fn years(&self) -> Result<Vec<i32>, CqlError> {
        years(self.cql, &self.name).await
    }

    async fn partitions(
        &self,
        year: i32,
        first: Slot,
        last: Slot,
        partitions_max: usize,
    ) -> Result<Vec<Partition>, CqlError> {
        partitions(self.cql, &self.name, year, (first, last), partitions_max).await
    }

    async fn rows(&self, partition: Partition, range: Range) -> Result<Vec<Listed>, CqlError> {
        let Range { before, from, rows_max } = range;
        let call = self.cql.call(Lane::Reads).await?;
        let connected = call.connected();
        let values = (
            self.merchant_id,
            self.query.livemode,
            instant(partition.slot.start()),
            partition.shard,
            instant(before.at),
            before.id,
            instant(from),
            [0_u8; 16],
            limit(rows_max),
        );
        let answer = connected.session.execute_unpaged(&connected.model.listed, values).await;
        let found: Vec<(CqlTimestamp, Vec<u8>, Word<ConversionState>, String)> = rows("a list", call.done(answer)?)?;
        found.into_iter().map(|row| self.listed(row)).collect()
    }
}

impl Conversions<'_> {
    fn listed(
        &self,
        (received_at, id, state, confidence): (CqlTimestamp, Vec<u8>, Word<ConversionState>, String),
    ) -> Result<Listed, CqlError> {
        let malformed = |error: &dyn std::fmt::Display| CqlError::malformed("a row of a list", error);
        let id: [u8; 16] = id.try_into().map_err(|_| malformed(&"an id has another length"))?;
        let confidence = confidence_of(&confidence).map_err(|error| malformed(&error))?;
        let place = ListCursor { at: Timestamp(received_at.0), id };
        Ok(Listed { place, admitted: self.query.admits(state.0, confidence) })
    }
}

/// The years that a list has rows in, the last first.
pub(super) async fn years(cql: &Cql, list: &str) -> Result<Vec<i32>, CqlError> {
    let call = cql.call(Lane::Reads).await?;
    let connected = call.connected();
    let answer = connected.session.execute_unpaged(&connected.model.years, (list,)).await;
    let years: Vec<(i32,)> = rows("the years of a list", call.done(answer)?)?;
    Ok(years.into_iter().map(|(year,)| year).collect())
}

/// The partitions of a list in a year, from the last of two slots back to the first.
pub(super) async fn partitions(
    cql: &Cql,
    list: &str,
    year: i32,
    (first, last): (Slot, Slot),
    partitions_max: usize,
) -> Result<Vec<Partition>, CqlError> {
    let call = cql.call(Lane::Reads).await?;
    let connected = call.connected();
    let values = (list, year, instant(first.start()), instant(last.start()), limit(partitions_max));
    let answer = connected.session.execute_unpaged(&connected.model.slots, values).await;
    let slots: Vec<(CqlTimestamp, i8)> = rows("the slots of a list", call.done(answer)?)?;
    let partition = |(slot, shard): (CqlTimestamp, i8)| Partition { slot: Slot::of(Timestamp(slot.0)), shard };
    Ok(slots.into_iter().map(partition).collect())
}

pub(super) fn limit(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}

/// The rows of an answer.
pub(super) fn rows<R: for<'f> DeserializeRow<'f, 'f>>(what: &str, answer: QueryResult) -> Result<Vec<R>, CqlError> {
    let malformed = |error: &dyn std::fmt::Display| CqlError::malformed(what, error);
    let rows = answer.into_rows_result().map_err(|error| malformed(&error))?;
    let rows = rows.rows::<R>().map_err(|error| malformed(&error))?;
    rows.map(|row| row.map_err(|error| malformed(&error))).collect()
}
