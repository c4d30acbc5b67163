//! The tables of claims, as far as a claim needs them.
//!
//! What is decided about claims is written against this, so that a model can be put under it whose answers get lost.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use schemas::ids::ConversionId;

use super::super::error::CqlError;
use crate::claims::{ConversionClaim, IdempotencyScope, KeyUse};

/// How a conditional write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt<R> {
    /// It was applied.
    Applied,
    /// It was not, and this is why.
    Present(R),
    /// Whether it was, or will be, is not known: there was no answer, or one that does not tell.
    Ambiguous(String),
    /// It was not and will not be: it was not sent, or not let in.
    Refused(String),
}

impl<R> Attempt<R> {
    /// The same outcome with something else of what was there.
    pub fn map<S>(self, change: impl FnOnce(R) -> S) -> Attempt<S> {
        match self {
            Attempt::Applied => Attempt::Applied,
            Attempt::Present(row) => Attempt::Present(change(row)),
            Attempt::Ambiguous(reason) => Attempt::Ambiguous(reason),
            Attempt::Refused(reason) => Attempt::Refused(reason),
        }
    }
}

/// How a row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It sees all writes that were answered.
    Plain,
    /// It ends conditional writes that are half done, and sees them: what it does not see is not there yet.
    Serial,
}

/// Who claimed a conversion, and the report that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionRow {
    /// The event whose attempt made the row. It never changes.
    pub claimed_by: String,
    /// The first report in the log, of those seen: at first the claimant's own.
    pub claim: ConversionClaim,
}

/// The tables of claims.
pub trait ClaimTable: fmt::Debug + Send + Sync + 'static {
    /// Writes a conversion's row if there is none.
    fn insert_conversion(
        &self,
        id: ConversionId,
        row: &ConversionRow,
    ) -> impl Future<Output = Attempt<ConversionRow>> + Send;

    /// A conversion's row.
    fn conversion(
        &self,
        id: ConversionId,
        reading: Reading,
    ) -> impl Future<Output = Result<Option<ConversionRow>, CqlError>> + Send;

    /// Has `to` stand for a conversion, if the report at this partition and offset still does.
    fn move_conversion(
        &self,
        id: ConversionId,
        from: (u32, u64),
        to: &ConversionClaim,
    ) -> impl Future<Output = Attempt<()>> + Send;

    /// Writes a status update's row, whose only value is the claiming event, if there is none.
    fn insert_status(&self, digest: [u8; 16], event_id: &str) -> impl Future<Output = Attempt<String>> + Send;

    /// The event that claimed a status update.
    fn status(
        &self,
        digest: [u8; 16],
        reading: Reading,
    ) -> impl Future<Output = Result<Option<String>, CqlError>> + Send;

    /// The latest use of an idempotency key.
    fn key(&self, scope: &IdempotencyScope, key: &str)
    -> impl Future<Output = Result<Option<KeyUse>, CqlError>> + Send;

    /// Writes a use of an idempotency key, to be forgotten after `age`; the latest use counts, whenever it is written.
    fn put_key(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        used: KeyUse,
        age: Duration,
    ) -> impl Future<Output = Result<(), CqlError>> + Send;
}
