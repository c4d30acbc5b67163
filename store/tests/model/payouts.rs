//! Payouts, whichever store they are in.

use std::collections::BTreeMap;

use schemas::ids::PayoutKey;
use schemas::records::{Account, PayoutChanged, PayoutState};
use schemas::topics::PAYOUTS;
use schemas::{Currency, Timestamp};
use store::{ListCursor, Part, PayoutPage, PayoutQuery, ReadModel};

use super::common::NOW;
use super::reads::on_both_stores;
use super::seed::seed;
use super::side::{Embedded, Server, Side};

const WEEK_MS: i64 = 7 * 24 * 3_600_000;

on_both_stores!(
    a_payout_is_read_with_all_its_changes,
    records_that_come_again_change_nothing,
    payouts_are_listed_by_state_and_cut_off,
    pages_of_payouts_have_every_one_once,
);

/// A payout as it is made at the cut-off so many weeks ago.
fn made(affiliate_id: &str, weeks: i64) -> PayoutChanged {
    let currency = Currency::parse("NPR").expect("a currency");
    let cut_off = Timestamp(NOW.0 / 1_000 * 1_000 - weeks * WEEK_MS);
    PayoutChanged {
        payout_id: PayoutKey { affiliate_id, currency, cut_off }.payout_id(),
        number: 2,
        affiliate_id: affiliate_id.to_owned(),
        currency,
        livemode: true,
        state: PayoutState::InTransit,
        amount_minor: 35_988,
        cut_off,
        entries_to: 9,
        retries: vec!["pay_1_NPR_aff_one".to_owned()],
        debit: Account::AffiliatePayable,
        debit_entries: 10,
        credit: Account::PayoutInTransit,
        credit_entries: 5,
        reference: None,
        at: Timestamp(cut_off.0 + 7),
    }
}

fn ended(payout: &PayoutChanged, state: PayoutState) -> PayoutChanged {
    PayoutChanged {
        state,
        retries: Vec::new(),
        debit: Account::PayoutInTransit,
        debit_entries: 6,
        credit: Account::AffiliatePaid,
        credit_entries: 1,
        reference: Some("BANK-1 é".to_owned()),
        at: Timestamp(payout.at.0 + 1),
        ..payout.clone()
    }
}

fn query(state: Option<PayoutState>, limit: usize) -> PayoutQuery {
    PayoutQuery { state, part: Part { from: None, until: None, after: None, limit } }
}

fn page<S: Side>(side: &S, query: &PayoutQuery) -> PayoutPage {
    side.wait(side.model().payouts(query)).expect("listed")
}

/// All pages: a page ends early rather than that it takes long, and of sixty weeks on a busy machine it may.
fn pages<S: Side>(side: &S, mut query: PayoutQuery) -> Vec<PayoutChanged> {
    let mut rows = Vec::new();
    loop {
        let page = page(side, &query);
        rows.extend(page.rows);
        query.part.after = page.next;
        if query.part.after.is_none() {
            return rows;
        }
    }
}

fn changes<S: Side>(side: &S, payout_id: &str) -> Option<Vec<PayoutChanged>> {
    side.wait(side.model().payout(payout_id)).expect("read").map(|view| view.changes().to_vec())
}

fn a_payout_is_read_with_all_its_changes<S: Side>(side: &S) {
    let payout = made("aff_one", 0);
    assert_eq!(changes(side, &payout.payout_id), None);
    side.publish(PAYOUTS, &[payout.clone(), made("aff_two", 0)]);
    side.catch_up();
    assert_eq!(changes(side, &payout.payout_id), Some(vec![payout.clone()]));
    let paid = ended(&payout, PayoutState::Paid);
    side.publish(PAYOUTS, std::slice::from_ref(&paid));
    side.catch_up();
    assert_eq!(changes(side, &payout.payout_id), Some(vec![payout.clone(), paid]));
    for other in [&payout.payout_id[..payout.payout_id.len() - 1], ""] {
        assert_eq!(changes(side, other), None, "{other}");
    }
}

fn records_that_come_again_change_nothing<S: Side>(side: &S) {
    let payout = made("aff_one", 0);
    let failed = ended(&payout, PayoutState::Failed);
    side.publish(PAYOUTS, &[payout.clone(), failed.clone(), payout.clone()]);
    side.catch_up();
    side.publish(PAYOUTS, std::slice::from_ref(&payout));
    side.catch_up();
    assert_eq!(changes(side, &payout.payout_id), Some(vec![payout, failed.clone()]));
    assert_eq!(page(side, &query(Some(PayoutState::InTransit), 10)).rows, []);
    assert_eq!(page(side, &query(Some(PayoutState::Failed), 10)).rows, [failed]);
}

fn payouts_are_listed_by_state_and_cut_off<S: Side>(side: &S) {
    let payouts: Vec<_> = (0..60).map(|weeks| made("aff_one", weeks)).collect();
    side.publish(PAYOUTS, &payouts);
    let paid: Vec<_> = payouts[5..].iter().map(|payout| ended(payout, PayoutState::Paid)).collect();
    side.publish(PAYOUTS, &paid);
    side.catch_up();
    let between = |from: i64, until: i64, state| {
        let at = |weeks: i64| Some(made("aff_one", weeks).cut_off);
        let part = Part { from: at(from), until: at(until), after: None, limit: 100 };
        PayoutQuery { state, part }
    };
    for (query, expected) in [
        (query(None, 100), [&payouts[..5], &paid].concat()),
        (query(Some(PayoutState::InTransit), 100), payouts[..5].to_vec()),
        (query(Some(PayoutState::Failed), 100), vec![]),
        (between(6, 3, None), vec![payouts[4].clone(), paid[0].clone(), paid[1].clone()]),
        (between(6, 3, Some(PayoutState::Paid)), paid[..2].to_vec()),
        (between(3, 3, None), vec![]),
    ] {
        assert_eq!(pages(side, query), expected, "{query:?}");
    }
}

fn pages_of_payouts_have_every_one_once<S: Side>(side: &S) {
    let mut dice = fastrand::Rng::with_seed(seed());
    let payouts: Vec<_> = (0..120).map(|number| made(&format!("aff_{number}"), dice.i64(0..4))).collect();
    side.publish(PAYOUTS, &payouts);
    side.catch_up();
    let expected: BTreeMap<ListCursor, PayoutChanged> =
        payouts.into_iter().map(|payout| (ListCursor::of_payout(&payout), payout)).collect();
    let (mut query, mut found) = (query(None, 7), Vec::new());
    loop {
        let page = page(side, &query);
        assert!(page.rows.len() <= 7);
        found.extend(page.rows);
        query.part.after = page.next;
        if query.part.after.is_none() {
            break;
        }
        // Those of another week, and what changes meanwhile, are in nobody's way.
        side.publish(PAYOUTS, &[made(&format!("aff_new_{}", found.len()), -1)]);
        side.catch_up();
    }
    assert_eq!(found, expected.into_values().rev().collect::<Vec<_>>());
}
