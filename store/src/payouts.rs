//! Payouts in the read model: how its readers see them, and what both stores hold of the records of `payouts`.

use schemas::ids::{PayoutKey, check_name};
use schemas::records::{PayoutChanged, PayoutState};
use sha2::{Digest, Sha256};

use crate::view::{ListCursor, Part};

/// A payout with all that became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutView {
    changes: Vec<PayoutChanged>,
}

impl PayoutView {
    /// A payout of its changes, in their order; none of nothing.
    #[must_use]
    pub fn of(changes: Vec<PayoutChanged>) -> Option<PayoutView> {
        (!changes.is_empty()).then_some(PayoutView { changes })
    }

    /// The changes, each of which is a booking: that it was made, and then that it was paid or has failed.
    #[must_use]
    pub fn changes(&self) -> &[PayoutChanged] {
        &self.changes
    }

    /// The payout as of its last change.
    #[must_use]
    pub fn current(&self) -> &PayoutChanged {
        self.changes.last().expect("there is one: it was checked when this was made")
    }
}

/// Which payouts to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayoutQuery {
    /// Only those in this state.
    pub state: Option<PayoutState>,
    /// Of which cut-offs, and how many.
    pub part: Part,
}

impl PayoutQuery {
    /// Whether a payout in this state is asked for.
    #[must_use]
    pub fn admits(&self, state: PayoutState) -> bool {
        self.state.is_none_or(|asked| asked == state)
    }
}

/// A part of the list of payouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutPage {
    /// Payouts as of their last change.
    pub rows: Vec<PayoutChanged>,
    /// What to go on after, as of a [`ListPage`](crate::view::ListPage).
    pub next: Option<ListCursor>,
}

/// 128 bits of SHA-256 of a payout's id, which has no bound of its own on its length. It tells payouts of one cut-off apart
/// in a list.
#[must_use]
pub fn payout_digest(payout_id: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(payout_id.as_bytes()).into();
    *digest.first_chunk().expect("32 bytes have 16")
}

impl ListCursor {
    /// The place of a payout.
    #[must_use]
    pub fn of_payout(payout: &PayoutChanged) -> ListCursor {
        ListCursor { at: payout.cut_off, id: payout_digest(&payout.payout_id) }
    }
}

/// Which of a payout's changes brings it into a state: the first or the last.
pub(crate) fn change_number(state: PayoutState) -> u8 {
    match state {
        PayoutState::InTransit => 1,
        PayoutState::Paid | PayoutState::Failed => 2,
    }
}

/// What is wrong with a record of `payouts`, if anything is.
pub(crate) fn check(payout: &PayoutChanged) -> Result<(), String> {
    check_name(&payout.affiliate_id).map_err(|error| format!("affiliateId {error}"))?;
    let PayoutChanged { affiliate_id, currency, cut_off, .. } = payout;
    let key = PayoutKey { affiliate_id, currency: *currency, cut_off: *cut_off };
    if PayoutKey::parse(&payout.payout_id) != Some(key) {
        return Err("payoutId is not of its affiliate, currency and cutOff".to_owned());
    }
    if !payout.livemode {
        return Err("livemode is false, and the test namespace is never paid out".to_owned());
    }
    Ok(())
}
