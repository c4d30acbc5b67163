//! What went wrong, by what can be done about it.

use scylla::errors::{
    BadQuery, DbError, ExecutionError, NewSessionError, PagerExecutionError, PrepareError, RequestAttemptError,
};

/// Why the server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CqlError {
    /// It was not asked: it has not answered for a while, or was never reached. Said at once, and nothing was done.
    #[error("the CQL server is away: {0}")]
    Away(String),
    /// It did not answer, or not yet: whether it did anything is unknown, and asking again may help.
    #[error("the CQL server did not do it: {0}")]
    Transient(String),
    /// It, or the driver, said no, and will again.
    #[error("{0}")]
    Permanent(String),
}

impl CqlError {
    /// Whether asking again, after a while, may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            CqlError::Away(_) | CqlError::Transient(_) => true,
            CqlError::Permanent(_) => false,
        }
    }

    fn of(transient: bool, error: &impl std::fmt::Display) -> CqlError {
        if transient { CqlError::Transient(error.to_string()) } else { CqlError::Permanent(error.to_string()) }
    }

    /// An answer that is not what its statement gives.
    pub(crate) fn malformed(what: &str, error: &dyn std::fmt::Display) -> CqlError {
        CqlError::Permanent(format!("{what} is not what this program wrote: {error}"))
    }
}

/// Whether another try may end otherwise.
fn attempt_may_succeed(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::DbError(error, _) => may_pass(error),
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => false,
        // A connection that breaks, and whatever makes no sense on one: another may be better.
        _ => true,
    }
}

/// Whether the server may say otherwise later.
fn may_pass(error: &DbError) -> bool {
    match error {
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::AlreadyExists { .. }
        | DbError::FunctionFailure { .. }
        | DbError::AuthenticationError
        | DbError::Unauthorized
        | DbError::ConfigError
        | DbError::ProtocolError => false,
        // Time-outs, overload, nodes that are away; and what this program does not know.
        _ => true,
    }
}

impl From<ExecutionError> for CqlError {
    fn from(error: ExecutionError) -> CqlError {
        let transient = match &error {
            ExecutionError::BadQuery(_) => false,
            ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => {
                attempt_may_succeed(first_attempt)
            }
            ExecutionError::LastAttemptError(attempt) => attempt_may_succeed(attempt),
            _ => true,
        };
        CqlError::of(transient, &error)
    }
}

impl From<PrepareError> for CqlError {
    fn from(error: PrepareError) -> CqlError {
        let transient = match &error {
            PrepareError::AllAttemptsFailed { first_attempt } => attempt_may_succeed(first_attempt),
            _ => true,
        };
        CqlError::of(transient, &error)
    }
}

impl From<PagerExecutionError> for CqlError {
    fn from(error: PagerExecutionError) -> CqlError {
        match error {
            PagerExecutionError::PrepareError(error) => error.into(),
            PagerExecutionError::SerializationError(error) => BadQuery::from(error).into(),
            error => CqlError::of(true, &error),
        }
    }
}

impl From<BadQuery> for CqlError {
    fn from(error: BadQuery) -> CqlError {
        CqlError::of(false, &error)
    }
}

impl From<NewSessionError> for CqlError {
    fn from(error: NewSessionError) -> CqlError {
        CqlError::of(true, &error)
    }
}

/// Whether a conditional write that failed so can have had no effect, and will have none.
///
/// Everything else is ambiguous, UNAVAILABLE and OVERLOADED included: a coordinator may say either when a proposal was
/// accepted already, and only its commit found too few replicas or too many hints.
pub(crate) fn had_no_effect(error: &ExecutionError) -> bool {
    match error {
        // The driver found nobody to send it to. The statements of claims have no second try, behind which a first one
        // could hide.
        ExecutionError::BadQuery(_) | ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::UnableToAllocStreamId => true,
            RequestAttemptError::DbError(error, _) => match error {
                DbError::SyntaxError
                | DbError::Invalid
                | DbError::AuthenticationError
                | DbError::Unauthorized
                | DbError::ConfigError
                | DbError::IsBootstrapping
                | DbError::Unprepared { .. } => true,
                DbError::RateLimitReached { rejected_by_coordinator, .. } => *rejected_by_coordinator,
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scylla::errors::{ConnectionPoolError, WriteType};
    use scylla::statement::Consistency;

    use super::*;

    fn db(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()))
    }

    /// Every failure that matters: whether the write can have been applied, and whether asking again may help.
    #[test]
    fn failures_are_told_apart() {
        let consistency = Consistency::LocalQuorum;
        let write_timeout = DbError::WriteTimeout { consistency, received: 0, required: 1, write_type: WriteType::Cas };
        let write_failure =
            DbError::WriteFailure { consistency, received: 0, required: 1, numfailures: 1, write_type: WriteType::Cas };
        let limited = |rejected_by_coordinator| DbError::RateLimitReached {
            op_type: scylla::errors::OperationType::Write,
            rejected_by_coordinator,
        };
        for (error, no_effect, transient) in [
            (ExecutionError::EmptyPlan, true, true),
            (ExecutionError::ConnectionPoolError(ConnectionPoolError::Initializing), true, true),
            (ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId), true, true),
            (ExecutionError::RequestTimeout(Duration::from_secs(1)), false, true),
            (ExecutionError::LastAttemptError(RequestAttemptError::NonfinishedPagingState), false, true),
            (db(write_timeout), false, true),
            (db(write_failure), false, true),
            (db(DbError::Unavailable { consistency, required: 2, alive: 1 }), false, true),
            (db(DbError::Overloaded), false, true),
            (db(DbError::ServerError), false, true),
            (db(DbError::Other(0x1700)), false, true),
            (db(limited(false)), false, true),
            (db(limited(true)), true, true),
            (db(DbError::IsBootstrapping), true, true),
            (db(DbError::Invalid), true, false),
            (db(DbError::Unauthorized), true, false),
            (db(DbError::SyntaxError), true, false),
        ] {
            assert_eq!(had_no_effect(&error), no_effect, "{error}");
            assert_eq!(CqlError::from(error.clone()).is_transient(), transient, "{error}");
        }
        assert!(CqlError::Away(String::new()).is_transient());
    }
}
