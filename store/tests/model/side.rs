//! A read model and the log that it is filled from, on either store.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemas::AvroRecord;
use schemas::records::ConversionReported;
use schemas::topics::{CONVERSIONS, PAYOUTS, TRANSITIONS, TopicSpec};
use store::cql::{CqlClaims, CqlReadModel, Writer};
use store::embedded::{Feed, Feeder, Positions, Source};
use store::{Claims, EmbeddedStore, ReadModel};
use streams::Message;
use streams::embedded::EmbeddedLog;
use streams::log::Limits;
use streams::store::StateFolder;

use super::common::{Process, World, claim, id, message, publish, topic, wait};
use super::server;

/// One of the two stores.
pub(crate) trait Side: Sized + Sync {
    type Model: ReadModel;
    type Claims: Claims;

    /// Empty.
    fn new() -> Self;
    fn log(&self) -> &EmbeddedLog;
    fn model(&self) -> &Self::Model;
    fn claims(&self) -> &Self::Claims;
    fn wait<T>(&self, future: impl Future<Output = T>) -> T;
    /// Brings all that was published into the read model.
    fn catch_up(&self);

    fn publish<R: AvroRecord>(&self, spec: TopicSpec, records: &[R]) -> u64 {
        publish(self.log(), records.iter().map(|record| message(spec, record)).collect::<Vec<Message>>())
    }

    /// Publishes a report and claims its order, as an edge does.
    fn report(&self, report: &ConversionReported) {
        let offset = self.publish(CONVERSIONS, std::slice::from_ref(report));
        let claim = claim(report, offset);
        self.wait(self.claims().claim_conversion(id(&report.external_order_id), &claim)).expect("claimed");
    }
}

#[derive(Debug)]
pub(crate) struct Embedded {
    log: EmbeddedLog,
    store: EmbeddedStore,
    feeder: Mutex<Feeder>,
    _state: StateFolder,
    _world: World,
}

impl Side for Embedded {
    type Model = EmbeddedStore;
    type Claims = EmbeddedStore;

    fn new() -> Embedded {
        let world = World::new();
        let Process { log, state, store, feeder } = world.start();
        Embedded { log, store, feeder: Mutex::new(feeder), _state: state, _world: world }
    }

    fn log(&self) -> &EmbeddedLog {
        &self.log
    }

    fn model(&self) -> &EmbeddedStore {
        &self.store
    }

    fn claims(&self) -> &EmbeddedStore {
        &self.store
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        wait(future)
    }

    fn catch_up(&self) {
        let mut feeder = self.feeder.lock().expect("whole");
        while self.store.applied_position() < self.log.durable() {
            feeder.step(&Limits::default(), Duration::from_secs(1)).expect("fed");
        }
    }
}

/// On a server.
#[derive(Debug)]
pub(crate) struct Server {
    log: EmbeddedLog,
    model: CqlReadModel,
    claims: CqlClaims,
    writer: Writer,
    source: Mutex<Box<dyn Source>>,
    _world: World,
}

impl Side for Server {
    type Model = CqlReadModel;
    type Claims = CqlClaims;

    fn new() -> Server {
        let world = World::new();
        let log = world.log();
        let cql = server::open(&server::keyspaces(testkit::Cql::shared()));
        let source = log.open(&[topic(TRANSITIONS), topic(PAYOUTS)], &Positions::new()).expect("the log can be read");
        Server {
            model: CqlReadModel::new(&cql, Arc::new(log.clone())),
            claims: CqlClaims::new(&cql),
            writer: Writer::new(&cql),
            source: Mutex::new(source),
            log,
            _world: world,
        }
    }

    fn log(&self) -> &EmbeddedLog {
        &self.log
    }

    fn model(&self) -> &CqlReadModel {
        &self.model
    }

    fn claims(&self) -> &CqlClaims {
        &self.claims
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        server::wait(future)
    }

    fn catch_up(&self) {
        let mut source = self.source.lock().expect("whole");
        while source.lag() > 0 {
            let records = source.next(&Limits::default(), Duration::from_secs(1)).expect("read");
            server::wait(self.writer.write(&records)).expect("written");
        }
    }
}
