//! Reviewers: they look at conversions, and press on what they saw, perhaps long after, and several at once.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use schemas::ids::OrderKey;
use schemas::records::{Confidence, ConversionState, ConversionTransitioned, Review, ReviewDecided, ReviewDecision};
use schemas::topics::CONVERSIONS;
use schemas::{Timestamp, encode};
use streams::Message;
use streams::log::{Pending, Publisher as _};
use streams::sim::{Process, SimPublisher};

use crate::random::Random;
use crate::world::World;

/// Most conversions that somebody has before them.
const SHOWN_MAX: usize = 8;
const REVIEWERS: [&str; 2] = ["asha", "bina"];
const AFFILIATES: [&str; 2] = ["a1", "a2"];

/// Everybody who reviews.
pub(crate) struct Reviewers {
    random: Random,
    /// Through which their decisions are written.
    publisher: (Process, SimPublisher),
    /// Those that are on their way.
    pending: Vec<(Message, Pending)>,
    /// What somebody has before them.
    shown: Vec<ConversionTransitioned>,
    /// How many decisions there are.
    pressed: u64,
}

impl Reviewers {
    pub(crate) fn new(seed: u64, publisher: (Process, SimPublisher)) -> Reviewers {
        let random = Random::new(seed, "reviewers");
        Reviewers { random, publisher, pending: Vec::new(), shown: Vec::new(), pressed: 0 }
    }

    /// Whether decisions are on their way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A decision on what was shown, right or wrong.
    fn decide(&mut self, shown: &ConversionTransitioned, reviewer: &str, now_ms: i64) -> ReviewDecided {
        let likely = if shown.state == ConversionState::Received {
            self.random.pick(&[ReviewDecision::Approve, ReviewDecision::Reject])
        } else {
            ReviewDecision::Reinstate
        };
        let any = self.random.pick(&[ReviewDecision::Approve, ReviewDecision::Reject, ReviewDecision::Reinstate]);
        let decision = if self.random.happens(8_000) { likely } else { any };
        let affiliate = self.random.pick(&AFFILIATES);
        self.pressed += 1;
        ReviewDecided {
            event_id: format!("revevt_{}", self.pressed),
            merchant_id: shown.merchant_id.clone(),
            livemode: shown.livemode,
            external_order_id: shown.external_order_id.clone(),
            review: Review {
                decision,
                revision: shown.revision,
                affiliate_id: (decision == ReviewDecision::Approve).then(|| affiliate.to_owned()),
                reviewer: reviewer.to_owned(),
                role: "administrator".to_owned(),
                reason: "as it seems".to_owned(),
                request_id: format!("review_{}", self.pressed),
            },
            decided_at: Timestamp(now_ms),
        }
    }

    fn publish(&mut self, message: Message) {
        let pending = self.publisher.1.publish(vec![message.clone()]);
        self.pending.push((message, pending.expect("the queue takes all decisions of a run")));
    }
}

/// Whether somebody may look at a conversion to decide it.
fn is_of_interest(last: &ConversionTransitioned) -> bool {
    match last.state {
        ConversionState::Received => last.confidence == Some(Confidence::Low),
        ConversionState::Rejected | ConversionState::Reversed => true,
        ConversionState::Attributed
        | ConversionState::CommissionCreated
        | ConversionState::Hold
        | ConversionState::Payable
        | ConversionState::Paid => false,
    }
}

impl World {
    /// Now and then somebody looks at a conversion, and somebody presses, or two do at once.
    pub(crate) fn reviewers_act(&self) {
        let now_ms = self.cluster.now_ms();
        let mut guard = self.inner();
        let inner = &mut *guard;
        let reviewers = &mut inner.reviewers;
        if reviewers.random.happens(1_000) {
            let last = inner.observer.committed.conversions().filter_map(|(_, revisions)| revisions.last());
            let waiting: Vec<&ConversionTransitioned> = last.filter(|last| is_of_interest(last)).collect();
            if !waiting.is_empty() && reviewers.shown.len() < SHOWN_MAX {
                let index = reviewers.random.index(waiting.len());
                reviewers.shown.push(waiting[index].clone());
            }
        }
        if reviewers.shown.is_empty() || !reviewers.random.happens(1_000) {
            return;
        }
        let index = reviewers.random.index(reviewers.shown.len());
        // Kept before somebody else, who presses later.
        let is_kept = reviewers.random.happens(3_000);
        let shown = if is_kept { reviewers.shown[index].clone() } else { reviewers.shown.swap_remove(index) };
        let several = reviewers.random.happens(3_000);
        for reviewer in &REVIEWERS[..if several { 2 } else { 1 }] {
            let decided = reviewers.decide(&shown, reviewer, now_ms);
            let ReviewDecided { merchant_id, livemode, external_order_id, .. } = &decided;
            let key = OrderKey { merchant_id, livemode: *livemode, external_order_id }.to_bytes();
            self.cluster.note(format_args!("{reviewer} decides {decided:?}"));
            let message = Message { topic: processors::topic(&CONVERSIONS), key, value: encode(&decided) };
            reviewers.publish(message);
        }
    }

    /// Writes decisions again that did not get there.
    pub(crate) fn review_again(&self) {
        let mut guard = self.inner();
        let reviewers = &mut guard.reviewers;
        let mut failed = Vec::new();
        reviewers.pending.retain_mut(|(message, pending)| {
            match Pin::new(pending).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => true,
                Poll::Ready(Ok(_)) => false,
                Poll::Ready(Err(_)) => {
                    failed.push(message.clone());
                    false
                }
            }
        });
        failed.into_iter().for_each(|message| reviewers.publish(message));
    }
}
