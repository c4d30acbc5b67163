//! The claims and the read model that all edges share. An edge does not wait for them: it accepts without them, and says
//! what it has to do without.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ingest::Readiness;
use prometheus_client::registry::Registry;
use store::cql::{Cql, CqlClaims, CqlReadModel, Options, Writer, adopt};
use streams::kafka::{Connection, RecordReader};
use tokio::runtime::Runtime;

use super::stores::Stores;
use crate::error::CliError;
use crate::shared_store;
use crate::threads::Threads;

/// How often readiness is brought up to date.
const EVERY: Duration = Duration::from_millis(100);

/// A handle of the shared store.
pub(super) struct Shared {
    cql: Cql,
    claims: CqlClaims,
    reports: Arc<RecordReader>,
}

impl Shared {
    /// Begins to look for it.
    pub(super) fn open(options: Options, connection: &Connection, runtime: &Runtime) -> Result<Shared, CliError> {
        let cql = shared_store::open(options, runtime)?;
        let reports = RecordReader::open(connection, "reports");
        let reports = reports.map_err(|error| CliError::Failed(format!("the reader of reports: {error}")))?;
        Ok(Shared { claims: CqlClaims::new(&cql), cql, reports: Arc::new(reports) })
    }

    /// Keeps readiness up to date, in a thread that fails if the store turns out to be another log's.
    pub(super) fn watch(
        &self,
        identity: String,
        readiness: &Readiness,
        threads: &mut Threads,
        runtime: &Runtime,
    ) -> Result<(), CliError> {
        let (cql, readiness) = (self.cql.clone(), readiness.clone());
        let (refused, told) = (Arc::new(Mutex::new(None)), self.cql.clone());
        let adopting = runtime.spawn({
            let refused = Arc::clone(&refused);
            async move {
                if let Err(error) = adopt(&told, &Writer::new(&told), &identity).await {
                    *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        });
        let tell = move |readiness: &Readiness| {
            let lacking = shared_store::away(&cql.health()).map(|why| format!("{why}: no claims, no reads"));
            readiness.degraded(lacking.into_iter().collect());
        };
        tell(&readiness);
        threads.start("shared-store", move |stop| {
            while !stop.load(Ordering::Acquire) {
                tell(&readiness);
                if let Some(error) = refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    return Err(error);
                }
                thread::sleep(EVERY);
            }
            adopting.abort();
            Ok(())
        })
    }
}

impl Stores for Shared {
    type Claims = CqlClaims;
    type ReadModel = CqlReadModel;

    fn both(&self) -> (CqlClaims, CqlReadModel) {
        let reports = Arc::clone(&self.reports);
        (self.claims.clone(), CqlReadModel::new(&self.cql, reports))
    }

    fn register(&self, metrics: &mut Registry) {
        shared_store::metrics::register_link(metrics, &self.cql);
        shared_store::metrics::register_claims(metrics, &self.claims);
    }

    fn place(&self) -> String {
        let options = self.cql.options();
        format!("data is shared, in {} and {}", options.claims_keyspace, options.keyspace)
    }

    fn close(self) -> Result<(), CliError> {
        Ok(())
    }
}
