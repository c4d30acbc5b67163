//! What is known of a report, and the claim on one that is durable.

use std::future::Future;

use store::{Claim, ClaimError, Claims, ConversionClaim, ReadModel};
use streams::{Ack, Publisher};
use tokio::time::timeout;

use crate::edge::{Inner, Known};
use crate::submit::{Asker, Identity, Outcome, Submission};

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// What is known of the first with a submission's key.
    pub(crate) async fn known(&self, submission: &Submission) -> Option<Known> {
        let key = submission.key();
        let recent = self.recent_claims.get(&key);
        if let Some(recent) = recent
            && matches!(submission.identity.differing(recent), Differing::Nothing)
        {
            return Some(recent);
        }
        // What the process remembers is what it saw; the claims may have learnt from the log since then that another
        // report of the order was first. Nobody is told of a conflict before they are asked.
        let asker = submission.asker();
        let known = match submission.identity {
            Identity::Conversion(_) => {
                let claim = self.claims.conversion(submission.conversion_id);
                let claim = self.ask("conversion", asker, claim).await.flatten();
                claim.map(|claim| Known::Conversion(claim.fingerprint))
            }
            Identity::OrderStatus(digest) | Identity::TestClock(digest) => {
                let claimed = self.ask("status", asker, self.claims.status(digest)).await;
                claimed.unwrap_or(false).then_some(Known::OrderStatus)
            }
        };
        if let Some(known) = known {
            self.recent_claims.insert(key, known);
        }
        known.or(recent)
    }

    /// Claims what is durable. Without an answer of the claims it counts as first: the log decides anyway.
    pub(crate) async fn claim(&self, submission: &Submission, ack: Ack) -> Outcome {
        let accepted = Outcome::Accepted { event_id: submission.event_id.clone() };
        let asker = submission.asker();
        let (mine, theirs) = match submission.identity {
            Identity::Conversion(fingerprint) => {
                let event_id = submission.event_id.clone();
                let Ack { partition, offset } = ack;
                let claim = ConversionClaim { event_id, fingerprint, partition, offset };
                let answer = self.claims.claim_conversion(submission.conversion_id, &claim);
                let answer = self.ask("claim_conversion", asker, answer).await;
                let theirs = answer.map(|claim| match claim {
                    Claim::Claimed => None,
                    Claim::Taken(first) => Some(Known::Conversion(first.fingerprint)),
                });
                (Known::Conversion(fingerprint), theirs)
            }
            Identity::OrderStatus(digest) | Identity::TestClock(digest) => {
                let answer = self.claims.claim_status(digest, &submission.event_id);
                let answer = self.ask("claim_status", asker, answer).await;
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

    /// Asks the claims something; `None`, counted and logged, if they fail or take too long. The wait for others of the
    /// same batch counts too, so that a store that is away costs a batch no more time than a report.
    pub(crate) async fn ask<T>(
        &self,
        operation: &'static str,
        asker: Asker<'_>,
        question: impl Future<Output = Result<T, ClaimError>>,
    ) -> Option<T> {
        let question = async {
            let _permit = match asker.questions {
                Some(questions) => Some(questions.acquire().await.map_err(|error| ClaimError(error.to_string()))?),
                None => None,
            };
            question.await
        };
        let error = match timeout(self.config.store_deadline, question).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.config.store_deadline),
        };
        self.metrics.claims_failed(operation);
        tracing::warn!(request_id = asker.request_id, operation, error, "going on without the claims");
        None
    }
}

/// How a report differs from the first with its key.
#[derive(Debug)]
pub(crate) enum Differing {
    /// Not at all.
    Nothing,
    /// In these fields, or in some that collide.
    Fields(Vec<&'static str>),
}

impl Identity {
    /// How a report differs from what is known of the first with its key.
    pub(crate) fn differing(self, first: Known) -> Differing {
        match (self, first) {
            (Identity::Conversion(mine), Known::Conversion(first)) if mine.whole != first.whole => {
                Differing::Fields(mine.differing(&first))
            }
            // An update never differs, nor does a moved clock, and the digests of the kinds never meet.
            (
                Identity::Conversion(_) | Identity::OrderStatus(_) | Identity::TestClock(_),
                Known::Conversion(_) | Known::OrderStatus,
            ) => Differing::Nothing,
        }
    }
}
