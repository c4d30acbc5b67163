//! `clicks`: keeps clicks, and answers orders that name one, at once or when the click comes.

use std::sync::Arc;

use schemas::encode;
use schemas::ids::OrderKey;
use schemas::records::{ClickLookupRequested, ClickMatched, ClickRecorded};
use schemas::registry::Registry;
use schemas::topics::{CLICK_LOOKUPS, CLICK_VERDICTS, CLICKS};
use streams::{Context, DeadLetter, Failure, Input, Message, Processor, StoreError, Topic};

use crate::common::{self, damaged, message, refuse, schema_version, undecodable};

/// Most waiting orders that one step answers for a click; the others follow at once, in steps of their own.
pub const ANSWERS_PER_STEP_MAX: usize = 1_000;
/// Most bytes of a click id.
const CLICK_ID_BYTES_MAX: usize = 512;

/// Table of clicks, by click id.
const CLICK: u8 = b'c';
/// Table of waiting lookups, by click id and order; also the timers that forget them.
const LOOKUP: u8 = b'l';
/// Timers that go on answering, by click id.
const ANSWER: u8 = b'a';

/// The state machine of clicks.
#[derive(Clone, Debug)]
pub struct Clicks {
    retention_ms: i64,
}

impl Clicks {
    /// The state machine under the terms of a registry.
    #[must_use]
    pub fn new(registry: &Arc<Registry>) -> Clicks {
        let retention = registry.policies().click_retention;
        Clicks { retention_ms: i64::try_from(retention.as_millis()).unwrap_or(i64::MAX) }
    }

    fn clicked(&self, context: &mut Context<'_>, click: &ClickRecorded) -> Result<(), Failure> {
        let row = row_key(CLICK, click.click_id.as_bytes());
        if let Some(known) = context.get(&row)? {
            // A click that comes again keeps its first form: who was told of it must be told the same again.
            let known: ClickRecorded = common::row(&known)?;
            return if known == *click {
                Ok(())
            } else {
                Err(refuse("click_id_reused", "another click has this id").into())
            };
        }
        context.put(&row, encode(click));
        // Kept from when it came, not from when it was clicked: an order of that time may be reported late.
        context.set_timer(context.now_ms().saturating_add(self.retention_ms), &row);
        answer_waiting(context, click)
    }

    fn asked(&self, context: &mut Context<'_>, lookup: &ClickLookupRequested) -> Result<(), Failure> {
        match context.get(&row_key(CLICK, lookup.click_id.as_bytes()))? {
            Some(row) => context.emit(answer(lookup, &common::row(&row)?)),
            None => {
                let row = lookup_key(lookup);
                let due_ms = context.now_ms().saturating_add(self.retention_ms);
                // With its timer's time, so that the answer clears it. A repeat asks anew.
                if let Some(before) = context.get(&row)? {
                    context.clear_timer(parse_waiting(&before)?.0, &row);
                }
                context.put(&row, [&due_ms.to_be_bytes()[..], &encode(lookup)].concat());
                context.set_timer(due_ms, &row);
            }
        }
        Ok(())
    }
}

fn answer_waiting(context: &mut Context<'_>, click: &ClickRecorded) -> Result<(), Failure> {
    let waiting = context.scan(&lookup_prefix(&click.click_id), ANSWERS_PER_STEP_MAX)?;
    for (row, value) in &waiting {
        let (due_ms, lookup) = parse_waiting(value)?;
        context.emit(answer(&lookup, click));
        context.delete(row);
        context.clear_timer(due_ms, row);
    }
    if waiting.len() == ANSWERS_PER_STEP_MAX {
        context.set_timer(context.now_ms(), &row_key(ANSWER, click.click_id.as_bytes()));
    }
    Ok(())
}

/// A waiting lookup, and when it is forgotten.
fn parse_waiting(value: &[u8]) -> Result<(i64, ClickLookupRequested), StoreError> {
    let (due_ms, lookup) = value.split_first_chunk::<8>().ok_or_else(|| damaged("a waiting lookup is cut short"))?;
    Ok((i64::from_be_bytes(*due_ms), common::row(lookup)?))
}

fn answer(lookup: &ClickLookupRequested, click: &ClickRecorded) -> Message {
    let (merchant_id, external_order_id) = (lookup.merchant_id.clone(), lookup.external_order_id.clone());
    let matched = ClickMatched { merchant_id, livemode: lookup.livemode, external_order_id, click: click.clone() };
    message(&CLICK_VERDICTS, order_key(lookup), &matched)
}

fn order_key(lookup: &ClickLookupRequested) -> Vec<u8> {
    let (merchant_id, external_order_id) = (&lookup.merchant_id, &lookup.external_order_id);
    OrderKey { merchant_id, livemode: lookup.livemode, external_order_id }.to_bytes()
}

fn row_key(table: u8, key: &[u8]) -> Vec<u8> {
    [&[table], key].concat()
}

/// The length comes before the click id, so that no click's lookups begin with another's.
fn lookup_prefix(click_id: &str) -> Vec<u8> {
    let length = u16::try_from(click_id.len()).expect("a click id's length is checked when it comes in");
    [&[LOOKUP], &length.to_be_bytes()[..], click_id.as_bytes()].concat()
}

fn lookup_key(lookup: &ClickLookupRequested) -> Vec<u8> {
    [lookup_prefix(&lookup.click_id), order_key(lookup)].concat()
}

impl Processor for Clicks {
    fn name(&self) -> &'static str {
        "clicks"
    }

    fn inputs(&self) -> Vec<Topic> {
        [CLICKS, CLICK_LOOKUPS].iter().map(common::topic).collect()
    }

    fn state_version(&self) -> u32 {
        // One more when the layout around the records changes.
        schema_version::<ClickRecorded>() ^ schema_version::<ClickLookupRequested>() ^ 1
    }

    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure> {
        if input.key.is_empty() || input.key.len() > CLICK_ID_BYTES_MAX {
            let message = format!("a click id must have 1 to {CLICK_ID_BYTES_MAX} bytes, not {}", input.key.len());
            return Err(refuse("out_of_range", message).into());
        }
        let wrong_key = || refuse("wrong_key", "the record's key is not its click's");
        if input.topic == CLICK_LOOKUPS.number {
            let lookup: ClickLookupRequested = schemas::decode(input.value).map_err(|error| undecodable(&error))?;
            if lookup.click_id.as_bytes() != input.key {
                return Err(wrong_key().into());
            }
            return self.asked(context, &lookup);
        }
        let click: ClickRecorded = schemas::decode(input.value).map_err(|error| undecodable(&error))?;
        if click.click_id.as_bytes() != input.key {
            return Err(wrong_key().into());
        }
        self.clicked(context, &click)
    }

    fn timer(&self, context: &mut Context<'_>, key: &[u8]) -> Result<(), Failure> {
        match key.split_first() {
            Some((&(CLICK | LOOKUP), _)) => context.delete(key),
            Some((&ANSWER, click_id)) => {
                if let Some(row) = context.get(&row_key(CLICK, click_id))? {
                    answer_waiting(context, &common::row(&row)?)?;
                }
            }
            Some(_) | None => return Err(refuse("bad_timer", "a timer's key is of no table").into()),
        }
        Ok(())
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message {
        common::dead_letter(letter)
    }
}
