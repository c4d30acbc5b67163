//! What went wrong, and whether it passes.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::log::LogError;

/// Between two attempts at what a broker could not answer yet.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Says what was being done when the client failed. The value of a setting is left out: it may be a password.
pub(crate) fn failed(context: impl Into<String>) -> impl FnOnce(KafkaError) -> LogError {
    move |source| {
        let source = match source {
            // librdkafka's description repeats the value.
            KafkaError::ClientConfig(result, description, name, value) => {
                let withheld = "(value withheld)".to_owned();
                let quoted = format!("\"{value}\"");
                KafkaError::ClientConfig(result, description.replace(&quoted, &withheld), name, withheld)
            }
            other => other,
        };
        LogError::Kafka { context: context.into(), source }
    }
}

/// What a caller gets when its wait ran out before the brokers answered.
pub(super) fn timed_out(context: impl Into<String>) -> LogError {
    LogError::Kafka {
        context: context.into(),
        source: KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut),
    }
}

/// Whether brokers that come back, or that elect a leader, cure it without help. What is not known to pass does not:
/// after some of the others, such as a batch that does not decompress, the client goes on behind the batch.
pub(crate) fn transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::SSL
            | Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::WaitCache
            | Code::WaitingForCoordinator
            | Code::Retry
            | Code::DestroyBroker
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::KafkaStorageError
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::ThrottlingQuotaExceeded
            | Code::UnstableOffsetCommit
    )
}

/// Whether a member of a group goes on consuming by itself. After any other error it may not: behind a batch that it cannot
/// read, the client goes on behind the batch, and its records would be lost.
pub(super) fn consuming_goes_on(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    match error {
        // What it means is told by whoever asks for the client's end.
        KafkaError::MessageConsumptionFatal(_) => true,
        KafkaError::MessageConsumption(code) => {
            // Out of the group, the client joins again by itself.
            let rejoins = matches!(
                code,
                Code::IllegalGeneration
                    | Code::MemberIdRequired
                    | Code::PollExceeded
                    | Code::RebalanceInProgress
                    | Code::UnknownMemberId
            );
            // A broker may not have heard yet of a topic that was just made. The watch tells of one that is missing.
            rejoins || *code == Code::UnknownTopicOrPartition || transient(*code)
        }
        _ => false,
    }
}

/// Whether another producer has taken the transactional id over, or the coordinator has given this one up.
pub(crate) fn fences(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fenced | Code::InvalidProducerEpoch | Code::ProducerFenced)
}

/// Whether it is a partition of which the client has no metadata, or no leader: also of one that is there, if a broker was
/// asked that has just started or has just come back.
pub(super) fn unknown_yet(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::UnknownPartition
}

/// The answer to a question that is asked again as long as there is none, since the trouble is one that passes.
pub(super) fn answer<T>(context: &str, answer: Result<T, KafkaError>) -> Result<Option<T>, LogError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.rdkafka_error_code().is_some_and(|code| transient(code) || unknown_yet(code)) => {
            tracing::debug!(%error, "{context}: not answered yet");
            Ok(None)
        }
        Err(error) => Err(failed(context)(error)),
    }
}

/// Asks until an answer comes, as long as the trouble is one that passes and there is time.
pub(super) fn ask<T>(
    context: impl Fn() -> String,
    deadline: Instant,
    mut question: impl FnMut(Duration) -> Result<T, KafkaError>,
) -> Result<T, LogError> {
    loop {
        // At least a millisecond: the client rounds down, and takes none for "do not wait".
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match question(left) {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let passes = error.rdkafka_error_code().is_some_and(|code| transient(code) || unknown_yet(code));
                if !passes || Instant::now() + PAUSE >= deadline {
                    return Err(failed(context())(error));
                }
                thread::sleep(PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_setting_is_told() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("enable.sasl.oauthbearer.unsecure.jwt", "s3cret");
        let error = match config.create_native_config() {
            Ok(_) => panic!("a boolean setting took a word"),
            Err(error) => failed("opening")(error),
        };
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
