//! The read model in CQL.

mod statements;

pub(crate) use self::statements::Statements;
