//! A batch of reports: taken apart, submitted each as if it had come alone, and answered in order.
//!
//! Reports of one order follow each other in the order of the batch; those of different orders go on at once, and their
//! messages are in the log's queue together, so that a batch waits for one sync, or one round of requests, and not for
//! one an item. Each is published by itself nevertheless: a group is acknowledged or fails as a whole, and one item
//! must not hide the fate of another.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::ids::ConversionId;
use serde_json::value::RawValue;
use store::{Claims, IdempotencyScope, ReadModel};
use streams::{Message, Publisher};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::edge::Edge;
use crate::error::Error;
use crate::fields::Reader;
use crate::idempotency::IdempotencyKey;
use crate::json::items;
use crate::places::Place;
use crate::submit::{Asker, Outcome, Sender, Submission};

/// The fields of the request.
pub(crate) const FIELDS: &[&str] = &["conversions"];
/// Most items of a batch.
pub(crate) const ITEMS_MAX: usize = 1_000;
/// How many questions of one batch the claims are asked at once.
const QUESTIONS_MAX: usize = 64;

/// Takes a batch apart.
///
/// # Errors
/// Every fault of the whole; those of the items are not looked for.
pub(crate) fn read(mut reader: Reader<'_>) -> Result<Vec<&RawValue>, Vec<String>> {
    const NAME: &str = "conversions";
    let mut found = Vec::new();
    match reader.raw(NAME) {
        None => reader.fault(format!("{NAME} is required: an array of at most {ITEMS_MAX} conversions")),
        Some(value) => match items(value, ITEMS_MAX) {
            None => reader.refuse(NAME, format_args!("must be an array of at most {ITEMS_MAX} conversions"), value),
            Some((_, count)) if count > ITEMS_MAX => {
                reader.fault(format!("{NAME} must have at most {ITEMS_MAX} items, not {count}: send several batches"));
            }
            Some((items, _)) => found = items,
        },
    }
    reader.finish().map(|()| found)
}

/// One report of a batch.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its place in the batch.
    pub(crate) index: usize,
    pub(crate) submission: Submission,
    pub(crate) message: Message,
    /// Its place among the requests in flight; none if the merchant has fewer places than the batch has items.
    pub(crate) place: Option<Place>,
}

/// The reports of a batch that have no fault, with what is theirs together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    pub(crate) idempotency: Option<(IdempotencyScope, IdempotencyKey)>,
    pub(crate) request_id: Arc<str>,
}

/// How the items with these places ended.
pub(crate) type Ended = Vec<(usize, ConversionId, Result<Outcome, Error>)>;

impl Batch {
    /// Submits every report, and waits until each has its answer. To be run to its end, whether or not anyone still
    /// waits.
    ///
    /// # Errors
    /// The idempotency key is another body's: then nothing is submitted.
    pub(crate) async fn run<P: Publisher, C: Claims, R: ReadModel>(self, edge: Edge<P, C, R>) -> Result<Ended, Error> {
        let asker = Asker { request_id: &self.request_id, questions: None };
        let now = edge.0.now();
        let mut _key_in_flight = None;
        if let Some((scope, key)) = &self.idempotency {
            _key_in_flight = Some(edge.0.enter_key(scope, key)?);
            edge.0.is_key_used(asker, now, scope, key).await?;
        }
        let mut running = JoinSet::new();
        for chain in chains(self.items) {
            running.spawn(submit_all(edge.clone(), chain));
        }
        let mut ended = Vec::new();
        while let Some(chain) = running.join_next().await {
            ended.extend(chain.map_err(|error| Error::Internal(format!("a batch: {error}")))?);
        }
        // As with a single report, only what was accepted uses its key up.
        if let Some((scope, key)) = &self.idempotency
            && ended.iter().any(|(_, _, result)| result.is_ok())
        {
            edge.0.remember_key(asker, now, scope, key).await;
        }
        Ok(ended)
    }
}

/// The reports of each order together, in the order of the batch.
fn chains(items: Vec<Item>) -> Vec<Vec<Item>> {
    let questions = Arc::new(Semaphore::new(QUESTIONS_MAX));
    let mut of_order: HashMap<ConversionId, usize> = HashMap::with_capacity(items.len());
    let mut chains: Vec<Vec<Item>> = Vec::with_capacity(items.len());
    for mut item in items {
        item.submission.questions = Some(Arc::clone(&questions));
        let chain = *of_order.entry(item.submission.conversion_id).or_insert(chains.len());
        match chains.get_mut(chain) {
            Some(chain) => chain.push(item),
            None => chains.push(vec![item]),
        }
    }
    chains
}

/// Submits one after another, the next when the one before has its answer.
async fn submit_all<P: Publisher, C: Claims, R: ReadModel>(edge: Edge<P, C, R>, chain: Vec<Item>) -> Ended {
    let mut ended = Vec::with_capacity(chain.len());
    for Item { index, submission, message, place } in chain {
        let conversion_id = submission.conversion_id;
        let (sender, told) = Sender::new();
        let edge = edge.clone();
        tokio::spawn(async move { edge.0.submit(submission, message, sender, place).await });
        let result = told.await.unwrap_or_else(|_| Err(Error::Internal("a submission panicked".to_owned())));
        ended.push((index, conversion_id, result));
    }
    ended
}
