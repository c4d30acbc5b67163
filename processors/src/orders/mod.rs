//! `orders`: keeps the facts of each order, and publishes what changes in what follows from them.

use std::sync::Arc;

use schemas::ids::OrderKey;
use schemas::records::{
    Cause, CauseType, ClickLookupRequested, ClickMatched, ConversionReported, ConversionSettled, ConversionState,
    OrderStatusReported, ReviewDecided, TestClockAdvanced,
};
use schemas::registry::Registry;
use schemas::state::{FactSource, OrderState, StatusFact};
use schemas::topics::{CLICK_LOOKUPS, CLICK_VERDICTS, CONVERSIONS, SETTLEMENTS};
use schemas::{Timestamp, codec, encode};
use streams::{Context, DeadLetter, Failure, Input, Message, Processor, Refusal, Topic};

use crate::common::{self, message, now, refuse, undecodable};
use crate::derive::{Derivation, Facts, coupon, derive, work_out};

use self::publish::{Change, News};

mod facts;
mod publish;
mod timeline;

pub use facts::{ADVANCE_MS_MAX, ADVANCES_MAX, CONFLICTS_MAX, LATE_REVIEWS_MAX, REFUNDS_MAX, UPDATES_MAX, empty_state};

/// The state machine of orders.
#[derive(Clone, Debug)]
pub struct Orders {
    registry: Arc<Registry>,
}

/// A record of one of the topics that `orders` reads.
enum Fact {
    Reported(ConversionReported),
    Status(OrderStatusReported),
    Reviewed(ReviewDecided),
    Clock(TestClockAdvanced),
    Click(ClickMatched),
    Settled(ConversionSettled),
}

impl Fact {
    fn decode(input: Input<'_>) -> Result<Fact, Refusal> {
        let value = input.value;
        if input.topic == CLICK_VERDICTS.number {
            schemas::decode(value).map(Fact::Click)
        } else if input.topic == SETTLEMENTS.number {
            schemas::decode(value).map(Fact::Settled)
        } else if codec::is::<ConversionReported>(value) {
            schemas::decode(value).map(Fact::Reported)
        } else if codec::is::<OrderStatusReported>(value) {
            schemas::decode(value).map(Fact::Status)
        } else if codec::is::<ReviewDecided>(value) {
            schemas::decode(value).map(Fact::Reviewed)
        } else if codec::is::<TestClockAdvanced>(value) {
            schemas::decode(value).map(Fact::Clock)
        } else {
            let expected = "ConversionReported, OrderStatusReported, ReviewDecided or TestClockAdvanced";
            Err(codec::header_error(value, expected))
        }
        .map_err(|error| undecodable(&error))
    }

    fn order_key(&self) -> OrderKey<'_> {
        let (merchant_id, livemode, external_order_id) = match self {
            Fact::Reported(it) => (&it.merchant_id, it.livemode, &it.external_order_id),
            Fact::Status(it) => (&it.merchant_id, it.livemode, &it.external_order_id),
            Fact::Reviewed(it) => (&it.merchant_id, it.livemode, &it.external_order_id),
            Fact::Clock(it) => (&it.merchant_id, it.livemode, &it.external_order_id),
            Fact::Click(it) => (&it.merchant_id, it.livemode, &it.external_order_id),
            Fact::Settled(it) => (&it.merchant_id, it.livemode, &it.external_order_id),
        };
        OrderKey { merchant_id, livemode, external_order_id }
    }
}

impl Orders {
    /// The state machine under the terms of a registry.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Orders {
        Orders { registry }
    }

    fn load(context: &Context<'_>, key: &[u8]) -> Result<OrderState, Failure> {
        match context.get(key)? {
            Some(row) => Ok(common::row(&row)?),
            None => Ok(empty_state()),
        }
    }

    fn derive(&self, key: &OrderKey<'_>, state: &OrderState, at: Timestamp) -> Option<Derivation> {
        derive(known(key, state), &self.registry, at)
    }

    /// Publishes what a change of the facts, or of time, has changed, and keeps the new state.
    ///
    /// A clock that was set back since the last derivation takes nothing back.
    fn settle(&self, context: &mut Context<'_>, key: &OrderKey<'_>, mut state: OrderState, news: News) {
        let row_key = key.to_bytes();
        let at = now(context).max(state.derived_at.unwrap_or(Timestamp::MIN));
        let worked_out = work_out(known(key, &state), &self.registry, at);
        if let Some((derivation, working)) = worked_out {
            state.derived_at = Some(at);
            let early = self.early_updates(key, &state, &derivation, at);
            let change = Change { derivation: &derivation, working: &working, news, early, at };
            publish::publish(context, key, &mut state, &change);
            if state.timer != derivation.next_due {
                if let Some(due) = state.timer {
                    context.clear_timer(due.0, &row_key);
                }
                if let Some(due) = derivation.next_due {
                    context.set_timer(due.0, &row_key);
                }
                state.timer = derivation.next_due;
            }
        }
        context.put(&row_key, encode(&state));
    }

    /// The causes of the updates, and of the moved clock, that came before the report; `applied` if the order would be
    /// another without it.
    fn early_updates(&self, key: &OrderKey<'_>, state: &OrderState, all: &Derivation, at: Timestamp) -> Vec<Cause> {
        if state.published.is_some() {
            return Vec::new();
        }
        let applied = |without: &OrderState| self.derive(key, without, at).as_ref() != Some(all);
        let cause = |(index, update): (usize, &StatusFact)| {
            let mut without = state.clone();
            without.updates.remove(index);
            Cause {
                order_status: Some(update.status),
                refunded_thousandths: update.refunded_thousandths,
                applied: applied(&without),
                ..timeline::cause(CauseType::OrderStatus, Some(update.event_id.clone()))
            }
        };
        let mut causes: Vec<Cause> = state.updates.iter().enumerate().map(cause).collect();
        causes.extend(state.test_clock.as_ref().map(|clock| {
            let without = OrderState { test_clock: None, ..state.clone() };
            let cause = timeline::cause(CauseType::TestClock, Some(clock.event_id.clone()));
            Cause { applied: applied(&without), ..cause }
        }));
        causes
    }

    fn reported(
        &self,
        context: &mut Context<'_>,
        key: &OrderKey<'_>,
        report: &ConversionReported,
        source: FactSource,
    ) -> Result<(), Failure> {
        facts::check_report(report)?;
        let mut state = Self::load(context, &key.to_bytes())?;
        let event_id = report.event_id.clone();
        let awaited_until = report.received_at + self.registry.policies().click_wait;
        let coupon = coupon::known(report, &self.registry);
        match facts::add_report(&mut state, report, source, awaited_until, coupon) {
            facts::Added::Known => Ok(()),
            facts::Added::New => {
                if let Some(click_id) = &report.click_id {
                    context.emit(lookup(key, click_id, now(context)));
                }
                self.settle(context, key, state, News::Always(timeline::cause(CauseType::Reported, Some(event_id))));
                Ok(())
            }
            facts::Added::Conflict(fields) => {
                let cause = timeline::cause(CauseType::Conflict, Some(event_id));
                self.settle(context, key, state, News::Always(Cause { applied: false, fields, ..cause }));
                Ok(())
            }
        }
    }

    fn status(
        &self,
        context: &mut Context<'_>,
        key: &OrderKey<'_>,
        update: &OrderStatusReported,
        source: FactSource,
    ) -> Result<(), Failure> {
        facts::check_update(update)?;
        let mut state = Self::load(context, &key.to_bytes())?;
        let news = match facts::add_status(&mut state, update, source) {
            facts::Placed::Known => return Ok(()),
            // An earlier receipt of the same update may move a clock, though it is no news to the timeline.
            facts::Placed::Earlier | facts::Placed::Compacted => News::Silent,
            facts::Placed::New => News::Always(Cause {
                order_status: Some(update.status),
                refunded_thousandths: update.refunded_thousandths,
                ..timeline::cause(CauseType::OrderStatus, Some(update.event_id.clone()))
            }),
        };
        self.settle(context, key, state, news);
        Ok(())
    }

    /// The order's time is another: what is due by it happens now.
    fn clock(
        &self,
        context: &mut Context<'_>,
        key: &OrderKey<'_>,
        advanced: &TestClockAdvanced,
        source: FactSource,
    ) -> Result<(), Failure> {
        facts::check_clock(advanced)?;
        let mut state = Self::load(context, &key.to_bytes())?;
        let cause = timeline::cause(CauseType::TestClock, Some(advanced.event_id.clone()));
        let news = match facts::advance(&mut state, advanced, source) {
            facts::Advanced::Known => return Ok(()),
            facts::Advanced::Later => News::Always(cause),
            facts::Advanced::Untold => News::IfChanged(cause),
        };
        self.settle(context, key, state, news);
        Ok(())
    }

    /// Whichever decision came first on what was shown counts; the others are told, and change nothing.
    fn reviewed(
        &self,
        context: &mut Context<'_>,
        key: &OrderKey<'_>,
        decided: &ReviewDecided,
        source: FactSource,
    ) -> Result<(), Failure> {
        facts::check_review(decided)?;
        let mut state = Self::load(context, &key.to_bytes())?;
        if state.report.is_none() {
            return Err(refuse("no_conversion", "nobody has reported the order that was decided").into());
        }
        let before = state.clone();
        let mut applied = match facts::add_review(&mut state, key.merchant_id, decided, source) {
            facts::Decided::Known => return Ok(()),
            facts::Decided::Counts => true,
            facts::Decided::Late => false,
        };
        let was_reversed = before.published.as_ref().is_some_and(|seen| seen.state == ConversionState::Reversed);
        let is_reversed = |it: &Derivation| it.state == ConversionState::Reversed;
        // An order of which nothing is left cannot be brought back.
        if applied && was_reversed && self.derive(key, &state, now(context)).as_ref().is_some_and(is_reversed) {
            (state, applied) = (before, false);
        }
        if !applied {
            if state.late_reviews >= facts::LATE_REVIEWS_MAX {
                return Ok(());
            }
            state.late_reviews += 1;
        }
        let cause = timeline::cause(CauseType::Review, Some(decided.event_id.clone()));
        let cause = Cause { applied, review: Some(decided.review.clone()), ..cause };
        self.settle(context, key, state, News::Always(cause));
        Ok(())
    }

    fn click(
        &self,
        context: &mut Context<'_>,
        key: &OrderKey<'_>,
        matched: &ClickMatched,
        source: FactSource,
    ) -> Result<(), Failure> {
        let mut state = Self::load(context, &key.to_bytes())?;
        if facts::add_click(&mut state, &matched.click, source)? {
            // That another merchant's click is known is not for this one to learn.
            let own = matched.click.merchant_id == key.merchant_id;
            let news = if own { News::Always(timeline::cause(CauseType::Click, None)) } else { News::Silent };
            self.settle(context, key, state, news);
        }
        Ok(())
    }

    fn settled(
        &self,
        context: &mut Context<'_>,
        key: &OrderKey<'_>,
        settled: &ConversionSettled,
    ) -> Result<(), Failure> {
        let mut state = Self::load(context, &key.to_bytes())?;
        if facts::add_settlement(&mut state, settled)? {
            // Of an order that was reversed on the way nothing changes: its clawback is booked already.
            self.settle(context, key, state, News::IfChanged(timeline::cause(CauseType::PaidOut, None)));
        }
        Ok(())
    }
}

fn known<'a>(key: &OrderKey<'a>, state: &'a OrderState) -> Facts<'a> {
    Facts { merchant_id: key.merchant_id, livemode: key.livemode, state }
}

fn source(input: Input<'_>) -> FactSource {
    FactSource {
        partition: i32::try_from(input.partition).unwrap_or(i32::MAX),
        offset: i64::try_from(input.offset).unwrap_or(i64::MAX),
    }
}

fn lookup(key: &OrderKey<'_>, click_id: &str, asked_at: Timestamp) -> Message {
    let record = ClickLookupRequested {
        click_id: click_id.to_owned(),
        merchant_id: key.merchant_id.to_owned(),
        livemode: key.livemode,
        external_order_id: key.external_order_id.to_owned(),
        asked_at,
    };
    message(&CLICK_LOOKUPS, click_id.as_bytes().to_vec(), &record)
}

impl Processor for Orders {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn inputs(&self) -> Vec<Topic> {
        [CONVERSIONS, CLICK_VERDICTS, SETTLEMENTS].iter().map(common::topic).collect()
    }

    fn state_version(&self) -> u32 {
        common::schema_version::<OrderState>()
    }

    fn apply(&self, context: &mut Context<'_>, input: Input<'_>) -> Result<(), Failure> {
        let fact = Fact::decode(input)?;
        let key = fact.order_key();
        facts::check_key(&key, input.key)?;
        let source = source(input);
        match &fact {
            Fact::Reported(report) => self.reported(context, &key, report, source),
            Fact::Status(update) => self.status(context, &key, update, source),
            Fact::Reviewed(decided) => self.reviewed(context, &key, decided, source),
            Fact::Clock(advanced) => self.clock(context, &key, advanced, source),
            Fact::Click(matched) => self.click(context, &key, matched, source),
            Fact::Settled(settled) => self.settled(context, &key, settled),
        }
    }

    fn timer(&self, context: &mut Context<'_>, key: &[u8]) -> Result<(), Failure> {
        let order = OrderKey::from_bytes(key).ok_or_else(|| refuse("bad_timer", "a timer's key is no order's"))?;
        let mut state = Self::load(context, key)?;
        state.timer = None;
        let kind = match state.published.as_ref().map(|published| (published.state, published.confidence)) {
            Some((_, None)) => CauseType::ClickWaitElapsed,
            Some((ConversionState::Payable, _)) => CauseType::PayoutSimulated,
            Some(_) | None => CauseType::HoldElapsed,
        };
        self.settle(context, &order, state, News::IfChanged(timeline::cause(kind, None)));
        Ok(())
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Message {
        common::dead_letter(letter)
    }
}
