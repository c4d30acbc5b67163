//! The states an order passes from one derivation to the next.

use schemas::records::{Cause, CauseType, ConversionState};

/// A cause that was applied.
pub(super) fn cause(kind: CauseType, event_id: Option<String>) -> Cause {
    Cause {
        kind,
        event_id,
        order_status: None,
        refunded_thousandths: None,
        applied: true,
        fields: Vec::new(),
        review: None,
    }
}

/// The states entered on the way from one state to another, the last being `to`; none if nothing changed.
///
/// Going forward, every state between is passed, `hold` only if a hold has begun. Anything else is one step.
pub(super) fn path(from: Option<ConversionState>, to: ConversionState, has_hold: bool) -> Vec<ConversionState> {
    const FORWARD: [ConversionState; 6] = [
        ConversionState::Received,
        ConversionState::Attributed,
        ConversionState::CommissionCreated,
        ConversionState::Hold,
        ConversionState::Payable,
        ConversionState::Paid,
    ];
    if from == Some(to) {
        return Vec::new();
    }
    let rank = |state: ConversionState| FORWARD.iter().position(|step| *step == state);
    let before = from.map_or(Some(0), |from| rank(from).map(|rank| rank + 1));
    match (before, rank(to)) {
        (Some(before), Some(last)) if before <= last => {
            let skipped = |state: &ConversionState| *state == ConversionState::Hold && !has_hold;
            FORWARD[before..=last].iter().copied().filter(|state| !skipped(state)).collect()
        }
        _ if from.is_none() => vec![ConversionState::Received, to],
        _ => vec![to],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConversionState::{Attributed, CommissionCreated, Hold, Payable, Received, Rejected, Reversed};

    #[test]
    fn every_state_between_is_passed() {
        let check = |from, to, has_hold, expected: &[ConversionState]| assert_eq!(path(from, to, has_hold), expected);
        check(None, Received, false, &[Received]);
        check(None, Hold, true, &[Received, Attributed, CommissionCreated, Hold]);
        check(None, Reversed, false, &[Received, Reversed]);
        check(Some(Received), CommissionCreated, false, &[Attributed, CommissionCreated]);
        check(Some(CommissionCreated), Payable, false, &[Payable]);
        check(Some(CommissionCreated), Payable, true, &[Hold, Payable]);
        check(Some(Hold), Payable, true, &[Payable]);
        check(Some(Payable), Hold, true, &[Hold]);
        check(Some(Payable), Reversed, true, &[Reversed]);
        check(Some(Reversed), Reversed, true, &[]);
        check(Some(Hold), Hold, true, &[]);
        check(Some(Received), Rejected, false, &[Rejected]);
        check(Some(Rejected), Received, false, &[Received]);
        check(Some(Rejected), Reversed, false, &[Reversed]);
        check(Some(Reversed), Hold, true, &[Hold]);
    }
}
