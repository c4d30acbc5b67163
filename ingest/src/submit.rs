//! From a validated report to an answer: look up, publish, claim.

use std::sync::Arc;

use schemas::Timestamp;
use schemas::ids::ConversionId;
use store::{Claims, Fingerprint, IdempotencyScope, ReadModel};
use streams::{Ack, Message, PublishError, Publisher};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::claims::Differing;
use crate::edge::Inner;
use crate::error::{Error, Shed};
use crate::flight::{NoSeat, Seat};
use crate::idempotency::IdempotencyKey;
use crate::metrics::Outcomes;
use crate::places::Place;

/// A validated report, ready to be published.
#[derive(Debug)]
pub(crate) struct Submission {
    /// The order it is about.
    pub(crate) conversion_id: ConversionId,
    /// What makes it the same as another.
    pub(crate) identity: Identity,
    /// Its event.
    pub(crate) event_id: String,
    /// What guards it, if something does.
    pub(crate) guard: Option<Guard>,
    /// When it was received.
    pub(crate) received_at: Timestamp,
    /// For log lines.
    pub(crate) request_id: Arc<str>,
    /// When an answer is due.
    pub(crate) deadline: Instant,
    /// Of a batch's: what bounds its questions to the claims at once.
    pub(crate) questions: Option<Arc<Semaphore>>,
}

/// An idempotency key in its scope, and how it guards.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) scope: IdempotencyScope,
    pub(crate) key: IdempotencyKey,
    /// Whether it is the id of a shop's event: then two with one id follow each other, and the second is known by it.
    pub(crate) is_event: bool,
}

/// What makes a report the same as another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Identity {
    /// A conversion is its order; reports of it may still differ.
    Conversion(Fingerprint),
    /// A status update is its digest, and never differs.
    OrderStatus([u8; 16]),
    /// A test order's time that is moved, likewise.
    TestClock([u8; 16]),
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

/// Where a submission's answer goes, which may be before its end.
#[derive(Debug)]
pub(crate) struct Sender(Option<oneshot::Sender<Result<Outcome, Error>>>);

impl Sender {
    /// A sender who waits, and what it will be told.
    pub(crate) fn new() -> (Sender, oneshot::Receiver<Result<Outcome, Error>>) {
        let (sender, told) = oneshot::channel();
        (Sender(Some(sender)), told)
    }

    /// Tells it, unless it was told before. It may be gone.
    fn tell(&mut self, result: Result<Outcome, Error>) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(result);
        }
    }
}

/// Who asks the claims something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// For log lines.
    pub(crate) request_id: &'a str,
    /// What bounds the questions at once, if something does.
    pub(crate) questions: Option<&'a Semaphore>,
}

/// An idempotency key in use.
pub(crate) type KeySeat = Seat<(IdempotencyScope, String), [u8; 16]>;

impl Submission {
    /// The one who asks the claims about it.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker { request_id: &self.request_id, questions: self.questions.as_deref() }
    }

    /// The key of the single flight and of the recent claims; digests of either kind never meet.
    pub(crate) fn key(&self) -> [u8; 16] {
        match self.identity {
            Identity::Conversion(_) => self.conversion_id.0,
            Identity::OrderStatus(digest) | Identity::TestClock(digest) => digest,
        }
    }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// Publishes and claims a report unless it is known. To be run to its end, whether or not anyone still waits: its
    /// place and its lane stay taken until then, so that a retry does not overtake it. Of a batch, those items have no
    /// place that are more than a merchant has places.
    pub(crate) async fn submit(
        &self,
        submission: Submission,
        message: Message,
        mut sender: Sender,
        place: Option<Place>,
    ) {
        let result = self.run(&submission, message, &mut sender).await;
        if let (None, Err(error)) = (&sender.0, &result) {
            let request_id = &*submission.request_id;
            tracing::error!(request_id, %error, "a report that was not confirmed in time failed in the end");
        }
        drop(place);
        sender.tell(result);
    }

    async fn run(&self, submission: &Submission, message: Message, sender: &mut Sender) -> Result<Outcome, Error> {
        // The key stays taken until its use is remembered, so that another body cannot slip in between.
        let key_in_flight =
            submission.guard.as_ref().map(|guard| self.enter_key(&guard.scope, &guard.key)).transpose()?;
        let is_event = submission.guard.as_ref().is_some_and(|guard| guard.is_event);
        let _event_turn = match &key_in_flight {
            Some(seat) if is_event => Some(seat.turn(submission.deadline).await.ok_or_else(|| self.shed(Shed::Turn))?),
            Some(_) | None => None,
        };
        let (asker, now) = (submission.asker(), submission.received_at);
        let is_used = match &submission.guard {
            Some(guard) => self.is_key_used(asker, now, &guard.scope, &guard.key).await?,
            None => false,
        };
        let outcome = match submission.identity {
            // An update may say another time than it did when it was delivered before.
            Identity::OrderStatus(_) if is_event && is_used => Outcome::Duplicate { conflict: Vec::new() },
            Identity::OrderStatus(_) | Identity::TestClock(_) | Identity::Conversion(_) => {
                self.in_turn(submission, message, sender).await?
            }
        };
        if let Some(guard) = &submission.guard {
            self.remember_key(asker, now, &guard.scope, &guard.key).await;
        }
        self.count(submission, &outcome);
        Ok(outcome)
    }

    /// Waits for the requests about the same thing that came before.
    async fn in_turn(&self, submission: &Submission, message: Message, sender: &mut Sender) -> Result<Outcome, Error> {
        let seat = self.flights.enter(submission.key(), ()).map_err(|why| self.no_seat(why))?;
        let _turn = seat.turn(submission.deadline).await.ok_or_else(|| self.shed(Shed::Turn))?;
        self.decide(submission, message, sender).await
    }

    fn no_seat(&self, why: NoSeat) -> Error {
        match why {
            NoSeat::OtherTag => Error::IdempotencyKeyReused,
            NoSeat::Full => self.shed(Shed::Lane),
        }
    }

    /// Takes an idempotency key, unless it is in use with another body.
    pub(crate) fn enter_key(&self, scope: &IdempotencyScope, key: &IdempotencyKey) -> Result<KeySeat, Error> {
        let entry = (scope.clone(), key.key.clone());
        self.keys_in_flight.enter(entry, key.body_digest).map_err(|why| self.no_seat(why))
    }

    /// Whether an idempotency key was used before; with another body it is refused.
    pub(crate) async fn is_key_used(
        &self,
        asker: Asker<'_>,
        now: Timestamp,
        scope: &IdempotencyScope,
        key: &IdempotencyKey,
    ) -> Result<bool, Error> {
        let used = self.claims.idempotency(scope, &key.key, now);
        match self.ask("idempotency", asker, used).await.flatten() {
            Some(digest) if digest != key.body_digest => Err(Error::IdempotencyKeyReused),
            used => Ok(used.is_some()),
        }
    }

    /// Remembers that an idempotency key was used.
    pub(crate) async fn remember_key(
        &self,
        asker: Asker<'_>,
        now: Timestamp,
        scope: &IdempotencyScope,
        key: &IdempotencyKey,
    ) {
        let remembered = self.claims.remember_idempotency(scope, &key.key, key.body_digest, now);
        self.ask("remember_idempotency", asker, remembered).await;
    }

    /// Nothing is published only if exactly this report is known; a report that differs is a fact too.
    async fn decide(&self, submission: &Submission, message: Message, sender: &mut Sender) -> Result<Outcome, Error> {
        let known = self.known(submission).await;
        match known.map(|known| submission.identity.differing(known)) {
            Some(Differing::Nothing) => Ok(Outcome::Duplicate { conflict: Vec::new() }),
            Some(Differing::Fields(conflict)) => {
                self.publish(message, submission.deadline, sender).await?;
                Ok(Outcome::Duplicate { conflict })
            }
            None => {
                let ack = self.publish(message, submission.deadline, sender).await?;
                Ok(self.claim(submission, ack).await)
            }
        }
    }

    /// Publishes, and waits until the log has decided. After the deadline the sender is told to come again; the wait
    /// goes on, since the log has the report.
    async fn publish(&self, message: Message, deadline: Instant, sender: &mut Sender) -> Result<Ack, Error> {
        let mut pending = self.publisher.publish(vec![message]).map_err(|error| self.publish_error(&error))?;
        let ack_deadline = deadline.min(Instant::now() + self.config.ack_deadline);
        let answer = match timeout_at(ack_deadline, &mut pending).await {
            Ok(answer) => answer,
            Err(_) => {
                self.metrics.publish_failed("ack_deadline");
                let internal = "the log did not acknowledge within its deadline".to_owned();
                sender.tell(Err(self.perhaps_recorded(internal)));
                pending.await
            }
        };
        answer.map_err(|error| self.publish_error(&error))
    }

    pub(crate) fn publish_error(&self, error: &PublishError) -> Error {
        let (reason, failure) = match error {
            PublishError::Full => ("full", self.shed(Shed::LogFull)),
            PublishError::Closed => ("closed", self.unavailable(Shed::LogFull.message(), error.to_string())),
            PublishError::Failed(_) => ("failed", self.perhaps_recorded(error.to_string())),
            PublishError::TooLarge { .. } => ("too_large", Error::Internal(error.to_string())),
        };
        self.metrics.publish_failed(reason);
        failure
    }

    pub(crate) fn perhaps_recorded(&self, internal: String) -> Error {
        self.unavailable("the log did not confirm in time; it may have been recorded, and a retry is safe", internal)
    }

    fn unavailable(&self, external: &'static str, internal: String) -> Error {
        Error::Unavailable { external, internal, retry_after: self.config.retry_after }
    }

    pub(crate) fn outcomes(&self, submission: &Submission) -> &Outcomes {
        match submission.identity {
            Identity::Conversion(_) => &self.metrics.conversions,
            Identity::OrderStatus(_) => &self.metrics.order_statuses,
            Identity::TestClock(_) => &self.metrics.test_clocks,
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
