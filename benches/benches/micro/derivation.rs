//! What follows from an order's facts.

use std::hint::black_box;

use criterion::Criterion;
use processors::derive::{Facts, derive as derived};
use processors::orders::empty_state;
use schemas::registry::{BookedRule, RuleScope};
use schemas::state::{ClickFact, FactSource, OrderState, ReportFact};

use crate::orders::{InTurn, NOW, records, registry};

/// Orders with their clicks, before their terms are pinned: the derivation that finds a rule.
fn states() -> Vec<(String, OrderState)> {
    let state = |(click, report): (schemas::records::ClickRecorded, schemas::records::ConversionReported)| {
        let mut state = empty_state();
        let awaited_until = report.click_id.as_ref().map(|_| NOW);
        state.report = Some(ReportFact {
            event_id: report.event_id,
            click_id: report.click_id,
            external_product_id: report.external_product_id,
            amount_minor: report.amount_minor,
            currency: report.currency,
            order_status: report.order_status,
            ordered_at: report.ordered_at,
            received_at: report.received_at,
            coupon_code: report.coupon_code,
            metadata: report.metadata,
            set_aside: false,
            source: Some(FactSource { partition: 0, offset: 0 }),
        });
        state.awaited_until = awaited_until;
        state.click = Some(ClickFact {
            merchant_id: click.merchant_id,
            campaign_id: click.campaign_id,
            affiliate_id: click.affiliate_id,
            clicked_at: click.clicked_at,
            source: Some(FactSource { partition: 0, offset: 0 }),
        });
        (report.merchant_id, state)
    };
    records().into_iter().map(state).collect()
}

/// `derive`, with and without pinned terms.
pub(crate) fn derive(criterion: &mut Criterion) {
    let registry = registry();
    let mut pinned = states();
    for (merchant_id, state) in &mut pinned {
        let first = derived(Facts { merchant_id, livemode: true, state }, &registry, NOW).expect("it is reported");
        assert!(first.commission.is_some(), "each of these orders pays");
        state.terms = first.terms;
    }
    for (name, states) in [("derive", states()), ("derive with pinned terms", pinned)] {
        let mut states = InTurn::new(states);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (merchant_id, state) = black_box(states.next());
                derived(Facts { merchant_id, livemode: true, state }, &registry, NOW)
            });
        });
    }
}

/// The look-ups of a rule choice alone, up to the first rule that matches. What else the choice takes, the versions and the outcomes
/// of all that were considered, is what `derive` takes more without pinned terms.
pub(crate) fn rule(criterion: &mut Criterion) {
    let (registry, mut states) = (registry(), InTurn::new(states()));
    criterion.bench_function("look-ups of a rule", |bencher| {
        bencher.iter(|| {
            let (merchant_id, state) = black_box(states.next());
            let (report, click) = (state.report.as_ref().expect("reported"), state.click.as_ref().expect("matched"));
            let product = report.external_product_id.as_ref().map(|product| RuleScope::Product {
                merchant_id: merchant_id.clone(),
                external_product_id: product.clone(),
            });
            let campaign = RuleScope::Campaign { campaign_id: click.campaign_id.clone() };
            let merchant = RuleScope::Merchant { merchant_id: merchant_id.clone() };
            let scopes = [product, Some(campaign), Some(merchant), Some(RuleScope::Platform)];
            let matches = |rule: &&BookedRule| rule.is_effective(report.received_at) && rule.is_in(report.currency);
            let found = scopes.iter().flatten().find_map(|scope| registry.rules().of(scope).iter().find(matches));
            black_box(found.expect("the platform's pays for all").payment)
        });
    });
}
