//! The statements of the read model.

use super::super::error::CqlError;
use super::super::session::Preparing;

/// The read model's statements, prepared on one session.
#[derive(Debug)]
pub(crate) struct Statements {}

impl Statements {
    /// Prepares them.
    pub(crate) async fn prepare(_preparing: &Preparing<'_>) -> Result<Statements, CqlError> {
        Ok(Statements {})
    }
}
