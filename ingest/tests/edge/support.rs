//! A bench with an edge on it, and the calls to make.

mod calls;
mod described;
mod doubles;
mod lines;

pub(crate) use calls::{Call, ONE, ONE_TEST, Reply, Sender, TWO};
pub(crate) use described::DESCRIBED;
pub(crate) use doubles::{LogMode, StoreMode, TestClaims, TestClock, TestLog, TestReadModel};
pub(crate) use lines::Lines;

use std::sync::Arc;

use axum::Router;
use ingest::{Admins, Config, Edge, Metrics, Parts, Readiness, ServiceToken};
use schemas::registry::Registry;
use schemas::topics::CONVERSIONS;
use schemas::{AvroRecord, decode};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

/// 2026-06-14T09:30:00Z, which the bench's clock shows.
pub(crate) const NOW_S: i64 = 1_781_429_400;

pub(crate) const SERVICE_TOKEN: &str = "service_0123456789abcdef0123456789abcdef";

/// The tokens of Asha, who is an administrator, of Bina, a reviewer, and of Chandra, an auditor.
pub(crate) const ASHA: &str = "asha_0123456789abcdef0123456789abcdef";
pub(crate) const BINA: &str = "bina_0123456789abcdef0123456789abcdef";
pub(crate) const CHANDRA: &str = "chandra_0123456789abcdef0123456789abcdef";

/// The token of somebody whose time is over, and one that is too short for anybody.
pub(crate) const ENDED: &str = "ended_0123456789abcdef0123456789abcdef";
pub(crate) const SHORT: &str = "short_0123456789abcdef012345678";

/// The list that has them.
pub(crate) fn admins() -> String {
    let line = |(name, role, token, end): (&str, &str, &str, &str)| {
        let digest: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name} {role} {digest} {end}\n")
    };
    let lines = [
        ("asha", "administrator", ASHA, ""),
        ("bina", "reviewer", BINA, "2100-01-01T00:00:00Z"),
        ("chandra", "auditor", CHANDRA, ""),
        ("devi", "administrator", ENDED, "2026-01-01T00:00:00Z"),
        ("short", "administrator", SHORT, ""),
    ];
    lines.map(line).concat()
}

pub(crate) const REGISTRY: &str = r#"
[[merchants]]
id = "mer_one"
name = "One"
currency = "NPR"

[[merchants]]
id = "mer_two"
name = "Two"
currency = "JPY"

[[merchants]]
id = "mer_new"
name = "Not approved"
currency = "NPR"
approved = false

[[keys]]
id = "live_pk_one"
merchant = "mer_one"
secret = "sk_live_one_00000000000000000000"

[[keys]]
id = "live_pk_one_rotated"
merchant = "mer_one"
secret = "sk_live_one_11111111111111111111"

[[keys]]
id = "test_pk_one"
merchant = "mer_one"
secret = "sk_test_one_00000000000000000000"

[[keys]]
id = "live_pk_two"
merchant = "mer_two"
secret = "sk_live_two_00000000000000000000"

[[keys]]
id = "live_pk_disabled"
merchant = "mer_one"
secret = "sk_live_dis_00000000000000000000"
status = "disabled"

[[keys]]
id = "live_pk_revoked"
merchant = "mer_one"
secret = "sk_live_rev_00000000000000000000"
status = "revoked"

[[keys]]
id = "live_pk_expired"
merchant = "mer_one"
secret = "sk_live_exp_00000000000000000000"
expires_at = "2026-06-14T09:30:00Z"

[[keys]]
id = "live_pk_new"
merchant = "mer_new"
secret = "sk_live_new_00000000000000000000"

[[keys]]
id = "test_pk_new"
merchant = "mer_new"
secret = "sk_test_new_00000000000000000000"

[[affiliates]]
id = "aff_one"
name = "Affiliate"

[[campaigns]]
id = "cmp_one"
merchant = "mer_one"

[[links]]
id = "lnk_one"
campaign = "cmp_one"
affiliate = "aff_one"
destination = "https://shop.example/p?colour=red"
"#;

/// An edge and everything around it.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) edge: Edge<TestLog, TestClaims, TestReadModel>,
    pub(crate) router: Router,
    pub(crate) log: TestLog,
    pub(crate) claims: TestClaims,
    pub(crate) read_model: TestReadModel,
    pub(crate) clock: TestClock,
    pub(crate) readiness: Readiness,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Bench {
        let mut config = Config::default();
        change(&mut config);
        Bench::on(TestClaims::default(), config)
    }

    /// An edge that knows no service.
    pub(crate) fn without_service_token() -> Bench {
        Bench::made(TestClaims::default(), Config::default(), None, Some(Admins::parse(&admins()).unwrap()))
    }

    /// An edge that knows no administrator.
    pub(crate) fn without_admins() -> Bench {
        Bench::made(TestClaims::default(), Config::default(), None, None)
    }

    /// Another edge process beside one that made `claims`.
    pub(crate) fn on(claims: TestClaims, config: Config) -> Bench {
        let service_token = Some(ServiceToken::new(SERVICE_TOKEN).unwrap());
        Bench::made(claims, config, service_token, Some(Admins::parse(&admins()).unwrap()))
    }

    fn made(claims: TestClaims, config: Config, service_token: Option<ServiceToken>, admins: Option<Admins>) -> Bench {
        let registry = Arc::new(Registry::parse(REGISTRY).unwrap());
        let (log, read_model, clock) = (TestLog::default(), TestReadModel::default(), TestClock::new(NOW_S * 1_000));
        let readiness = Readiness::new();
        let mut metrics_registry = prometheus_client::registry::Registry::default();
        let edge = Edge::new(Parts {
            registry,
            publisher: log.clone(),
            claims: claims.clone(),
            read_model: read_model.clone(),
            clock: Arc::new(clock.clone()),
            readiness: readiness.clone(),
            metrics: Metrics::register(&mut metrics_registry),
            exposition: Arc::new(metrics_registry),
            service_token,
            admins,
            config,
        })
        .unwrap();
        Bench { router: edge.router(), edge, log, claims, read_model, clock, readiness }
    }

    pub(crate) fn set_registry(&self, text: &str) {
        self.edge.set_registry(Arc::new(Registry::parse(text).unwrap()));
    }

    /// Sends a request. It and its answer have to be as the description says.
    pub(crate) async fn send(&self, call: Call) -> Reply {
        let reply = Reply::of(self.router.clone().oneshot(call.clone().into_request()).await.unwrap()).await;
        described::check(&call, &reply);
        reply
    }

    /// The one record published, of type `R`.
    #[track_caller]
    pub(crate) fn published<R: AvroRecord>(&self) -> R {
        let messages = self.log.messages();
        assert_eq!(messages.len(), 1, "published");
        assert_eq!((messages[0].topic.id, messages[0].topic.name), (CONVERSIONS.number, CONVERSIONS.name));
        decode(&messages[0].value).unwrap()
    }

    pub(crate) async fn metric(&self, line: &str) -> bool {
        let text = self.send(Call::get("/metrics").unsigned()).await.text;
        text.lines().any(|found| found == line)
    }
}
