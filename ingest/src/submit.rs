//! From a validated report to an answer: look up, publish, claim.

use std::future::Future;
use std::sync::Arc;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use store::{Claim, ClaimError, Claims, ConversionClaim, Fingerprint, IdempotencyScope, ReadModel};
use streams::{Ack, Message, PublishError, Publisher};
use tokio::time::{Instant, timeout, timeout_at};

use crate::edge::{Inner, Known};
use crate::error::{Error, Shed};
use crate::idempotency::IdempotencyKey;
use crate::metrics::Outcomes;

/// A validated report, ready to be published.
#[derive(Debug)]
pub(crate) struct Submission {
    /// The order it is about.
    pub(crate) conversion_id: ConversionId,
    /// What makes it the same as another.
    pub(crate) identity: Identity,
    /// Its event.
    pub(crate) event_id: String,
    /// Its idempotency key, if it has one.
    pub(crate) idempotency: Option<(IdempotencyScope, IdempotencyKey)>,
    /// When it was received.
    pub(crate) received_at: Timestamp,
    /// For log lines.
    pub(crate) request_id: Arc<str>,
    /// When an answer is due.
    pub(crate) deadline: Instant,
}

/// What makes a report the same as another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Identity {
    /// A conversion is its order; reports of it may still differ.
    Conversion(Fingerprint),
    /// A status update is its digest, and never differs.
    OrderStatus([u8; 16]),
}

/// How a submission ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is durable and the first of its kind.
    Accepted {
        /// Its event.
        event_id: String,
    },
    /// It was known before.
    Duplicate {
        /// The fields in which it differs from the first.
        conflict: Vec<&'static str>,
    },
}

impl Submission {
    /// The key of the single flight and of the recent claims; digests of either kind never meet.
    fn key(&self) -> [u8; 16] {
        match self.identity {
            Identity::Conversion(_) => self.conversion_id.0,
            Identity::OrderStatus(digest) => digest,
        }
    }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// Publishes and claims a report unless it is known. To be run to its end, whether or not anyone still waits.
    pub(crate) async fn submit(&self, submission: Submission, message: Message) -> Result<Outcome, Error> {
        // The key stays taken until its use is remembered, so that another body cannot slip in between.
        let _key_in_flight = match &submission.idempotency {
            Some((scope, key)) => {
                let entry = (scope.clone(), key.key.clone());
                let seat = self.keys_in_flight.enter(entry, key.body_digest).ok_or(Error::IdempotencyKeyReused)?;
                self.check_idempotency(&submission, scope, key).await?;
                Some(seat)
            }
            None => None,
        };
        let seat = self.flights.enter(submission.key(), ()).expect("all tags here are equal");
        let _turn = seat.turn(submission.deadline).await.ok_or_else(|| self.shed(Shed::Turn))?;
        let outcome = self.decide(&submission, message).await?;
        if let Some((scope, key)) = &submission.idempotency {
            let remembered = self.claims.remember_idempotency(scope, &key.key, key.body_digest, submission.received_at);
            self.ask("remember_idempotency", &submission.request_id, remembered).await;
        }
        self.count(&submission, &outcome);
        Ok(outcome)
    }

    async fn check_idempotency(
        &self,
        submission: &Submission,
        scope: &IdempotencyScope,
        key: &IdempotencyKey,
    ) -> Result<(), Error> {
        let used = self.claims.idempotency(scope, &key.key, submission.received_at);
        match self.ask("idempotency", &submission.request_id, used).await.flatten() {
            Some(digest) if digest != key.body_digest => Err(Error::IdempotencyKeyReused),
            Some(_) | None => Ok(()),
        }
    }

    /// Nothing is published only if exactly this report is known; a report that differs is a fact too.
    async fn decide(&self, submission: &Submission, message: Message) -> Result<Outcome, Error> {
        let known = self.known(submission).await;
        match known.map(|known| submission.identity.differing(known)) {
            Some(Differing::Nothing) => Ok(Outcome::Duplicate { conflict: Vec::new() }),
            Some(Differing::Fields(conflict)) => {
                self.publish(message, submission.deadline).await?;
                Ok(Outcome::Duplicate { conflict })
            }
            None => {
                let ack = self.publish(message, submission.deadline).await?;
                Ok(self.claim(submission, ack).await)
            }
        }
    }

    async fn known(&self, submission: &Submission) -> Option<Known> {
        let key = submission.key();
        if let Some(known) = self.recent_claims.get(&key) {
            return Some(known);
        }
        let request_id = &submission.request_id;
        let known = match submission.identity {
            Identity::Conversion(_) => {
                let claim = self.claims.conversion(submission.conversion_id);
                let claim = self.ask("conversion", request_id, claim).await.flatten();
                claim.map(|claim| Known::Conversion(claim.fingerprint))
            }
            Identity::OrderStatus(digest) => {
                let claimed = self.ask("status", request_id, self.claims.status(digest)).await;
                claimed.unwrap_or(false).then_some(Known::OrderStatus)
            }
        };
        if let Some(known) = known {
            self.recent_claims.insert(key, known);
        }
        known
    }

    async fn publish(&self, message: Message, deadline: Instant) -> Result<Ack, Error> {
        let answer = match self.publisher.publish(vec![message]) {
            Ok(pending) => {
                let ack_deadline = deadline.min(Instant::now() + self.config.ack_deadline);
                timeout_at(ack_deadline, pending).await.map_err(|_| {
                    self.metrics.publish_failed("ack_deadline");
                    self.perhaps_recorded("the log did not acknowledge within its deadline".to_owned())
                })?
            }
            Err(error) => Err(error),
        };
        answer.map_err(|error| self.publish_error(&error))
    }

    fn publish_error(&self, error: &PublishError) -> Error {
        let (reason, failure) = match error {
            PublishError::Full => ("full", self.shed(Shed::LogFull)),
            PublishError::Closed => ("closed", self.unavailable(Shed::LogFull.message(), error.to_string())),
            PublishError::Failed(_) => ("failed", self.perhaps_recorded(error.to_string())),
            PublishError::TooLarge { .. } => ("too_large", Error::Internal(error.to_string())),
        };
        self.metrics.publish_failed(reason);
        failure
    }

    fn perhaps_recorded(&self, internal: String) -> Error {
        self.unavailable("the log did not confirm in time; it may have been recorded, and a retry is safe", internal)
    }

    fn unavailable(&self, external: &'static str, internal: String) -> Error {
        Error::Unavailable { external, internal, retry_after: self.config.retry_after }
    }

    /// Claims what is durable. Without an answer of the claims it counts as first: the log decides anyway.
    async fn claim(&self, submission: &Submission, ack: Ack) -> Outcome {
        let accepted = Outcome::Accepted { event_id: submission.event_id.clone() };
        let request_id = &submission.request_id;
        let (mine, theirs) = match submission.identity {
            Identity::Conversion(fingerprint) => {
                let event_id = submission.event_id.clone();
                let claim = ConversionClaim { event_id, fingerprint, offset: ack.offset };
                let answer = self.claims.claim_conversion(submission.conversion_id, &claim);
                let answer = self.ask("claim_conversion", request_id, answer).await;
                let theirs = answer.map(|claim| match claim {
                    Claim::Claimed => None,
                    Claim::Taken(first) => Some(Known::Conversion(first.fingerprint)),
                });
                (Known::Conversion(fingerprint), theirs)
            }
            Identity::OrderStatus(digest) => {
                let answer = self.ask("claim_status", request_id, self.claims.claim_status(digest)).await;
                let theirs = answer.map(|claim| match claim {
                    Claim::Claimed => None,
                    Claim::Taken(()) => Some(Known::OrderStatus),
                });
                (Known::OrderStatus, theirs)
            }
        };
        let unclaimed = theirs.is_none();
        let first = theirs.flatten();
        self.recent_claims.insert(submission.key(), first.unwrap_or(mine));
        if unclaimed {
            self.outcomes(submission).unclaimed.inc();
        }
        match first.map(|first| submission.identity.differing(first)) {
            None => accepted,
            Some(Differing::Nothing) => Outcome::Duplicate { conflict: Vec::new() },
            Some(Differing::Fields(conflict)) => Outcome::Duplicate { conflict },
        }
    }

    /// Asks the claims something; `None`, counted and logged, if they fail or take too long.
    async fn ask<T>(
        &self,
        operation: &'static str,
        request_id: &str,
        question: impl Future<Output = Result<T, ClaimError>>,
    ) -> Option<T> {
        let error = match timeout(self.config.store_deadline, question).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.config.store_deadline),
        };
        self.metrics.claims_failed(operation);
        tracing::warn!(request_id, operation, error, "going on without the claims");
        None
    }

    fn outcomes(&self, submission: &Submission) -> &Outcomes {
        match submission.identity {
            Identity::Conversion(_) => &self.metrics.conversions,
            Identity::OrderStatus(_) => &self.metrics.order_statuses,
        }
    }

    fn count(&self, submission: &Submission, outcome: &Outcome) {
        let outcomes = self.outcomes(submission);
        match outcome {
            Outcome::Accepted { .. } => outcomes.accepted.inc(),
            Outcome::Duplicate { conflict } if conflict.is_empty() => outcomes.duplicate.inc(),
            Outcome::Duplicate { .. } => outcomes.conflict.inc(),
        };
    }
}

enum Differing {
    Nothing,
    Fields(Vec<&'static str>),
}

impl Identity {
    /// How a report differs from what is known of the first with its key.
    fn differing(self, first: Known) -> Differing {
        match (self, first) {
            (Identity::Conversion(mine), Known::Conversion(first)) if mine.whole != first.whole => {
                Differing::Fields(mine.differing(&first))
            }
            // An update never differs, and the digests of the two kinds never meet.
            (Identity::Conversion(_) | Identity::OrderStatus(_), Known::Conversion(_) | Known::OrderStatus) => {
                Differing::Nothing
            }
        }
    }
}
