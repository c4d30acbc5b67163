//! Merchants and shoppers: what each has sent, what it was answered, and what it does next.

use std::collections::BTreeMap;
use std::time::Duration;

use oracle::{Answer, Body, Facts, RequestId};
use serde_json::Value;

use crate::http::{self, Call, Reply};
use crate::plan::{Click, Intent, Order, Plan};
use crate::random::Random;
use crate::terms::Elsewhere;

/// Between a failed attempt and the next.
const RETRY_MAX: Duration = Duration::from_secs(20);
/// From when on a signature may be too old, in ms: the contract's 300 s, less what cutting its time to seconds takes off.
const SIGNATURE_AGE_MS: i64 = 299_000;

/// What somebody does at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// A shopper follows a link.
    Follow { order: usize },
    /// A merchant begins a request of an order.
    Begin { order: usize, intent: usize },
    /// A request is sent, or sent again.
    Send { request: usize, attempt: u32 },
    /// Nothing has come back.
    TimeOut { request: usize, attempt: u32 },
    /// A click comes from elsewhere.
    Elsewhere { click: usize },
}

/// What a deed makes others do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// This goes to an edge.
    Call(Call),
    /// A click is written to the log.
    Click(Elsewhere),
    /// Nothing.
    None,
}

/// Who a reply is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ticket {
    /// The shopper of an order.
    Shopper { order: usize },
    /// A request, and its attempt.
    Request { request: usize, attempt: u32 },
}

#[derive(Debug)]
struct Request {
    order: usize,
    intent: Intent,
    body: String,
    fact: RequestId,
    key: Option<String>,
    attempts: u32,
    /// The attempt whose answer is awaited.
    is_answered: bool,
    is_replayed: bool,
    /// Whether an answer said that it may have been recorded.
    may_be_recorded: bool,
    is_over: bool,
    /// The edge that accepted it last.
    accepted_by: Option<usize>,
}

/// What became of a reply, for whoever counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noticed {
    /// A request of which an earlier attempt may have been recorded is answered now.
    pub(crate) ambiguous_retried: bool,
    /// It was called a duplicate.
    pub(crate) duplicate: bool,
    /// Another edge had accepted it before.
    pub(crate) accepted_twice: bool,
}

/// In how many of 10,000 cases an order is refunded late.
const LATE_REFUNDS: u32 = 2_000;

/// All of them.
#[derive(Debug)]
pub(crate) struct Merchants {
    random: Random,
    orders: Vec<Order>,
    elsewhere: Vec<Elsewhere>,
    requests: Vec<Request>,
    /// The click id that an order's shopper was sent on with.
    followed: BTreeMap<usize, (Duration, Option<String>)>,
    due: BTreeMap<(Duration, u64), Deed>,
    deeds: u64,
    patience: Duration,
}

impl Merchants {
    pub(crate) fn new(seed: u64, plan: Plan) -> Merchants {
        let mut random = Random::new(seed, "merchants");
        let patience = Duration::from_millis(random.pick(&[300, 2_000, 15_000]));
        let mut merchants = Merchants {
            random,
            orders: Vec::new(),
            elsewhere: Vec::new(),
            requests: Vec::new(),
            followed: BTreeMap::new(),
            due: BTreeMap::new(),
            deeds: 0,
            patience,
        };
        for (at, click) in plan.elsewhere {
            merchants.elsewhere.push(click);
            merchants.later(at, Deed::Elsewhere { click: merchants.elsewhere.len() - 1 });
        }
        for (order, planned) in plan.orders.into_iter().enumerate() {
            if let Click::Followed(at, _) = &planned.click {
                merchants.later(*at, Deed::Follow { order });
            }
            for (intent, (at, _)) in planned.requests.iter().enumerate() {
                merchants.later(*at, Deed::Begin { order, intent });
            }
            merchants.orders.push(planned);
        }
        merchants
    }

    fn later(&mut self, at: Duration, deed: Deed) {
        self.deeds += 1;
        self.due.insert((at, self.deeds), deed);
    }

    /// Has some orders refunded now, long after they were delivered.
    pub(crate) fn refund_some(&mut self, random: &mut Random, now: Duration) {
        for order in 0..self.orders.len() {
            if random.happens(LATE_REFUNDS) {
                let intent = self.orders[order].requests.len();
                self.orders[order].requests.push((now, Intent::refund()));
                self.later(now, Deed::Begin { order, intent });
            }
        }
    }

    /// When somebody does something next.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Whether nobody wants anything any more.
    pub(crate) fn are_done(&self) -> bool {
        self.due.is_empty() && self.requests.iter().all(|request| request.is_over)
    }

    /// Requests that are neither answered nor given up.
    pub(crate) fn open(&self) -> usize {
        self.requests.iter().filter(|request| !request.is_over).count()
    }

    /// Takes the next deed that is due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Deed> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Does a deed.
    pub(crate) fn act(&mut self, deed: Deed, now: Duration, now_ms: i64, facts: &mut Facts) -> Effect {
        match deed {
            Deed::Follow { order } => {
                let Click::Followed(_, link) = self.orders[order].click else { return Effect::None };
                self.followed.insert(order, (now, None));
                Effect::Call(http::follow(link, Ticket::Shopper { order }))
            }
            Deed::Elsewhere { click } => Effect::Click(self.elsewhere[click].clone()),
            Deed::Begin { order, intent } => {
                let request = self.begin(order, intent, now_ms, facts);
                self.later(now, Deed::Send { request, attempt: 0 });
                if self.requests[request].intent.twice {
                    self.later(now, Deed::Send { request, attempt: 0 });
                }
                Effect::None
            }
            Deed::Send { request, attempt } => {
                let known = &mut self.requests[request];
                if known.is_over || attempt != known.attempts {
                    return Effect::None;
                }
                let sender = self.orders[known.order].sender;
                let ticket = Ticket::Request { request, attempt };
                let call = http::report(sender, &known.intent.body, &known.body, known.key.as_deref(), now_ms, ticket);
                let patience = self.patience;
                self.later(now + patience, Deed::TimeOut { request, attempt });
                Effect::Call(call)
            }
            Deed::TimeOut { request, attempt } => {
                self.failed(request, attempt, now);
                Effect::None
            }
        }
    }

    fn begin(&mut self, order: usize, intent: usize, now_ms: i64, facts: &mut Facts) -> usize {
        let planned = &self.orders[order];
        let mut intent = planned.requests[intent].1.clone();
        if let Body::Report(report) = &mut intent.body {
            report.click_id = match &planned.click {
                Click::None => None,
                Click::Named(click) => Some(click.clone()),
                Click::Followed(..) => self.followed.get(&order).and_then(|(_, click)| click.clone()),
            };
        }
        let fact = facts.sent(planned.id.clone(), intent.body.clone(), now_ms);
        let body = http::body(&planned.id.external_order_id, &intent.body);
        let number = self.requests.len();
        let key = intent.has_key.then(|| format!("key-{number}"));
        self.requests.push(Request {
            order,
            intent,
            body,
            fact,
            key,
            attempts: 0,
            is_answered: false,
            is_replayed: false,
            may_be_recorded: false,
            is_over: false,
            accepted_by: None,
        });
        number
    }

    /// An attempt failed, or nobody heard of it any more.
    fn failed(&mut self, request: usize, attempt: u32, now: Duration) {
        let wait = self.random.short(RETRY_MAX);
        let known = &mut self.requests[request];
        if known.is_over || known.attempts != attempt {
            return;
        }
        known.attempts += 1;
        if known.attempts >= known.intent.attempts_max && !known.is_answered {
            known.is_over = true;
            return;
        }
        let attempt = known.attempts;
        self.later(now + wait, Deed::Send { request, attempt });
    }

    /// Takes a reply; the error is one that no merchant may ever get.
    pub(crate) fn on_reply(
        &mut self,
        reply: &Reply,
        now: Duration,
        now_ms: i64,
        facts: &mut Facts,
    ) -> Result<Noticed, String> {
        match reply.ticket {
            Ticket::Shopper { order } => self.on_redirect(order, reply, now_ms, facts).map(|()| Noticed::default()),
            Ticket::Request { request, attempt } => self.on_answer((request, attempt), reply, (now, now_ms), facts),
        }
    }

    fn on_redirect(&mut self, order: usize, reply: &Reply, now_ms: i64, facts: &mut Facts) -> Result<(), String> {
        if reply.status != 302 {
            return Err(format!("a link was answered {}: {}", reply.status, reply.text));
        }
        let click = reply.location.as_deref().and_then(http::click_of);
        let click = click.ok_or_else(|| format!("a link was answered with {:?}", reply.location))?;
        let Click::Followed(_, link) = self.orders[order].click else { return Ok(()) };
        if let Some((_, known)) = self.followed.get_mut(&order) {
            *known = Some(click.clone());
        }
        facts.click(link, reply.sent_ms, Some((now_ms, click)));
        Ok(())
    }

    /// Nobody was there to ask: a merchant tries again, and a shopper goes away.
    pub(crate) fn on_unreachable(&mut self, ticket: Ticket, now: Duration) {
        if let Ticket::Request { request, attempt } = ticket {
            self.failed(request, attempt, now);
        }
    }

    /// The answer to a shopper is lost: a click may be in the log whose id nobody knows.
    pub(crate) fn on_lost(&mut self, ticket: Ticket, sent_ms: i64, facts: &mut Facts) {
        if let Ticket::Shopper { order } = ticket
            && let Click::Followed(_, link) = self.orders[order].click
        {
            facts.click(link, sent_ms, None);
        }
    }

    fn on_answer(
        &mut self,
        (request, attempt): (usize, u32),
        reply: &Reply,
        (now, now_ms): (Duration, i64),
        facts: &mut Facts,
    ) -> Result<Noticed, String> {
        match reply.status {
            202 => {}
            500 | 503 => {
                self.requests[request].may_be_recorded |= reply.text.contains("may have been recorded");
                self.failed(request, attempt, now);
                return Ok(Noticed::default());
            }
            // It lay in the edge for longer than a signature is good for; its sender gave it up long ago.
            401 if reply.text.contains("EXPIRED_TIMESTAMP") && now_ms - reply.sent_ms >= SIGNATURE_AGE_MS => {
                self.failed(request, attempt, now);
                return Ok(Noticed::default());
            }
            _ => return Err(format!("a merchant was answered {}: {}", reply.status, reply.text)),
        }
        let json: Value = serde_json::from_str(&reply.text).map_err(|error| format!("{error}: {}", reply.text))?;
        let text = |field: &str| json[field].as_str().map(str::to_owned);
        let answer = match (text("eventId"), text("conversionId")) {
            (Some(event_id), None) => Answer::Recorded { event_id },
            (None, Some(conversion_id)) => Answer::Duplicate { conversion_id },
            (_, _) => return Err(format!("an answer is neither new nor a duplicate: {}", reply.text)),
        };
        let duplicate = matches!(answer, Answer::Duplicate { .. });
        facts.answered(self.requests[request].fact, now_ms, answer);
        let known = &mut self.requests[request];
        let before = if duplicate { None } else { known.accepted_by.replace(reply.edge) };
        let noticed = Noticed {
            ambiguous_retried: known.may_be_recorded && attempt > 0,
            duplicate,
            accepted_twice: before.is_some_and(|before| before != reply.edge),
        };
        known.is_answered = true;
        match known.intent.replay {
            Some(wait) if !known.is_replayed => {
                known.is_replayed = true;
                known.attempts += 1;
                let attempt = known.attempts;
                self.later(now + wait, Deed::Send { request, attempt });
            }
            Some(_) | None => known.is_over = true,
        }
        Ok(noticed)
    }
}
