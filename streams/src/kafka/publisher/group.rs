//! Messages that are acknowledged together.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::log::{Ack, PublishError};

type Waiter = oneshot::Sender<Result<Ack, PublishError>>;

/// A group of messages under way, and who waits for it.
#[derive(Debug)]
pub(crate) struct Group(Mutex<State>);

#[derive(Debug)]
struct State {
    waiter: Option<Waiter>,
    unreported: usize,
    /// Where the first message went.
    ack: Option<Ack>,
    /// The first failure.
    problem: Option<String>,
}

impl Group {
    /// A group of so many messages, at least one.
    pub(crate) fn new(waiter: Waiter, messages: usize) -> Group {
        Group(Mutex::new(State { waiter: Some(waiter), unreported: messages, ack: None, problem: None }))
    }

    /// A message is durable; `ack` is its place if it is the first.
    pub(crate) fn delivered(&self, ack: Option<Ack>) {
        self.report(|state| state.ack = ack.or(state.ack));
    }

    /// A message failed.
    pub(crate) fn failed(&self, problem: &str) {
        self.report(|state| {
            state.problem.get_or_insert_with(|| problem.to_owned());
        });
    }

    fn report(&self, note: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut state);
        state.unreported -= 1;
        if state.unreported > 0 {
            return;
        }
        let answer = match (state.problem.take(), state.ack) {
            (None, Some(ack)) => Ok(ack),
            (Some(problem), _) => Err(PublishError::Failed(problem)),
            (None, None) => Err(PublishError::Failed("its first message was not reported".to_owned())),
        };
        // Whoever waited may be gone: a request that was given up.
        let _ = state.waiter.take().map(|waiter| waiter.send(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reports: &[Result<Option<u64>, &str>], expected: Result<u64, &str>) {
        let (waiter, mut answer) = oneshot::channel();
        let group = Group::new(waiter, reports.len());
        for report in reports {
            assert!(answer.try_recv().is_err(), "answered before the last report of {reports:?}");
            match report {
                Ok(offset) => group.delivered(offset.map(|offset| Ack { partition: 3, offset })),
                Err(problem) => group.failed(problem),
            }
        }
        match (answer.try_recv().expect("answered"), expected) {
            (Ok(ack), Ok(offset)) => assert_eq!(ack, Ack { partition: 3, offset }),
            (Err(PublishError::Failed(problem)), Err(text)) => assert_eq!(problem, text),
            (answer, expected) => panic!("{answer:?}, and not {expected:?}"),
        }
    }

    #[test]
    fn a_group_is_answered_with_its_last_report_and_fails_with_any() {
        check(&[Ok(Some(7))], Ok(7));
        check(&[Err("away")], Err("away"));
        // Reports come in the order of partitions and batches, not of the group.
        check(&[Ok(None), Ok(Some(7)), Ok(None)], Ok(7));
        check(&[Ok(Some(7)), Err("away"), Err("full")], Err("away"));
        check(&[Err("away"), Ok(Some(7))], Err("away"));
    }
}
