//! What every store of claims does, fed with the same log.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use schemas::AvroRecord;
use schemas::Timestamp;
use schemas::records::{OrderStatusReported, ReportedStatus};
use schemas::topics::CONVERSIONS;
use store::cql::{ClaimKeeper, Cql, CqlClaims, GRACE, migrate};
use store::{Claim, Claims, EmbeddedStore, IdempotencyScope, status_digest};
use streams::Record;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::common::{DAY_MS, NOW, Process, Still, World, claim, id, keyed, message, publish, report, update};
use crate::cql::{answered, open, options, runtime};

/// A store, and the log that it is fed with.
trait Fed {
    type Claims: Claims + Clone;

    fn claims(&self) -> Self::Claims;
    /// Those made and those taken, as its statistics have them.
    fn counts(&self) -> (u64, u64);
    /// Publishes a record of `conversions`, and returns its offset.
    fn publish<R: AvroRecord>(&mut self, record: &R) -> u64;
    /// Feeds the store with all that was published.
    fn feed(&mut self);
    fn runtime(&self) -> &Runtime;
}

struct Embedded {
    _world: World,
    process: Process,
    runtime: Runtime,
}

impl Embedded {
    fn new() -> Embedded {
        let world = World::new();
        Embedded { process: world.start(), _world: world, runtime: runtime() }
    }
}

impl Fed for Embedded {
    type Claims = EmbeddedStore;

    fn claims(&self) -> EmbeddedStore {
        self.process.store.clone()
    }

    fn counts(&self) -> (u64, u64) {
        let stats = self.process.store.stats();
        (stats.claims_made, stats.claims_taken)
    }

    fn publish<R: AvroRecord>(&mut self, record: &R) -> u64 {
        // The runtime of `publish` is its own.
        publish(&self.process.log, vec![message(CONVERSIONS, record)])
    }

    fn feed(&mut self) {
        self.process.catch_up();
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

struct InCql {
    cql: Cql,
    claims: CqlClaims,
    log: Vec<Record>,
    runtime: Runtime,
}

impl InCql {
    fn new() -> InCql {
        let (options, runtime) = (options(testkit::Cql::shared()), runtime());
        let cql = runtime.block_on(async {
            migrate(&options).await.expect("migrated");
            open(&options).await
        });
        InCql { claims: CqlClaims::new(&cql), cql, log: Vec::new(), runtime }
    }
}

impl Fed for InCql {
    type Claims = CqlClaims;

    fn claims(&self) -> CqlClaims {
        self.claims.clone()
    }

    fn counts(&self) -> (u64, u64) {
        let stats = self.claims.stats();
        (stats.made, stats.taken)
    }

    fn publish<R: AvroRecord>(&mut self, record: &R) -> u64 {
        let offset = self.log.len() as u64;
        let value = schemas::encode(record).into();
        self.log.push(Record { topic: CONVERSIONS.number, partition: 0, offset, key: Default::default(), value });
        offset
    }

    fn feed(&mut self) {
        let clock = Still(AtomicI64::new(NOW.0 + GRACE.as_millis() as i64));
        let keeper = ClaimKeeper::new(&self.cql, Arc::new(clock));
        self.runtime.block_on(keeper.keep(&self.log)).expect("kept");
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $name() { super::$name(super::Embedded::new()); })*
        }
        mod in_cql {
            $(#[test] fn $name() { super::$name(super::InCql::new()); })*
        }
    };
}

on_both_stores!(
    of_many_at_once_one_is_first,
    a_claim_that_the_log_made_is_its_callers,
    the_first_in_the_log_has_the_claim_in_the_end,
    a_key_is_remembered_for_a_day_to_the_millisecond,
    scopes_do_not_meet,
    the_latest_use_counts,
    keys_are_found_again_from_the_log_if_young,
);

fn delivered(order: &str) -> [u8; 16] {
    status_digest(id(order), &update(order, ReportedStatus::Delivered, None))
}

/// Runs what makes a claim for each number at once, and returns how many were first.
fn first<F: Future<Output = bool> + Send + 'static>(store: &impl Fed, claims: impl Fn(u64) -> F) -> usize {
    store.runtime().block_on(async {
        let mut callers = JoinSet::new();
        (0..64).for_each(|number| drop(callers.spawn(claims(number))));
        callers.join_all().await.into_iter().filter(|first| *first).count()
    })
}

fn of_many_at_once_one_is_first(store: impl Fed) {
    for order in ["A", "B", "C"] {
        let claims = store.claims();
        let made = first(&store, |number| {
            let (claims, order) = (claims.clone(), order.to_owned());
            async move {
                let claim = claim(&report(&order, &format!("cnvevt_{number}")), number);
                match answered(|| claims.claim_conversion(id(&order), &claim)).await {
                    Claim::Claimed => true,
                    Claim::Taken(other) => {
                        assert_ne!(other.event_id, claim.event_id);
                        false
                    }
                }
            }
        });
        assert_eq!(made, 1, "conversion {order}");
        let made = first(&store, |number| {
            let (claims, digest) = (claims.clone(), delivered(order));
            let event = format!("osevt_{number}");
            async move { answered(|| claims.claim_status(digest, &event)).await == Claim::Claimed }
        });
        assert_eq!(made, 1, "update of {order}");
    }
    assert_eq!(store.counts(), (6, 6 * 63));
}

fn a_claim_that_the_log_made_is_its_callers(mut store: impl Fed) {
    let (own, other) = (report("A", "cnvevt_1"), report("A", "cnvevt_2"));
    let offset = store.publish(&own);
    store.publish(&update("A", ReportedStatus::Delivered, None));
    store.feed();
    let (own, other) = (claim(&own, offset), claim(&other, offset + 9));
    let claims = store.claims();
    store.runtime().block_on(async {
        assert_eq!(Claims::conversion(&claims, id("A")).await.expect("ok"), Some(own.clone()));
        assert_eq!(Claims::conversion(&claims, id("B")).await.expect("ok"), None);
        assert_eq!(claims.claim_conversion(id("A"), &other).await.expect("ok"), Claim::Taken(own.clone()));
        assert_eq!(claims.claim_conversion(id("A"), &own).await.expect("ok"), Claim::Claimed);
        assert!(claims.status(delivered("A")).await.expect("ok"));
        assert!(!claims.status(delivered("B")).await.expect("ok"));
        assert_eq!(claims.claim_status(delivered("A"), "osevt_2").await.expect("ok"), Claim::Taken(()));
        assert_eq!(claims.claim_status(delivered("A"), "osevt_1").await.expect("ok"), Claim::Claimed);
    });
}

fn the_first_in_the_log_has_the_claim_in_the_end(mut store: impl Fed) {
    let reports = [report("A", "cnvevt_1"), report("A", "cnvevt_2")];
    let of = reports.map(|report| claim(&report, store.publish(&report)));
    store.publish(&OrderStatusReported { event_id: "osevt_9".to_owned(), ..update("A", ReportedStatus::Paid, None) });
    let claims = store.claims();
    let told = store.runtime().block_on(claims.claim_conversion(id("A"), &of[1])).expect("ok");
    assert_eq!(told, Claim::Claimed);
    for _ in 0..2 {
        store.feed();
        store.runtime().block_on(async {
            assert_eq!(Claims::conversion(&claims, id("A")).await.expect("ok"), Some(of[0].clone()));
            // Its caller comes late: the other was answered RECEIVED, so this one is a duplicate.
            assert_eq!(claims.claim_conversion(id("A"), &of[0]).await.expect("ok"), Claim::Taken(of[0].clone()));
        });
    }
}

fn scope(merchant_id: &str, livemode: bool) -> IdempotencyScope {
    IdempotencyScope { merchant_id: merchant_id.to_owned(), livemode }
}

fn at(ms: i64) -> Timestamp {
    Timestamp(NOW.0 + ms)
}

fn remember(store: &impl Fed, key: &str, body: u8, now: Timestamp) {
    let scope = scope("mer_one", true);
    let claims = store.claims();
    let remembered = claims.remember_idempotency(&scope, key, [body; 16], now);
    store.runtime().block_on(remembered).expect("remembered");
}

#[track_caller]
fn check(store: &impl Fed, key: &str, now: Timestamp, expected: Option<u8>) {
    let (scope, claims) = (scope("mer_one", true), store.claims());
    let found = store.runtime().block_on(claims.idempotency(&scope, key, now)).expect("read");
    assert_eq!(found, expected.map(|body| [body; 16]), "{key} at {now}");
}

fn a_key_is_remembered_for_a_day_to_the_millisecond(store: impl Fed) {
    remember(&store, "key", 1, at(0));
    check(&store, "key", at(0), Some(1));
    check(&store, "key", at(DAY_MS - 1), Some(1));
    check(&store, "key", at(DAY_MS), None);
    // A clock that was set back has not forgotten it.
    check(&store, "key", at(-1), Some(1));
    check(&store, "another", at(0), None);
}

fn scopes_do_not_meet(store: impl Fed) {
    remember(&store, "key", 1, at(0));
    let claims = store.claims();
    for other in [scope("mer_one", false), scope("mer_on", true), scope("mer_onek", true)] {
        let found = store.runtime().block_on(claims.idempotency(&other, "key", at(0))).expect("read");
        assert_eq!(found, None, "{other:?}");
    }
}

fn the_latest_use_counts(store: impl Fed) {
    remember(&store, "key", 1, at(0));
    remember(&store, "key", 2, at(DAY_MS));
    remember(&store, "key", 3, at(5));
    check(&store, "key", at(DAY_MS), Some(2));
}

fn keys_are_found_again_from_the_log_if_young(mut store: impl Fed) {
    let uses = [("old", 1, at(-DAY_MS)), ("young", 2, at(10 - DAY_MS)), ("young", 3, at(-10)), ("new", 4, at(0))];
    for (number, (key, body, when)) in uses.into_iter().enumerate() {
        store.publish(&keyed(&format!("A-{number}"), "cnvevt_1", key, body, when));
    }
    // The edge was faster with one of them.
    remember(&store, "young", 3, at(-10));
    store.feed();
    check(&store, "old", at(-1), None);
    check(&store, "young", at(0), Some(3));
    check(&store, "new", at(0), Some(4));
}
