//! The revisions of a conversion, each against the one before it and the order's report.

use schemas::records::{
    CauseType, Confidence, ConversionReported, ConversionState, ConversionTransitioned, ReportedStatus,
};

use super::{Committed, Visible, same_key};
use crate::facts::conversion_id;
use crate::fault::{Fault, Faults, Invariant};
use crate::keys;

impl Committed {
    pub(super) fn changed(&mut self, record: Visible<'_>, now: ConversionTransitioned, faults: &mut Faults) {
        let key = keys::order(&now.merchant_id, now.livemode, &now.external_order_id);
        same_key(record, &key, faults);
        let before = self.conversions.get(&key).and_then(|revisions| revisions.last());
        let approvals = self.statuses.get(&key).into_iter().flatten();
        let approved = approvals.into_iter().any(|it| it.status == ReportedStatus::CommissionApproved);
        follows(&key, self.report(&key), approved, before, &now, faults);
        self.conversions.entry(key).or_default().push(now);
    }
}

/// What is wrong with a revision of the order with this key, of which `report` is the first in the log, and `before` the
/// revision before; `approved` says whether any update approves its commission.
#[must_use]
pub fn revision(
    key: &str,
    report: Option<&ConversionReported>,
    approved: bool,
    before: Option<&ConversionTransitioned>,
    now: &ConversionTransitioned,
) -> Vec<Fault> {
    let mut faults = Faults::default();
    follows(key, report, approved, before, now, &mut faults);
    faults.found()
}

fn follows(
    key: &str,
    report: Option<&ConversionReported>,
    approved: bool,
    before: Option<&ConversionTransitioned>,
    now: &ConversionTransitioned,
    faults: &mut Faults,
) {
    match report {
        Some(report) => says_the_report(key, report, now, faults),
        None => faults.add(Invariant::Report, format!("{key}: has a conversion and no report")),
    }
    numbered(key, before, now, faults);
    course(key, before, now, faults);
    early(key, approved, now, faults);
    consistent(key, now, faults);
    if let Some(before) = before {
        nothing_taken_back(key, before, now, faults);
        pinned(key, before, now, faults);
    }
}

/// The first report in the log is the order's.
fn says_the_report(key: &str, report: &ConversionReported, now: &ConversionTransitioned, faults: &mut Faults) {
    let holds = [
        ("conversionId", Some(now.conversion_id) == conversion_id(key)),
        ("eventId", now.event_id == report.event_id),
        ("clickId", now.click_id == report.click_id),
        ("externalProductId", now.external_product_id == report.external_product_id),
        ("amountMinor", now.amount_minor == report.amount_minor),
        ("currency", now.currency == report.currency),
        ("orderedAt", now.ordered_at == report.ordered_at.unwrap_or(report.received_at)),
        ("receivedAt", now.received_at == report.received_at),
        ("couponCode", now.coupon_code == report.coupon_code),
        ("metadata", now.metadata == report.metadata),
    ];
    let differing: Vec<&str> = holds.iter().filter(|(_, holds)| !holds).map(|(field, _)| *field).collect();
    faults.check(Invariant::Report, differing.is_empty(), || {
        format!("{key}: revision {} differs in {differing:?} from the first report: {now:?}, {report:?}", now.revision)
    });
}

fn numbered(key: &str, before: Option<&ConversionTransitioned>, now: &ConversionTransitioned, faults: &mut Faults) {
    let (revision, seq) = before.map_or((0, 0), |before| (before.revision, before.seq));
    faults.check(Invariant::Revisions, now.revision == revision + 1, || {
        format!("{key}: revision {} comes after {revision}: {now:?}", now.revision)
    });
    let mut last = seq;
    for entry in &now.timeline {
        last += 1;
        faults.check(Invariant::Timeline, entry.seq == last, || {
            format!("{key}: entry {} of the timeline stands where {last} belongs", entry.seq)
        });
    }
    faults.check(Invariant::Timeline, now.seq == last, || {
        format!("{key}: revision {} says that its last entry is {}, and it is {last}", now.revision, now.seq)
    });
}

fn course(key: &str, before: Option<&ConversionTransitioned>, now: &ConversionTransitioned, faults: &mut Faults) {
    let mut state = before.map(|before| before.state);
    for entry in &now.timeline {
        faults.check(Invariant::Course, may_follow(state, entry.state), || {
            format!("{key}: {:?} follows {state:?} in revision {}", entry.state, now.revision)
        });
        faults.check(
            Invariant::Course,
            entry.cause.kind != CauseType::HoldElapsed || entry.state == ConversionState::Payable,
            || format!("{key}: {:?} is entered because the hold elapsed", entry.state),
        );
        state = Some(entry.state);
    }
    faults.check(Invariant::Timeline, state == Some(now.state), || {
        format!("{key}: revision {} is {:?}, and its timeline ends in {state:?}", now.revision, now.state)
    });
}

/// Whether a conversion may enter `state` from `before`, or be told to have stayed there.
fn may_follow(before: Option<ConversionState>, state: ConversionState) -> bool {
    use ConversionState::{Attributed, CommissionCreated, Hold, Paid, Payable, Received, Rejected, Reversed};
    let Some(before) = before else { return state == Received };
    let allowed: &[ConversionState] = match before {
        Received => &[Received, Attributed, Reversed],
        Attributed => &[Attributed, CommissionCreated, Reversed],
        CommissionCreated => &[CommissionCreated, Hold, Payable, Reversed],
        // A delivery begins another hold.
        Hold => &[Hold, Payable, Reversed],
        Payable => &[Payable, Hold, Reversed],
        Reversed => &[Reversed],
        // Nothing pays out or reviews yet.
        Paid | Rejected => &[],
    };
    allowed.contains(&state)
}

fn early(key: &str, approved: bool, now: &ConversionTransitioned, faults: &mut Faults) {
    let elapsed = now.hold_until.is_some_and(|until| until <= now.at);
    let fits = match now.state {
        ConversionState::Payable => approved || elapsed,
        ConversionState::Hold => now.hold_until.is_some() && !elapsed,
        ConversionState::Received
        | ConversionState::Attributed
        | ConversionState::CommissionCreated
        | ConversionState::Paid
        | ConversionState::Rejected
        | ConversionState::Reversed => true,
    };
    faults.check(Invariant::Early, fits, || {
        format!(
            "{key}: revision {} is {:?} at {} with a hold until {:?}",
            now.revision, now.state, now.at, now.hold_until
        )
    });
}

/// A revision's parts fit each other.
fn consistent(key: &str, now: &ConversionTransitioned, faults: &mut Faults) {
    let high = now.confidence == Some(Confidence::High);
    let attributed = (now.affiliate_id.is_some(), now.campaign_id.is_some());
    let with_commission = now.commission.is_some();
    let fits = match now.state {
        ConversionState::Received => !high,
        ConversionState::Attributed => high && !with_commission,
        ConversionState::CommissionCreated | ConversionState::Hold | ConversionState::Payable => with_commission,
        ConversionState::Reversed => true,
        ConversionState::Paid | ConversionState::Rejected => false,
    };
    let reasoned = (now.confidence == Some(Confidence::Low)) == now.confidence_reason.is_some();
    let nothing_low = high || (!with_commission && now.hold_until.is_none());
    let suggests = now.suggested_affiliate_id.is_none() || now.confidence == Some(Confidence::Low);
    let fits = fits && reasoned && nothing_low && suggests && attributed == (high, high);
    faults.check(Invariant::Course, fits, || format!("{key}: revision {} contradicts itself: {now:?}", now.revision));
}

/// Time goes on, and what it alone has brought about stays.
fn nothing_taken_back(key: &str, before: &ConversionTransitioned, now: &ConversionTransitioned, faults: &mut Faults) {
    let held_again = (before.state, now.state) == (ConversionState::Payable, ConversionState::Hold)
        && before.hold_until == now.hold_until;
    let awaited_again = before.confidence.is_some() && now.confidence.is_none();
    faults.check(Invariant::Course, before.at <= now.at && !held_again && !awaited_again, || {
        format!("{key}: revision {} takes back what time has brought about: {before:?}, {now:?}", now.revision)
    });
    faults.check(Invariant::Timeline, before.conflicts <= now.conflicts, || {
        format!("{key}: had {} conflicts, and revision {} has {}", before.conflicts, now.revision, now.conflicts)
    });
}

fn pinned(key: &str, before: &ConversionTransitioned, now: &ConversionTransitioned, faults: &mut Faults) {
    if before.confidence != Some(Confidence::High) {
        return;
    }
    // The amount follows the refunds; that it does so rightly is for the end to say.
    let refunds = |it: &ConversionTransitioned| (it.refunded_thousandths, it.state == ConversionState::Reversed);
    let amount_stays = refunds(before) == refunds(now) && now.state != ConversionState::Reversed;
    let terms = |it: &ConversionTransitioned| {
        let mut commission = it.commission.clone();
        if let Some(commission) = commission.as_mut().filter(|_| !amount_stays) {
            commission.amount_minor = 0;
        }
        (it.confidence, it.affiliate_id.clone(), it.campaign_id.clone(), commission)
    };
    faults.check(Invariant::Pinned, terms(before) == terms(now), || {
        format!("{key}: was {:?}, and revision {} says {:?}", terms(before), now.revision, terms(now))
    });
}
