//! From a run that fails to the shortest one found that fails in the same way.

use crate::run::{Outcome, Params, run};

/// Runs that shrinking may take.
const TRIES_MAX: u32 = 200;

/// Removes kinds of faults one by one, then steps, then orders, and keeps what still fails in the same way.
#[must_use]
pub fn shrink(params: &Params, outcome: Outcome) -> (Params, Outcome) {
    let Some(kind) = outcome.failure.as_ref().map(|failure| failure.kind.clone()) else {
        return (params.clone(), outcome);
    };
    let mut best = Best { params: params.clone(), outcome, kind, tries: 0 };
    // What is fewer of one thing may make fewer of another possible.
    while best.once() {}
    (best.params, best.outcome)
}

struct Best {
    params: Params,
    outcome: Outcome,
    kind: String,
    tries: u32,
}

impl Best {
    /// Tries everything once; whether anything helped.
    fn once(&mut self) -> bool {
        let mut helped = false;
        for kind in self.params.kinds() {
            let mut fewer = self.params.clone();
            fewer.without.push(kind);
            helped |= self.attempt(fewer);
        }
        let mut cut = self.params.steps / 2;
        while cut > 0 {
            let fewer = Params { steps: self.params.steps.saturating_sub(cut), ..self.params.clone() };
            if self.attempt(fewer) {
                helped = true;
                cut = cut.min(self.params.steps / 2);
            } else {
                cut /= 2;
            }
        }
        while self.params.order_count() > 1 {
            let fewer = Params { orders: Some(self.params.order_count() - 1), ..self.params.clone() };
            if !self.attempt(fewer) {
                break;
            }
            helped = true;
        }
        helped
    }

    fn attempt(&mut self, params: Params) -> bool {
        if self.tries >= TRIES_MAX {
            return false;
        }
        self.tries += 1;
        let outcome = run(&params);
        let is_same = outcome.failure.as_ref().is_some_and(|failure| failure.kind == self.kind);
        if is_same {
            (self.params, self.outcome) = (params, outcome);
        }
        is_same
    }
}
