//! A whole pipeline in memory: the processors, each under the driver, over one list of records.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use processors::{Clicks, Ledger, Orders, Webhooks};
use schemas::ids::OrderKey;
use schemas::records::{
    Account, BalanceChanged, ClickRecorded, CommissionChanged, ConversionReported, ConversionTransitioned, DeadLetter,
    LedgerEntry, OrderStatus, OrderStatusReported, ReportedStatus,
};
use schemas::registry::Registry;
use schemas::topics::{self, TopicSpec};
use schemas::{AvroRecord, Currency, Timestamp, decode, encode};
use streams::log::{ApplyChanges, Limits, Restored};
use streams::store::MemoryStore;
use streams::{
    Change, Clock, Commit, Driver, LogError, Message, Polled, Processor, Record, Session, StateStore, Step, StoreError,
    Stores,
};

/// 2026-06-14T09:30:00Z.
pub(crate) const T0: i64 = 1_781_429_400_000;
pub(crate) const SECOND: i64 = 1_000;
pub(crate) const DAY: i64 = 86_400_000;

/// Whom the registries have in common.
macro_rules! entries {
    () => {
        r#"[[merchants]]
id = "m1"
name = "One"

[[merchants]]
id = "m2"
name = "Two"

[[affiliates]]
id = "a1"
name = "A"

[[affiliates]]
id = "a2"
name = "B"

[[campaigns]]
id = "c1"
merchant = "m1"

[[campaigns]]
id = "c2"
merchant = "m2"

[[links]]
id = "l1"
campaign = "c1"
affiliate = "a1"
destination = "https://shop.example/"

[[coupons]]
id = "k-before"
code = "TEN"
campaign = "c1"
affiliate = "a1"
effective_until = "2026-06-13T00:00:00Z"

[[coupons]]
id = "k-now"
code = "TEN"
campaign = "c1"
affiliate = "a2"
effective_from = "2026-06-13T00:00:00Z"
effective_until = "2026-06-15T00:00:00Z"

[[coupons]]
id = "k-other"
code = "TWO"
campaign = "c2"
affiliate = "a1"

"#
    };
}

pub(crate) const REGISTRY: &str = concat!(
    r#"
[policies]
click_wait = "60s"
min_click_to_order = "5s"

"#,
    entries!(),
    r#"[[rules]]
id = "r-product"
level = "product"
merchant = "m1"
product = "RED"
percent = "12"

[[rules]]
id = "r-campaign"
level = "campaign"
campaign = "c1"
percent = "10"

[[rules]]
id = "r-platform"
level = "platform"
percent = "5"
"#
);

/// [`REGISTRY`] with other windows and other rates.
pub(crate) const CHANGED: &str = concat!(
    r#"
[policies]
click_wait = "600s"
settlement_window = "10d"
return_window = "5d"

"#,
    entries!(),
    r#"[[rules]]
id = "r-product"
level = "product"
merchant = "m1"
product = "RED"
percent = "20"

[[rules]]
id = "r-campaign"
level = "campaign"
campaign = "c1"
percent = "1"

[[rules]]
id = "r-platform"
level = "platform"
percent = "0"
"#
);

type Records = Arc<Mutex<Vec<Message>>>;

struct MemorySession {
    records: Records,
    topics: Vec<u16>,
    assigned: bool,
    committed: usize,
    polled: usize,
    position: u64,
}

impl Session for MemorySession {
    fn poll(&mut self, limits: &Limits, _: Duration) -> Result<Polled, LogError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Polled::Assigned(vec![0]));
        }
        let records = self.records.lock().expect("no test panics with the lock");
        let mut found = Vec::new();
        while self.polled < records.len() && found.len() < limits.records_max {
            let message = &records[self.polled];
            if self.topics.contains(&message.topic.id) {
                found.push(Record {
                    topic: message.topic.id,
                    partition: 0,
                    offset: self.polled as u64,
                    key: Bytes::from(message.key.clone()),
                    value: Bytes::from(message.value.clone()),
                });
            }
            self.polled += 1;
        }
        Ok(if found.is_empty() { Polled::Nothing } else { Polled::Records(found) })
    }

    fn commit(&mut self, step: &Step) -> Commit {
        self.records.lock().expect("no test panics with the lock").extend(step.outputs.iter().cloned());
        self.committed = self.polled;
        self.position += 1;
        Commit::Committed(step.changes.iter().map(|(partition, _)| (*partition, self.position)).collect())
    }

    fn reset(&mut self) -> Result<(), LogError> {
        self.polled = self.committed;
        Ok(())
    }

    fn restore(&mut self, _: u32, _: Option<u64>, _: ApplyChanges<'_>) -> Result<Restored, LogError> {
        Ok(Restored::Complete(self.position))
    }
}

/// A store that the test can look into while the driver has it.
#[derive(Clone, Default)]
struct SharedStore(Arc<Mutex<MemoryStore>>);

impl StateStore for SharedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.lock().expect("no test panics with the lock").get(key)
    }
    fn scan(&self, from: &[u8], until: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        self.0.lock().expect("no test panics with the lock").scan(from, until, visit)
    }
    fn apply(&mut self, changes: &[Change], position: u64) -> Result<(), StoreError> {
        self.0.lock().expect("no test panics with the lock").apply(changes, position)
    }
    fn position(&self) -> Option<u64> {
        self.0.lock().expect("no test panics with the lock").position()
    }
    fn wipe(&mut self) -> Result<(), StoreError> {
        self.0.lock().expect("no test panics with the lock").wipe()
    }
}

impl Stores for SharedStore {
    fn open(&mut self, _: u32) -> Result<Box<dyn StateStore>, StoreError> {
        Ok(Box::new(self.clone()))
    }
    fn load_snapshot(&mut self, _: u32, _: &mut dyn StateStore) -> Result<(), StoreError> {
        Ok(())
    }
}

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct World {
    records: Records,
    clock: Arc<TestClock>,
    orders: Driver<Orders, MemorySession>,
    clicks: Driver<Clicks, MemorySession>,
    ledger: Driver<Ledger, MemorySession>,
    order_rows: SharedStore,
    webhooks: Driver<Webhooks, MemorySession>,
    checked: usize,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(REGISTRY, Limits::default())
    }

    pub(crate) fn with(registry: &str, limits: Limits) -> World {
        let (orders, clicks, ledger, webhooks) = processors_of(registry);
        let records = Records::default();
        let clock = Arc::new(TestClock(AtomicI64::new(T0)));
        let order_rows = SharedStore::default();
        World {
            orders: driver(orders, order_rows.clone(), &records, &clock, limits),
            clicks: driver(clicks, SharedStore::default(), &records, &clock, limits),
            ledger: driver(ledger, SharedStore::default(), &records, &clock, limits),
            webhooks: driver(webhooks, SharedStore::default(), &records, &clock, limits),
            order_rows,
            records,
            clock,
            checked: 0,
        }
    }

    /// From now on under another registry, with the state as it is.
    pub(crate) fn set_registry(&mut self, registry: &str) -> &mut World {
        let (orders, clicks, ledger, webhooks) = processors_of(registry);
        self.orders.set_processor(orders);
        self.clicks.set_processor(clicks);
        self.ledger.set_processor(ledger);
        self.webhooks.set_processor(webhooks);
        self
    }

    /// The rows of `webhooks` whose keys begin with `prefix`.
    pub(crate) fn webhook_rows(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let scanned = self.webhooks.scan(prefix, &mut |key, value| rows.push((key.to_vec(), value.to_vec())));
        scanned.expect("a store in memory does not fail");
        rows
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    /// Moves time and lets everything due at it happen.
    pub(crate) fn at(&mut self, now_ms: i64) -> &mut World {
        self.clock.0.store(now_ms, Ordering::SeqCst);
        self.settle();
        self
    }

    /// Writes a message without processing it.
    pub(crate) fn write(&mut self, message: Message) {
        self.records.lock().expect("no test panics with the lock").push(message);
    }

    pub(crate) fn send(&mut self, message: Message) -> &mut World {
        self.write(message);
        self.settle();
        self
    }

    /// Turns every driver until nothing more happens, checking the invariants after every turn.
    pub(crate) fn settle(&mut self) {
        loop {
            let before = self.work();
            self.orders.turn().expect("the log in memory does not fail");
            self.check_ledger();
            self.clicks.turn().expect("the log in memory does not fail");
            self.ledger.turn().expect("the log in memory does not fail");
            self.webhooks.turn().expect("the log in memory does not fail");
            if self.work() == before {
                return;
            }
        }
    }

    fn work(&self) -> (usize, [u64; 8]) {
        let done = |progress: Arc<streams::Progress>| {
            [progress.partitions_ready.load(Ordering::Relaxed), progress.steps.load(Ordering::Relaxed)]
        };
        let (orders, clicks) = (self.orders.progress(), self.clicks.progress());
        let all = [orders, clicks, self.ledger.progress(), self.webhooks.progress()].map(done).concat();
        (self.records.lock().expect("no test panics with the lock").len(), all.try_into().expect("four pairs"))
    }

    /// Each entry moves more than 0 between two accounts, so that every ledger sums to zero after every step.
    fn check_ledger(&mut self) {
        let records = self.records.lock().expect("no test panics with the lock");
        for message in &records[self.checked..] {
            if message.topic.id == topics::LEDGER_ENTRIES.number {
                let entry: LedgerEntry = decode(&message.value).expect("an entry");
                assert!(entry.amount_minor > 0 && entry.debit != entry.credit, "{entry:?}");
            }
        }
        self.checked = records.len();
    }

    pub(crate) fn all<R: AvroRecord>(&self, spec: &TopicSpec) -> Vec<R> {
        let records = self.records.lock().expect("no test panics with the lock");
        let values = records.iter().filter(|message| message.topic.id == spec.number).map(|message| &message.value);
        values.map(|value| decode(value).expect("a record of the topic")).collect()
    }

    pub(crate) fn transitions(&self) -> Vec<ConversionTransitioned> {
        self.all(&topics::TRANSITIONS)
    }

    pub(crate) fn conversion(&self) -> ConversionTransitioned {
        self.transitions().pop().expect("a transition")
    }

    pub(crate) fn commissions(&self) -> Vec<CommissionChanged> {
        self.all(&topics::COMMISSIONS)
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.all(&topics::DEAD_LETTERS)
    }

    /// The rows of `orders`, timers too.
    pub(crate) fn order_rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let each = &mut |key: &[u8], value: &[u8]| {
            rows.push((key.to_vec(), value.to_vec()));
            true
        };
        self.order_rows.scan(&[0], &[u8::MAX], each).expect("the store in memory does not fail");
        rows
    }

    /// The balance of an account after its last entry.
    pub(crate) fn last_balance(&self, account: Account) -> i128 {
        let changes: Vec<BalanceChanged> = self.all(&topics::BALANCES);
        changes.iter().rev().find(|it| it.account == account).map_or(0, |it| it.balance_minor.0)
    }

    /// The net of all entries: pending, payable, and the merchant's; and the last balances, which must be the same.
    pub(crate) fn balances(&self) -> [i64; 3] {
        let entries: Vec<LedgerEntry> = self.all(&topics::LEDGER_ENTRIES);
        [Account::AffiliatePending, Account::AffiliatePayable, Account::MerchantReceivable].map(|account| {
            let credits: i64 = entries.iter().filter(|it| it.credit == account).map(|it| it.amount_minor).sum();
            let debits: i64 = entries.iter().filter(|it| it.debit == account).map(|it| it.amount_minor).sum();
            let last = self.last_balance(account);
            assert_eq!(
                i128::from(credits - debits),
                last,
                "the ledger's balance of {account:?} is the sum of its entries"
            );
            credits - debits
        })
    }
}

fn processors_of(registry: &str) -> (Orders, Clicks, Ledger, Webhooks) {
    let registry = Arc::new(Registry::parse(registry).unwrap_or_else(|faults| panic!("{faults}")));
    let webhooks = Webhooks::new(Arc::clone(&registry), Webhooks::DISABLE_AFTER);
    (Orders::new(Arc::clone(&registry)), Clicks::new(&registry), Ledger::new(&registry), webhooks)
}

fn driver<P: Processor>(
    processor: P,
    store: SharedStore,
    records: &Records,
    clock: &Arc<TestClock>,
    limits: Limits,
) -> Driver<P, MemorySession> {
    let topics = processor.inputs().iter().map(|topic| topic.id).collect();
    let session =
        MemorySession { records: Arc::clone(records), topics, assigned: false, committed: 0, polled: 0, position: 0 };
    Driver::new(processor, session, Box::new(store), Arc::clone(clock) as Arc<dyn Clock>, limits)
}

pub(crate) fn key(external_order_id: &str) -> Vec<u8> {
    key_in(true, external_order_id)
}

fn key_in(livemode: bool, external_order_id: &str) -> Vec<u8> {
    OrderKey { merchant_id: "m1", livemode, external_order_id }.to_bytes()
}

pub(crate) fn message<R: AvroRecord>(spec: &TopicSpec, key: Vec<u8>, record: &R) -> Message {
    Message { topic: processors::topic(spec), key, value: encode(record) }
}

/// A confirmed order of 2999.00 of the product RED, with a click, received at T0.
pub(crate) fn report() -> ConversionReported {
    ConversionReported {
        event_id: "cnvevt_1".to_owned(),
        merchant_id: "m1".to_owned(),
        livemode: true,
        external_order_id: "O-1".to_owned(),
        click_id: Some("clk_1".to_owned()),
        external_product_id: Some("RED".to_owned()),
        amount_minor: 299_900,
        currency: Currency::parse("NPR").expect("a currency"),
        order_status: OrderStatus::Confirmed,
        ordered_at: Some(Timestamp(T0 - 3_600 * SECOND)),
        received_at: Timestamp(T0),
        coupon_code: None,
        metadata: None,
        idempotency: None,
    }
}

pub(crate) fn click() -> ClickRecorded {
    ClickRecorded {
        click_id: "clk_1".to_owned(),
        merchant_id: "m1".to_owned(),
        campaign_id: "c1".to_owned(),
        affiliate_id: "a1".to_owned(),
        link_id: None,
        clicked_at: Timestamp(T0 - DAY),
    }
}

pub(crate) fn status(status: ReportedStatus, at: Option<i64>, received_at: i64) -> OrderStatusReported {
    OrderStatusReported {
        event_id: format!("osevt_{status:?}_{at:?}_{received_at}"),
        merchant_id: "m1".to_owned(),
        livemode: true,
        external_order_id: "O-1".to_owned(),
        status,
        click_id: None,
        status_updated_at: at.map(Timestamp),
        refunded_thousandths: None,
        received_at: Timestamp(received_at),
        reason: None,
        metadata: None,
        idempotency: None,
    }
}

pub(crate) fn reported(report: &ConversionReported) -> Message {
    message(&topics::CONVERSIONS, key_in(report.livemode, &report.external_order_id), report)
}

pub(crate) fn clicked(click: &ClickRecorded) -> Message {
    message(&topics::CLICKS, click.click_id.clone().into_bytes(), click)
}

pub(crate) fn updated(update: &OrderStatusReported) -> Message {
    message(&topics::CONVERSIONS, key_in(update.livemode, &update.external_order_id), update)
}
