//! What has to happen sometimes: a campaign in which one of these never does has tested less than it seems to.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! rare {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Something that does not happen in every run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rare { $($(#[doc = $doc])+ $name,)+ }

        impl Rare {
            /// All of them.
            pub const ALL: &[Rare] = &[$(Rare::$name,)+];

            /// What it is, in words.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Rare::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

rare! {
    /// a commit of unknown outcome was committed
    UnknownCommitted,
    /// a commit of unknown outcome was aborted
    UnknownAborted,
    /// a zombie was fenced by its generation
    FencedByGeneration,
    /// a zombie was fenced by its epoch
    FencedByEpoch,
    /// a click that came late made a LOW conversion HIGH
    LateClickUpgrade,
    /// a conversion was reversed during its hold
    ReversedInHold,
    /// a partial refund made a booked commission smaller
    CommissionShrunk,
    /// partial refunds added up to the whole, and reversed the conversion
    RefundedInParts,
    /// a conversion became payable because its hold was over
    HoldElapsed,
    /// a test order's clock was moved past its hold
    HoldMovedOver,
    /// a payout was simulated, of a test order whose hold and cut-off passed by themselves
    PayoutSimulated,
    /// a payout was simulated, of a test order whose clock was moved past a cut-off
    PayoutMovedOver,
    /// a test order's clock was moved past the wait for its click
    WaitMovedOver,
    /// a conflict was counted
    ConflictCounted,
    /// two edges accepted the same report
    DuplicateAcrossEdges,
    /// a restore was cut off, and gone on with
    RestoreResumed,
    /// a store was made from nothing
    ColdRestore,
    /// a store was of no use any more, and emptied
    StoreWiped,
    /// a power loss took writes of a store back
    StoreRolledBack,
    /// a timer fired in a worker that had been started again
    TimerAfterCrash,
    /// claims were lost, and made again from the log
    ClaimsRemade,
    /// an order that may have been recorded was sent again and was a duplicate
    AmbiguousRetried,
    /// partitions were taken away with records polled
    RebalanceWithRecords,
    /// an EndTxn took effect after its client had given it up
    EndTxnLate,
    /// the coordinator aborted a transaction that was open for too long
    TransactionTimedOut,
    /// the brokers were away
    BrokersAway,
    /// terms of an earlier registry stayed those of an order
    TermsPinned,
    /// a write to the shared claims of which nothing was known had made the claim
    ClaimUnknownMade,
    /// a write to the shared claims of which nothing was known never made it
    ClaimUnknownNotMade,
    /// a claim that was half done was ended by whoever came next
    ClaimEnded,
    /// a plain read did not see a claim that was decided
    ClaimOverlooked,
    /// something was accepted without a claim, since the shared claims did not say
    Unclaimed,
    /// two edges claimed an order, and one of them was first
    OneEdgeFirst,
    /// a shared claim was made good from the log
    ClaimKept,
    /// a shared claim was moved to the first report in the log
    ClaimMoved,
    /// a coupon suggested whom to credit
    CouponSuggested,
    /// an order came too soon after its click
    ClickTooRecent,
    /// a click was one of an affiliate whose own the shop is
    SelfReferred,
    /// a coupon was one of an affiliate whose own the shop is
    SelfReferredByCoupon,
    /// what a failed payout was of was in the next one
    PayoutRetried,
    /// a payout was reported as what it had not become
    OutcomeContradicted,
    /// an order that was paid was reversed
    ReversedAfterPaid,
    /// more was taken back than was payable
    PayableBelowZero,
    /// a reviewer credited an affiliate, who got a commission
    Approved,
    /// an administrator brought a reversed conversion back
    BroughtBack,
    /// a decision came too late
    ReviewLate,
}

impl fmt::Display for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// How often each happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sometimes(BTreeMap<Rare, u64>);

impl Sometimes {
    /// It happened.
    pub(crate) fn saw(&mut self, rare: Rare) {
        *self.0.entry(rare).or_default() += 1;
    }

    /// It happened, if so.
    pub(crate) fn saw_if(&mut self, rare: Rare, happened: bool) {
        if happened {
            self.saw(rare);
        }
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self, rare: Rare) -> u64 {
        self.0.get(&rare).copied().unwrap_or(0)
    }
}
