//! Servers that do not let everybody in, and clients that do not speak to every server.

#[path = "../common/keyspaces.rs"]
mod keyspaces;
mod login;
#[cfg(feature = "tls")]
mod tls;

use std::time::Duration;

use store::cql::{Cql, CqlClaims, Health, Options, migrate};
use store::{Claim, Claims};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

use keyspaces::{PATIENCE, options};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Tables are made and a claim is made in them, as soon as the server is ready for it; the handle that did it.
async fn is_let_in(options: &Options) -> Cql {
    let began = Instant::now();
    while let Err(error) = migrate(options).await {
        assert!(began.elapsed() < PATIENCE, "{error}");
        sleep(Duration::from_millis(500)).await;
    }
    let cql = Cql::open(options.clone()).expect("the options make sense");
    timeout(PATIENCE, cql.wait_up()).await.unwrap_or_else(|_| panic!("after {PATIENCE:?}: {}", cql.health()));
    let claimed = CqlClaims::new(&cql).claim_status([7; 16], "ordevt_1").await;
    assert_eq!(claimed.expect("an answer"), Claim::Claimed);
    cql
}

/// Neither can tables be made nor is anything asked, and both times one of these reasons is told. Both, as they are told.
async fn is_kept_out(options: &Options, expected: &[&str]) -> String {
    let refused = migrate(options).await.expect_err("it is kept out").to_string();
    let cql = Cql::open(options.clone()).expect("the options make sense");
    let began = Instant::now();
    let unready = loop {
        match cql.health() {
            Health::Connecting { reason: Some(reason) } => break reason,
            Health::Connecting { reason: None } => assert!(began.elapsed() < PATIENCE, "no reason is told"),
            health @ (Health::Up | Health::Away { .. } | Health::SchemaMissing { .. }) => panic!("{health}"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    for reason in [&refused, &unready] {
        assert!(expected.iter().any(|expected| reason.contains(expected)), "none of {expected:?}: {reason}");
    }
    format!("{refused}\n{unready}")
}
