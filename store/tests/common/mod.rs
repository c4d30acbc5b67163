//! A log, a state folder and records for the tests.
#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod cluster;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use schemas::ids::{ConversionId, OrderKey};
use schemas::records::{
    Cause, CauseType, ConversionReported, ConversionState, ConversionTransitioned, IdempotencyUse, OrderStatus,
    OrderStatusReported, ReportedStatus, TimelineEntry,
};
use schemas::topics::{CLICKS, CONVERSIONS, TRANSITIONS, TopicSpec};
use schemas::{AvroRecord, Currency, Timestamp};
use store::embedded::{EmbeddedStore, Feeder, Loss, OpenError, ROWS_VERSION};
use store::{ConversionClaim, Fingerprint};
use streams::embedded::{EmbeddedLog, Options};
use streams::log::Limits;
use streams::store::StateFolder;
use streams::{Clock, Message, Publisher, StateStore, Topic};
use tempfile::TempDir;

/// When the tests take place.
pub(crate) const NOW: Timestamp = Timestamp(1_781_429_400_000);
/// First byte of the keys of positions; that of the log's identity comes after it.
pub(crate) const POSITIONS: u8 = 8;
/// What a key's age is bounded by.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct Still(pub(crate) AtomicI64);

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A folder that outlives the processes of a test.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<Still>,
}

/// One process: everything is given up when it is dropped, as a killed process does.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) log: EmbeddedLog,
    pub(crate) state: StateFolder,
    pub(crate) store: EmbeddedStore,
    pub(crate) feeder: Feeder,
}

impl World {
    pub(crate) fn new() -> World {
        World { folder: tempfile::tempdir().expect("a folder"), clock: Arc::new(Still(AtomicI64::new(NOW.0))) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> EmbeddedLog {
        let options = Options { segment_bytes_max: 2_000, ..Options::default() };
        EmbeddedLog::open(self.path("log"), options).expect("the log opens")
    }

    pub(crate) fn try_start(&self, loss: Loss) -> Result<Process, OpenError> {
        let log = self.log();
        let state = StateFolder::open(&self.path("state"), 1 << 20).expect("the folder opens");
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (store, feeder) = EmbeddedStore::open(&state, self.folder.path(), log.clone(), clock, loss)?;
        Ok(Process { log, state, store, feeder })
    }

    pub(crate) fn start(&self) -> Process {
        self.try_start(Loss::Refuse).expect("the store opens")
    }

    pub(crate) fn wipe_state(&self) {
        std::fs::remove_dir_all(self.path("state")).expect("the state goes");
    }
}

impl Process {
    /// Feeds all that is durable now.
    pub(crate) fn catch_up(&mut self) {
        while self.store.applied_position() < self.log.durable() {
            self.feeder.step(&Limits::default(), Duration::from_secs(1)).expect("fed");
        }
    }

    pub(crate) fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        dump(&self.state)
    }
}

/// All rows but those that say where the store is.
pub(crate) fn dump(state: &StateFolder) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = state.store("read-0", ROWS_VERSION).expect("there");
    let mut found = Vec::new();
    rows.scan(&[1], &[POSITIONS], &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    })
    .expect("scanned");
    found
}

/// Runs a future to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub(crate) fn topic(spec: TopicSpec) -> Topic {
    Topic { id: spec.number, name: spec.name }
}

pub(crate) fn message<R: AvroRecord>(spec: TopicSpec, record: &R) -> Message {
    Message { topic: topic(spec), key: b"key".to_vec(), value: schemas::encode(record) }
}

/// Publishes messages in one frame and returns its offset once they are durable.
pub(crate) fn publish(log: &EmbeddedLog, messages: Vec<Message>) -> u64 {
    wait(log.publish(messages).expect("queued")).expect("durable").offset
}

/// Any record of a topic that the store does not read.
pub(crate) fn noise() -> Message {
    Message { topic: topic(CLICKS), key: b"key".to_vec(), value: vec![0; 100] }
}

pub(crate) fn id(order: &str) -> ConversionId {
    OrderKey { merchant_id: "mer_one", livemode: true, external_order_id: order }.conversion_id()
}

pub(crate) fn report(order: &str, event: &str) -> ConversionReported {
    ConversionReported {
        event_id: event.to_owned(),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id: order.to_owned(),
        click_id: Some("clk_1".to_owned()),
        external_product_id: None,
        amount_minor: 299_900,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Confirmed,
        ordered_at: None,
        received_at: NOW,
        coupon_code: None,
        metadata: Some("{\"channel\":\"instagram\"}".to_owned()),
        idempotency: None,
    }
}

pub(crate) fn keyed(order: &str, event: &str, key: &str, body: u8, at: Timestamp) -> ConversionReported {
    let body_digest = format!("{body:02x}").repeat(16);
    let idempotency = Some(IdempotencyUse { key: key.to_owned(), body_digest });
    ConversionReported { idempotency, received_at: at, ..report(order, event) }
}

pub(crate) fn update(order: &str, status: ReportedStatus, at: Option<i64>) -> OrderStatusReported {
    OrderStatusReported {
        event_id: "osevt_1".to_owned(),
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        external_order_id: order.to_owned(),
        status,
        click_id: None,
        status_updated_at: at.map(Timestamp),
        refunded_thousandths: None,
        received_at: NOW,
        reason: None,
        metadata: None,
        idempotency: None,
    }
}

pub(crate) fn entry(seq: i32, state: ConversionState) -> TimelineEntry {
    let cause = Cause {
        kind: CauseType::Click,
        event_id: None,
        order_status: None,
        refunded_thousandths: None,
        applied: true,
        fields: Vec::new(),
        review: None,
    };
    TimelineEntry { seq, state, at: Timestamp(NOW.0 + i64::from(seq)), cause }
}

/// Revision `revision` of an order, which made two timeline entries.
pub(crate) fn transition(order: &str, revision: i64) -> ConversionTransitioned {
    let report = report(order, "cnvevt_1");
    let seq = i32::try_from(revision).expect("small") * 2;
    ConversionTransitioned {
        conversion_id: id(order),
        revision,
        seq,
        event_id: report.event_id,
        merchant_id: report.merchant_id,
        livemode: report.livemode,
        external_order_id: report.external_order_id,
        state: ConversionState::Hold,
        confidence: None,
        confidence_reason: None,
        click_id: report.click_id,
        affiliate_id: Some("aff_1".to_owned()),
        campaign_id: None,
        suggested_affiliate_id: None,
        external_product_id: None,
        amount_minor: revision,
        currency: report.currency,
        order_status: report.order_status,
        ordered_at: NOW,
        received_at: NOW,
        coupon_code: None,
        metadata: None,
        commission: None,
        hold_until: None,
        refunded_thousandths: None,
        conflicts: 0,
        timeline: vec![entry(seq - 1, ConversionState::Attributed), entry(seq, ConversionState::Hold)],
        explanation: None,
        at: NOW,
    }
}

pub(crate) fn claim(report: &ConversionReported, offset: u64) -> ConversionClaim {
    ConversionClaim { event_id: report.event_id.clone(), fingerprint: Fingerprint::of(report), partition: 0, offset }
}

/// What an ordinary day brings: reports with and without keys, a re-send, updates, transitions, other topics' records.
pub(crate) fn day(log: &EmbeddedLog) {
    for number in 0..12 {
        let order = format!("A-{}", number % 10);
        let event = format!("cnvevt_{number}");
        let at = Timestamp(NOW.0 - i64::from(number));
        publish(log, vec![message(CONVERSIONS, &keyed(&order, &event, &format!("key-{}", number % 5), 1, at))]);
        publish(log, vec![noise()]);
        let status = update(&order, ReportedStatus::Delivered, Some(i64::from(number) % 2));
        publish(log, vec![message(CONVERSIONS, &status), message(CONVERSIONS, &status)]);
        let revisions = [1, 2].map(|revision| message(TRANSITIONS, &transition(&order, revision)));
        publish(log, revisions.to_vec());
    }
}

/// Copies a folder of files and folders.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for found in std::fs::read_dir(from).expect("read") {
        let found = found.expect("read");
        let target = to.join(found.file_name());
        if found.file_type().expect("known").is_dir() {
            copy(&found.path(), &target);
        } else {
            std::fs::copy(found.path(), target).expect("copied");
        }
    }
}
