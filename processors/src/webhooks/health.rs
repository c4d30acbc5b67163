//! Whether an endpoint goes on to be told.

use schemas::Timestamp;
use schemas::records::WebhookResult;
use schemas::state::{DisabledFor, WebhookEndpoint};

/// Least failures in a row that disable an endpoint: few deliveries in a long time say little.
const FAILURES_MIN: i32 = 10;

/// What an attempt says of its endpoint.
pub(super) fn judge(endpoint: &mut WebhookEndpoint, result: WebhookResult, now: Timestamp, disable_after_ms: i64) {
    match result {
        WebhookResult::Delivered => (endpoint.failing_since, endpoint.failures) = (None, 0),
        WebhookResult::Gone => disable(endpoint, DisabledFor::Gone, now),
        WebhookResult::Failed => {
            let since = *endpoint.failing_since.get_or_insert(now);
            endpoint.failures = endpoint.failures.saturating_add(1);
            if endpoint.failures >= FAILURES_MIN && now.0.saturating_sub(since.0) >= disable_after_ms {
                disable(endpoint, DisabledFor::Failing, now);
            }
        }
    }
}

fn disable(endpoint: &mut WebhookEndpoint, reason: DisabledFor, now: Timestamp) {
    // The first time counts: what was under way then must not outlast an operator's decision.
    if endpoint.disabled_at.is_none() {
        (endpoint.disabled_at, endpoint.disabled_for) = (Some(now), Some(reason));
    }
}

/// The endpoint once it was enabled again.
pub(super) fn afresh(endpoint: &WebhookEndpoint) -> WebhookEndpoint {
    WebhookEndpoint { pending: endpoint.pending, ..WebhookEndpoint::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER_MS: i64 = 1_000;

    #[track_caller]
    fn check(results: &[(WebhookResult, i64)], expected: Option<(DisabledFor, i64)>) {
        let mut endpoint = WebhookEndpoint::default();
        for (result, at) in results {
            judge(&mut endpoint, *result, Timestamp(*at), AFTER_MS);
        }
        let found = endpoint.disabled_for.zip(endpoint.disabled_at.map(|at| at.0));
        assert_eq!(found, expected, "{results:?}");
    }

    #[test]
    fn an_endpoint_is_disabled_by_410_or_by_failing_long_and_often() {
        use WebhookResult::{Delivered, Failed, Gone};
        let failed = |count: i64, last: i64| -> Vec<(WebhookResult, i64)> {
            (1..count).map(|_| (Failed, 0)).chain([(Failed, last)]).collect()
        };
        check(&[(Gone, 5)], Some((DisabledFor::Gone, 5)));
        check(&[(Delivered, 1), (Gone, 5), (Delivered, 6)], Some((DisabledFor::Gone, 5)));
        check(&failed(10, AFTER_MS), Some((DisabledFor::Failing, AFTER_MS)));
        check(&failed(10, AFTER_MS - 1), None);
        check(&failed(9, 10 * AFTER_MS), None);
        check(&[failed(9, 0), vec![(Delivered, 1)], failed(9, AFTER_MS)].concat(), None);
        check(
            &[failed(10, AFTER_MS), vec![(Failed, 2 * AFTER_MS), (Gone, 9_999)]].concat(),
            Some((DisabledFor::Failing, AFTER_MS)),
        );
    }

    #[test]
    fn what_is_under_way_is_still_counted_when_an_endpoint_is_enabled_again() {
        let disabled = WebhookEndpoint {
            failing_since: Some(Timestamp(1)),
            failures: 12,
            disabled_at: Some(Timestamp(2)),
            disabled_for: Some(DisabledFor::Failing),
            pending: 3,
        };
        assert_eq!(afresh(&disabled), WebhookEndpoint { pending: 3, ..WebhookEndpoint::default() });
    }
}
