//! Where an edge's claims and read model are, as the edge's process sees it.

use prometheus_client::registry::Registry;
use store::{Claims, ReadModel};

use crate::error::CliError;

/// Claims and a read model: a folder's, or those that all edges share.
pub(super) trait Stores {
    /// Who was first.
    type Claims: Claims;
    /// What became of a conversion.
    type ReadModel: ReadModel;

    /// Both, for an edge.
    fn both(&self) -> (Self::Claims, Self::ReadModel);

    /// Registers what they count.
    fn register(&self, metrics: &mut Registry);

    /// Where they are, in words.
    fn place(&self) -> String;

    /// Closes them in order. Everything that uses them has stopped.
    fn close(self) -> Result<(), CliError>;
}
