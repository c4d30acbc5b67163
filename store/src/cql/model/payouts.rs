//! Payouts: their rows, and a page of their list.

use futures_util::stream::{self, StreamExt};
use schemas::records::{Account, PayoutChanged, PayoutState};
use schemas::{Currency, Timestamp};
use scylla::value::CqlTimestamp;
use scylla::{DeserializeRow, SerializeRow};

use super::super::error::CqlError;
use super::super::link::{Cql, Lane};
use super::columns::EPOCH;
use super::list::{BOUNDS, limit, partitions, rows as rows_of, years};
use super::mapping::directory;
use super::merge::AT_ONCE_MAX;
use super::rows::Row;
use super::slots::{PAYOUTS_LIST, Slot, payout_shard};
use super::values::{Given, Word, instant};
use super::walk::{List, Listed, Partition, Range, walk};
use crate::payouts::{PayoutPage, PayoutQuery, PayoutView, change_number, payout_digest};
use crate::view::ListCursor;

/// A change of a payout, which never changes itself.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct PayoutRow {
    pub(super) payout_digest: [u8; 16],
    pub(super) change: i8,
    payout_id: String,
    number: i64,
    affiliate_id: String,
    currency: Word<Currency>,
    livemode: bool,
    state: Word<PayoutState>,
    amount_minor: i64,
    cut_off: CqlTimestamp,
    entries_to: i64,
    retries: Vec<String>,
    debit: Word<Account>,
    debit_entries: i64,
    credit: Word<Account>,
    credit_entries: i64,
    reference: Given<String>,
    at: CqlTimestamp,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// A payout in the list, after its last change.
#[derive(Clone, Debug, PartialEq, Eq, SerializeRow)]
pub(super) struct ListedPayoutRow {
    pub(super) slot: CqlTimestamp,
    pub(super) shard: i8,
    pub(super) cut_off: CqlTimestamp,
    pub(super) payout_digest: [u8; 16],
    payout_id: String,
    state: Word<PayoutState>,
    #[scylla(rename = "[timestamp]")]
    pub(super) written_at: i64,
}

/// The rows of a change.
pub(super) fn rows(payout: PayoutChanged) -> Vec<Row> {
    let change = change_number(payout.state);
    let payout_digest = payout_digest(&payout.payout_id);
    let (slot, shard) = (Slot::of(payout.cut_off), payout_shard(payout_digest));
    let listed = ListedPayoutRow {
        slot: instant(slot.start()),
        shard,
        cut_off: instant(payout.cut_off),
        payout_digest,
        payout_id: payout.payout_id.clone(),
        state: Word(payout.state),
        written_at: EPOCH + i64::from(change),
    };
    let row = PayoutRow {
        payout_digest,
        change: i8::try_from(change).expect("there are two"),
        payout_id: payout.payout_id,
        number: payout.number,
        affiliate_id: payout.affiliate_id,
        currency: Word(payout.currency),
        livemode: payout.livemode,
        state: Word(payout.state),
        amount_minor: payout.amount_minor,
        cut_off: instant(payout.cut_off),
        entries_to: payout.entries_to,
        retries: payout.retries,
        debit: Word(payout.debit),
        debit_entries: payout.debit_entries,
        credit: Word(payout.credit),
        credit_entries: payout.credit_entries,
        reference: Given(payout.reference),
        at: instant(payout.at),
        written_at: EPOCH,
    };
    let mut rows = Vec::from(directory(PAYOUTS_LIST.to_owned(), slot, shard));
    rows.push(Row::Payout(Box::new(row)));
    rows.push(Row::ListedPayout(listed));
    rows
}

/// A change as it is read.
#[derive(Debug, DeserializeRow)]
struct ChangeRow {
    payout_id: String,
    number: i64,
    affiliate_id: String,
    currency: Word<Currency>,
    livemode: bool,
    state: Word<PayoutState>,
    amount_minor: i64,
    cut_off: CqlTimestamp,
    entries_to: i64,
    retries: Option<Vec<String>>,
    debit: Word<Account>,
    debit_entries: i64,
    credit: Word<Account>,
    credit_entries: i64,
    reference: Option<String>,
    at: CqlTimestamp,
}

impl From<ChangeRow> for PayoutChanged {
    fn from(row: ChangeRow) -> PayoutChanged {
        PayoutChanged {
            payout_id: row.payout_id,
            number: row.number,
            affiliate_id: row.affiliate_id,
            currency: row.currency.0,
            livemode: row.livemode,
            state: row.state.0,
            amount_minor: row.amount_minor,
            cut_off: Timestamp(row.cut_off.0),
            entries_to: row.entries_to,
            // An empty list is none, to some servers.
            retries: row.retries.unwrap_or_default(),
            debit: row.debit.0,
            debit_entries: row.debit_entries,
            credit: row.credit.0,
            credit_entries: row.credit_entries,
            reference: row.reference,
            at: Timestamp(row.at.0),
        }
    }
}

/// A payout, by the digest of its id.
pub(super) async fn payout(cql: &Cql, digest: [u8; 16]) -> Result<Option<PayoutView>, CqlError> {
    let call = cql.call(Lane::Reads).await?;
    let connected = call.connected();
    let answer = connected.session.execute_unpaged(&connected.model.payout, (&digest[..],)).await;
    let changes: Vec<ChangeRow> = rows_of("a payout", call.done(answer)?)?;
    Ok(PayoutView::of(changes.into_iter().map(PayoutChanged::from).collect()))
}

/// A page of the list.
pub(super) async fn page(cql: &Cql, query: &PayoutQuery) -> Result<PayoutPage, CqlError> {
    let found = walk(&Payouts { cql, query }, query.part, BOUNDS).await?;
    let payouts = found.places.into_iter().map(|place| payout(cql, place.id));
    let mut payouts = stream::iter(payouts).buffered(AT_ONCE_MAX);
    let mut page = PayoutPage { rows: Vec::new(), next: found.next };
    while let Some(payout) = payouts.next().await {
        let asked_for = payout?.map(|view| view.current().clone()).filter(|payout| query.admits(payout.state));
        page.rows.extend(asked_for);
    }
    Ok(page)
}

/// The list, on a server.
#[derive(Debug)]
struct Payouts<'a> {
    cql: &'a Cql,
    query: &'a PayoutQuery,
}

impl List for Payouts<'_> {
    type Error = CqlError;

    async fn years(&self) -> Result<Vec<i32>, CqlError> {
        years(self.cql, PAYOUTS_LIST).await
    }

    async fn partitions(
        &self,
        year: i32,
        first: Slot,
        last: Slot,
        partitions_max: usize,
    ) -> Result<Vec<Partition>, CqlError> {
        partitions(self.cql, PAYOUTS_LIST, year, (first, last), partitions_max).await
    }

    async fn rows(&self, partition: Partition, range: Range) -> Result<Vec<Listed>, CqlError> {
        let Range { before, from, rows_max } = range;
        let call = self.cql.call(Lane::Reads).await?;
        let connected = call.connected();
        let values = (
            instant(partition.slot.start()),
            partition.shard,
            instant(before.at),
            before.id,
            instant(from),
            [0_u8; 16],
            limit(rows_max),
        );
        let answer = connected.session.execute_unpaged(&connected.model.listed_payouts, values).await;
        let found: Vec<(CqlTimestamp, Vec<u8>, Word<PayoutState>)> = rows_of("a list", call.done(answer)?)?;
        let listed = |(cut_off, id, state): (CqlTimestamp, Vec<u8>, Word<PayoutState>)| {
            let id = id.try_into().map_err(|_| CqlError::malformed("a row of a list", &"an id has another length"))?;
            let place = ListCursor { at: Timestamp(cut_off.0), id };
            Ok(Listed { place, admitted: self.query.admits(state.0) })
        };
        found.into_iter().map(listed).collect()
    }
}
