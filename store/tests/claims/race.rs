//! Two edges that claim the same on one server.

use std::collections::BTreeMap;

use store::cql::CqlClaims;
use store::{Claim, Claims};
use tokio::task::JoinSet;

use crate::common::{claim, id, report};
use crate::cql::{answered, options, runtime, session, two_edges};

/// Orders that both edges claim at once, as many as an edge may have under way.
const ORDERS: u64 = 2_000;
const AT_ONCE: usize = 128;

/// Claims an order for an event of its own; the event if it was first.
async fn claims(edge: CqlClaims, order: String, event: String) -> Option<String> {
    let claim = claim(&report(&order, &event), 1);
    match answered(|| edge.claim_conversion(id(&order), &claim)).await {
        Claim::Claimed => Some(event),
        Claim::Taken(other) => {
            assert_ne!(other.event_id, event);
            None
        }
    }
}

#[test]
fn of_64_at_two_edges_one_is_first() {
    runtime().block_on(async {
        let edges = two_edges(&options(testkit::Cql::shared())).await;
        for order in 0..10 {
            let mut callers = JoinSet::new();
            for number in 0..64 {
                let edge = edges[number % 2].clone();
                callers.spawn(claims(edge, format!("A-{order}"), format!("cnvevt_{number}")));
            }
            let first = callers.join_all().await.into_iter().flatten().count();
            assert_eq!(first, 1, "order {order}");
        }
        let stats = edges.map(|edge| edge.stats());
        assert_eq!(stats.iter().map(|stats| stats.made).sum::<u64>(), 10);
        assert_eq!(stats.iter().map(|stats| stats.taken).sum::<u64>(), 10 * 63);
    });
}

#[test]
fn orders_sent_to_both_edges_at_once_are_first_at_one() {
    runtime().block_on(async {
        let options = options(testkit::Cql::shared());
        let edges = two_edges(&options).await;
        let (mut callers, mut first) = (JoinSet::new(), BTreeMap::new());
        for number in 0..ORDERS {
            for (edge, name) in edges.iter().zip(["one", "two"]) {
                let (edge, order) = (edge.clone(), format!("A-{number}"));
                callers.spawn(async move { (number, claims(edge, order, format!("cnvevt_{number}_{name}")).await) });
            }
            while callers.len() > AT_ONCE {
                note(&mut first, callers.join_next().await);
            }
        }
        while let Some(done) = callers.join_next().await {
            note(&mut first, Some(done));
        }
        assert_eq!(first.len() as u64, ORDERS, "of each order one is first");
        // Whoever was told so is who the row names.
        let session = session(&options).await;
        let select = format!(
            "SELECT claimed_by, event_id FROM {}.conversion_claims WHERE conversion_id = ?",
            options.claims_keyspace
        );
        let select = session.prepare(select).await.expect("prepared");
        for (number, event) in &first {
            let id = id(&format!("A-{number}"));
            let rows = session.execute_unpaged(&select, (&id.0[..],)).await.expect("read").into_rows_result();
            let (claimed_by, event_id) = rows.expect("rows").single_row::<(String, String)>().expect("one row");
            assert_eq!((&claimed_by, &event_id), (event, event));
        }
    });
}

type Done = Option<Result<(u64, Option<String>), tokio::task::JoinError>>;

fn note(first: &mut BTreeMap<u64, String>, done: Done) {
    if let (number, Some(event)) = done.expect("somebody").expect("no panic") {
        assert_eq!(first.insert(number, event), None, "two were first with order {number}");
    }
}
