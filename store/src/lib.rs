//! The read model and the claims: what the edge asks before it answers.
//!
//! Both are caches of the log, fed by it, stamped with the position applied, and rebuilt when they are lost.
//!
//! **Architecture Invariant:** a claim is courtesy to the caller. Whether an order counts once is decided by the
//! `orders` processor and nowhere else, so losing every claim costs answers, never money.

pub mod claims;
pub mod cql;
pub mod embedded;
mod facts;
pub mod payouts;
mod received;
pub mod view;

pub use claims::{
    Claim, ClaimError, Claims, ConversionClaim, Fingerprint, IDEMPOTENCY_AGE, IdempotencyScope, KeyUse, status_digest,
    test_clock_digest,
};
pub use embedded::EmbeddedStore;
pub use payouts::{PayoutPage, PayoutQuery, PayoutView};
pub use view::{ConversionView, ListCursor, ListOf, ListPage, ListQuery, Part, ReadError, ReadModel, waits_for_review};
