//! After the load: every order is asked for, and compared with what it must be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::client::Connection;
use super::engine::Shared;
use super::expect::{Shown, Wrong, check};
use super::job;

/// Wrong orders that are told of each.
const FINDINGS_MAX: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Orders that were asked for.
    pub(super) checked: u64,
    /// Orders that are not what they must be, by what is wrong.
    pub(super) wrong: BTreeMap<String, u64>,
    /// Some of these.
    pub(super) findings: Vec<Finding>,
}

/// An order that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) order: String,
    pub(super) merchant: String,
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Outcome {
    pub(super) fn wrong_orders(&self) -> u64 {
        self.wrong.values().sum()
    }

    /// Notes something wrong.
    pub(super) fn add(&mut self, finding: Finding, times: u64) {
        *self.wrong.entry(finding.what.clone()).or_default() += times;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Takes another process's in.
    pub(super) fn merge(&mut self, other: Outcome) {
        self.checked += other.checked;
        for (what, times) in other.wrong {
            *self.wrong.entry(what).or_default() += times;
        }
        let room = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
    }
}

/// Asks for every order that was sent, and again for those that are not right yet, until the time is over.
pub(super) async fn verify(shared: &Arc<Shared>, checked: &Arc<AtomicU64>) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(shared.plan.scenario().settle_seconds());
    let mut open: Vec<u64> = shared.book.orders().filter(|order| shared.book.read(*order).sent()).collect();
    let mut outcome = Outcome { checked: u64::try_from(open.len()).unwrap_or(u64::MAX), ..Outcome::default() };
    loop {
        let wrong = ask_all(shared, open, checked).await;
        if wrong.is_empty() || Instant::now() >= deadline {
            for (order, wrong) in wrong {
                outcome.add(finding(shared, order, wrong), 1);
            }
            return outcome;
        }
        open = wrong.into_iter().map(|(order, _)| order).collect();
        tokio::time::sleep(PAUSE).await;
    }
}

fn finding(shared: &Shared, order: u64, wrong: Wrong) -> Finding {
    let Wrong { what, expected, found } = wrong;
    let merchant = shared.plan.order(order).group.merchant.id();
    Finding { order: shared.plan.id(order), merchant, what: what.to_owned(), expected, found }
}

/// Asks for these orders, over all connections; those that are wrong.
async fn ask_all(shared: &Arc<Shared>, orders: Vec<u64>, checked: &Arc<AtomicU64>) -> Vec<(u64, Wrong)> {
    let (orders, next) = (Arc::new(orders), Arc::new(AtomicUsize::new(0)));
    let wrong = Arc::new(Mutex::new(Vec::new()));
    let mut askers = JoinSet::new();
    for _ in 0..shared.plan.scenario().client.connections {
        let (shared, orders, next) = (Arc::clone(shared), Arc::clone(&orders), Arc::clone(&next));
        let (wrong, checked) = (Arc::clone(&wrong), Arc::clone(checked));
        askers.spawn(async move {
            let mut connection = shared.reader();
            while let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
                match ask(&shared, &mut connection, *order).await {
                    None => {
                        checked.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(found) => wrong.lock().unwrap_or_else(PoisonError::into_inner).push((*order, found)),
                }
            }
        });
    }
    while let Some(ended) = askers.join_next().await {
        ended.expect("asking does not panic");
    }
    std::mem::take(&mut *wrong.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn ask(shared: &Shared, connection: &mut Connection, number: u64) -> Option<Wrong> {
    let answer = connection.call(&job::read(&shared.plan, number), shared.merchant(number, false)).await;
    let unanswered =
        |found: String| Some(Wrong { what: "unanswered", expected: "an answer about the order".to_owned(), found });
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return unanswered(why.name().to_owned()),
    };
    let shown: Option<Shown> = match answer.status {
        404 => None,
        200 => match serde_json::from_slice(&answer.body) {
            Ok(shown) => Some(shown),
            Err(error) => return unanswered(format!("200 with a body that is no order: {error}")),
        },
        status => return unanswered(status.to_string()),
    };
    let (order, line) = (shared.plan.order(number), shared.book.read(number));
    check(&order, line, shared.plan.scenario().holds_end(), shown.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_add_up_and_findings_are_bounded() {
        let finding = |what: &str| Finding {
            order: "F1-1".into(),
            merchant: "festival-0".into(),
            what: what.into(),
            expected: "hold".into(),
            found: "payable".into(),
        };
        let mut one = Outcome { checked: 10, ..Outcome::default() };
        (0..15).for_each(|_| one.add(finding("state"), 1));
        let mut other = one.clone();
        other.add(finding("lost"), 1);
        one.merge(other);
        assert_eq!((one.checked, one.wrong_orders(), one.findings.len()), (20, 31, FINDINGS_MAX));
        assert_eq!(one.wrong["state"], 30);
    }
}
