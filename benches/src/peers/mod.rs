//! What the product is measured against, and the same load for both.
//!
//! **Architecture Invariant:** a peer does the whole of the work that it is compared in, and its outcome is checked as the
//! product's is: a fast wrong one fails.

pub mod load;
pub mod postgres;
pub mod process;
pub mod streams_app;

/// Fails with what was wrong, as one sentence.
pub type Outcome<T> = Result<T, String>;
