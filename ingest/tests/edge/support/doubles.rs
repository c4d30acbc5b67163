use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use schemas::Timestamp;
use schemas::ids::ConversionId;
use schemas::records::{ConversionTransitioned, PayoutChanged};
use store::{
    Claim, ClaimError, Claims, ConversionClaim, ConversionView, IdempotencyScope, ListCursor, ListOf, ListPage,
    ListQuery, Part, PayoutPage, PayoutQuery, PayoutView, ReadError, ReadModel,
};
use streams::log::Pending;
use streams::{Ack, Clock, Message, PublishError, Publisher};
use tokio::sync::oneshot;

/// A clock that stands until it is set.
#[derive(Clone, Debug)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn new(ms: i64) -> TestClock {
        TestClock(Arc::new(AtomicI64::new(ms)))
    }

    pub(crate) fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the log does with what is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogMode {
    /// Acknowledges at once.
    #[default]
    Works,
    /// Takes it, and acknowledges when told to.
    Holds,
    Full,
    Closed,
    TooLarge,
    /// Takes it, and fails.
    Fails,
    Panics,
}

type Held = oneshot::Sender<Result<Ack, PublishError>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct TestLog(Arc<LogState>);

#[derive(Debug, Default)]
struct LogState {
    mode: Mutex<LogMode>,
    messages: Mutex<Vec<Message>>,
    held: Mutex<Vec<Held>>,
    offset: AtomicU64,
    /// What is published under keys that end so fails, whatever the mode.
    fails: Mutex<Option<&'static str>>,
}

impl TestLog {
    /// Where everything goes.
    pub(crate) const PARTITION: u32 = 5;

    pub(crate) fn set(&self, mode: LogMode) {
        *self.0.mode.lock().unwrap() = mode;
    }

    /// Has what is published under keys that end with `suffix` fail.
    pub(crate) fn fail(&self, suffix: &'static str) {
        *self.0.fails.lock().unwrap() = Some(suffix);
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.0.messages.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.messages.lock().unwrap().len()
    }

    /// Acknowledges what is held.
    pub(crate) fn release(&self) {
        for held in self.0.held.lock().unwrap().drain(..) {
            let _ = held.send(Ok(self.ack()));
        }
    }

    fn ack(&self) -> Ack {
        Ack { partition: TestLog::PARTITION, offset: self.0.offset.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Publisher for TestLog {
    fn publish(&self, messages: Vec<Message>) -> Result<Pending, PublishError> {
        let mut mode = *self.0.mode.lock().unwrap();
        if self.0.fails.lock().unwrap().is_some_and(|suffix| messages[0].key.ends_with(suffix.as_bytes())) {
            mode = LogMode::Fails;
        }
        let (sender, pending) = Pending::new();
        match mode {
            LogMode::Works => drop(sender.send(Ok(self.ack()))),
            LogMode::Holds => self.0.held.lock().unwrap().push(sender),
            LogMode::Fails => drop(sender.send(Err(PublishError::Failed("the disk is gone".to_owned())))),
            LogMode::Full => return Err(PublishError::Full),
            LogMode::Closed => return Err(PublishError::Closed),
            LogMode::TooLarge => return Err(PublishError::TooLarge { bytes: 2, bytes_max: 1 }),
            LogMode::Panics => panic!("the log panics, as this test wants"),
        }
        self.0.messages.lock().unwrap().extend(messages);
        Ok(pending)
    }
}

/// What a store does when it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StoreMode {
    #[default]
    Works,
    Fails,
    Stalls,
    Panics,
}

async fn gate<E>(mode: StoreMode, error: impl FnOnce(String) -> E) -> Result<(), E> {
    match mode {
        StoreMode::Works => Ok(()),
        StoreMode::Fails => Err(error("down, as this test wants".to_owned())),
        StoreMode::Stalls => pending().await,
        StoreMode::Panics => panic!("the store panics, as this test wants"),
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TestClaims(Arc<ClaimsState>);

/// The digest of a body, and when.
type KeyUse = ([u8; 16], Timestamp);

#[derive(Debug, Default)]
struct ClaimsState {
    mode: Mutex<StoreMode>,
    questions: AtomicU64,
    conversions: Mutex<HashMap<ConversionId, ConversionClaim>>,
    statuses: Mutex<HashMap<[u8; 16], ()>>,
    keys: Mutex<HashMap<(IdempotencyScope, String), KeyUse>>,
}

impl TestClaims {
    pub(crate) fn set(&self, mode: StoreMode) {
        *self.0.mode.lock().unwrap() = mode;
    }

    pub(crate) fn questions(&self) -> u64 {
        self.0.questions.load(Ordering::SeqCst)
    }

    pub(crate) fn conversions(&self) -> HashMap<ConversionId, ConversionClaim> {
        self.0.conversions.lock().unwrap().clone()
    }

    pub(crate) fn insert(&self, id: ConversionId, claim: ConversionClaim) {
        self.0.conversions.lock().unwrap().insert(id, claim);
    }

    async fn gate(&self) -> Result<(), ClaimError> {
        self.0.questions.fetch_add(1, Ordering::SeqCst);
        // A store is asked over a network: others get their turn meanwhile.
        tokio::task::yield_now().await;
        let mode = *self.0.mode.lock().unwrap();
        gate(mode, ClaimError).await
    }
}

impl Claims for TestClaims {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionClaim>, ClaimError> {
        self.gate().await?;
        Ok(self.0.conversions.lock().unwrap().get(&id).cloned())
    }

    async fn claim_conversion(
        &self,
        id: ConversionId,
        claim: &ConversionClaim,
    ) -> Result<Claim<ConversionClaim>, ClaimError> {
        self.gate().await?;
        let mut claims = self.0.conversions.lock().unwrap();
        if let Some(first) = claims.get(&id) {
            return Ok(Claim::Taken(first.clone()));
        }
        claims.insert(id, claim.clone());
        Ok(Claim::Claimed)
    }

    async fn status(&self, digest: [u8; 16]) -> Result<bool, ClaimError> {
        self.gate().await?;
        Ok(self.0.statuses.lock().unwrap().contains_key(&digest))
    }

    async fn claim_status(&self, digest: [u8; 16], _event_id: &str) -> Result<Claim<()>, ClaimError> {
        self.gate().await?;
        let before = self.0.statuses.lock().unwrap().insert(digest, ());
        Ok(before.map_or(Claim::Claimed, Claim::Taken))
    }

    async fn idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<[u8; 16]>, ClaimError> {
        self.gate().await?;
        let keys = self.0.keys.lock().unwrap();
        let used = keys.get(&(scope.clone(), key.to_owned()));
        Ok(used.filter(|(_, at)| now.since(*at).as_secs() < 86_400).map(|(digest, _)| *digest))
    }

    async fn remember_idempotency(
        &self,
        scope: &IdempotencyScope,
        key: &str,
        body_digest: [u8; 16],
        now: Timestamp,
    ) -> Result<(), ClaimError> {
        self.gate().await?;
        self.0.keys.lock().unwrap().insert((scope.clone(), key.to_owned()), (body_digest, now));
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TestReadModel(Arc<Mutex<(StoreMode, HashMap<ConversionId, ConversionView>)>>, TestPayouts);

/// By id.
type TestPayouts = Arc<Mutex<BTreeMap<String, PayoutView>>>;

impl TestReadModel {
    pub(crate) fn set(&self, mode: StoreMode) {
        self.0.lock().unwrap().0 = mode;
    }

    pub(crate) fn insert(&self, view: ConversionView) {
        self.0.lock().unwrap().1.insert(view.conversion.conversion_id, view);
    }

    /// Adds a change to a payout.
    pub(crate) fn insert_payout(&self, change: PayoutChanged) {
        let mut payouts = self.1.lock().unwrap();
        let before = payouts.get(&change.payout_id).map(|view| view.changes().to_vec()).unwrap_or_default();
        let (id, changes) = (change.payout_id.clone(), [before, vec![change]].concat());
        payouts.insert(id, PayoutView::of(changes).unwrap());
    }
}

impl ReadModel for TestReadModel {
    async fn conversion(&self, id: ConversionId) -> Result<Option<ConversionView>, ReadError> {
        let (mode, view) = {
            let state = self.0.lock().unwrap();
            (state.0, state.1.get(&id).cloned())
        };
        gate(mode, ReadError).await?;
        Ok(view)
    }

    /// Looks at all rows for every page, so a page is short at the end of the list only.
    async fn list(&self, query: &ListQuery) -> Result<ListPage, ReadError> {
        let (mode, mut rows): (_, Vec<ConversionTransitioned>) = {
            let state = self.0.lock().unwrap();
            (state.0, state.1.values().map(|view| view.conversion.clone()).collect())
        };
        gate(mode, ReadError).await?;
        rows.retain(|row| row.livemode == query.livemode);
        if let ListOf::Merchant(merchant_id) = &query.of {
            rows.retain(|row| row.merchant_id == *merchant_id);
        }
        rows.retain(|row| query.admits(row.state, row.confidence));
        rows.retain(|row| query.from.is_none_or(|from| row.received_at >= from));
        rows.retain(|row| query.until.is_none_or(|until| row.received_at < until));
        rows.retain(|row| query.after.is_none_or(|after| place(row) < after));
        rows.sort_by_key(|row| std::cmp::Reverse(place(row)));
        let next = (rows.len() > query.limit).then(|| place(&rows[query.limit - 1]));
        rows.truncate(query.limit);
        Ok(ListPage { rows, next })
    }

    async fn payout(&self, payout_id: &str) -> Result<Option<PayoutView>, ReadError> {
        let mode = self.0.lock().unwrap().0;
        gate(mode, ReadError).await?;
        Ok(self.1.lock().unwrap().get(payout_id).cloned())
    }

    async fn payouts(&self, query: &PayoutQuery) -> Result<PayoutPage, ReadError> {
        let mode = self.0.lock().unwrap().0;
        gate(mode, ReadError).await?;
        let mut rows: Vec<_> = self.1.lock().unwrap().values().map(|view| view.current().clone()).collect();
        let Part { from, until, after, limit } = query.part;
        rows.retain(|row| query.admits(row.state));
        rows.retain(|row| from.is_none_or(|from| row.cut_off >= from));
        rows.retain(|row| until.is_none_or(|until| row.cut_off < until));
        rows.retain(|row| after.is_none_or(|after| ListCursor::of_payout(row) < after));
        rows.sort_by_key(|row| std::cmp::Reverse(ListCursor::of_payout(row)));
        let next = (rows.len() > limit).then(|| ListCursor::of_payout(&rows[limit - 1]));
        rows.truncate(limit);
        Ok(PayoutPage { rows, next })
    }
}

fn place(row: &ConversionTransitioned) -> ListCursor {
    ListCursor::of(row)
}
