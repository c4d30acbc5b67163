//! What an edge asks about claims: a store of its own, or one that all edges share. Reading conversions is not simulated.

use schemas::Timestamp;
use schemas::ids::ConversionId;
use store::{
    Claim, ClaimError, Claims, ConversionClaim, ConversionView, IdempotencyScope, ListPage, ListQuery, PayoutPage,
    PayoutQuery, PayoutView, ReadError, ReadModel,
};

use crate::claims::SimClaims;
use crate::cql::SharedClaims;

/// The claims of an edge. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) enum EdgeStore {
    /// Fed from the log.
    Own(SimClaims),
    /// In CQL.
    Shared(SharedClaims),
}

impl Claims for EdgeStore {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionClaim>, ClaimError> {
        match self {
            EdgeStore::Own(claims) => claims.conversion(id).await,
            EdgeStore::Shared(claims) => claims.conversion(id).await,
        }
    }

    async fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<Claim<ConversionClaim>, ClaimError> {
        match self {
            EdgeStore::Own(claims) => claims.claim_conversion(id, claim).await,
            EdgeStore::Shared(claims) => claims.claim_conversion(id, claim).await,
        }
    }

    async fn status(&self, digest: [u8; 16]) -> Result<bool, ClaimError> {
        match self {
            EdgeStore::Own(claims) => claims.status(digest).await,
            EdgeStore::Shared(claims) => claims.status(digest).await,
        }
    }

    async fn claim_status(&self, digest: [u8; 16], event_id: &str) -> Result<Claim<()>, ClaimError> {
        match self {
            EdgeStore::Own(claims) => claims.claim_status(digest, event_id).await,
            EdgeStore::Shared(claims) => claims.claim_status(digest, event_id).await,
        }
    }

    async fn idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<[u8; 16]>, ClaimError> {
        match self {
            EdgeStore::Own(claims) => claims.idempotency(scope, key, now).await,
            EdgeStore::Shared(claims) => claims.idempotency(scope, key, now).await,
        }
    }

    async fn remember_idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        body_digest: [u8; 16],
        now: Timestamp,
    ) -> Result<(), ClaimError> {
        match self {
            EdgeStore::Own(claims) => claims.remember_idempotency(scope, key, body_digest, now).await,
            EdgeStore::Shared(claims) => claims.remember_idempotency(scope, key, body_digest, now).await,
        }
    }
}

impl ReadModel for EdgeStore {
    async fn conversion(&self, _: ConversionId) -> Result<Option<ConversionView>, ReadError> {
        Err(ReadError("reading conversions is not simulated".to_owned()))
    }

    async fn list(&self, _: &ListQuery) -> Result<ListPage, ReadError> {
        Err(ReadError("reading conversions is not simulated".to_owned()))
    }

    async fn payout(&self, _: &str) -> Result<Option<PayoutView>, ReadError> {
        Err(ReadError("reading payouts is not simulated".to_owned()))
    }

    async fn payouts(&self, _: &PayoutQuery) -> Result<PayoutPage, ReadError> {
        Err(ReadError("reading payouts is not simulated".to_owned()))
    }
}
