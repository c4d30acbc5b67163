//! Which registry was in force when.

use std::sync::Arc;

use schemas::Timestamp;
use schemas::registry::Registry;

/// The registries that the log was written under.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// In force at any time, for all that is known.
    undated: Vec<Arc<Registry>>,
    /// From when on, in the order in which they came; nothing for one that is not known any more.
    dated: Vec<(Timestamp, Option<Arc<Registry>>)>,
}

/// The registries that somebody may have worked under at an instant.
#[derive(Debug)]
pub(crate) struct InForce<'a> {
    pub(crate) known: Vec<&'a Registry>,
    /// Whether there may have been another, which is not known any more: then every known one is among them.
    pub(crate) or_another: bool,
}

impl Terms {
    pub(crate) fn undated(&mut self, registry: Arc<Registry>) {
        self.undated.push(registry);
    }

    pub(crate) fn dated(&mut self, from: Timestamp, registry: Option<Arc<Registry>>) {
        self.dated.push((from, registry));
    }

    /// Whoever works takes a registry over within the tolerance, before or after it was made, since clocks differ.
    pub(crate) fn in_force(&self, at: Timestamp, tolerance_ms: i64) -> InForce<'_> {
        let mut known: Vec<&Registry> = self.undated.iter().map(|registry| &**registry).collect();
        let mut or_another = false;
        for (index, (from, registry)) in self.dated.iter().enumerate() {
            // Before the first there was none, so what seems to be of before is of it.
            let begun = index == 0 || from.0 - tolerance_ms <= at.0;
            let over = self.dated.get(index + 1).is_some_and(|(next, _)| next.0 + tolerance_ms < at.0);
            if begun && !over {
                match registry {
                    Some(registry) => known.push(registry),
                    None => or_another = true,
                }
            }
        }
        if or_another {
            known = self.all().collect();
        }
        InForce { known, or_another }
    }

    /// Every registry that is known.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Registry> {
        let dated = self.dated.iter().filter_map(|(_, registry)| registry.as_deref());
        self.undated.iter().map(|registry| &**registry).chain(dated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ends_where_the_next_begins_give_or_take_the_tolerance() {
        let mut terms = Terms::default();
        for (from, known) in [(0, true), (1_000, true), (2_000, false), (3_000, true)] {
            terms.dated(Timestamp(from), known.then(|| Arc::new(Registry::demo())));
        }
        let check = |at: i64, known: usize, or_another: bool| {
            let found = terms.in_force(Timestamp(at), 100);
            assert_eq!((found.known.len(), found.or_another), (known, or_another), "at {at}");
        };
        check(-5_000, 1, false);
        check(899, 1, false);
        check(900, 2, false);
        check(1_100, 2, false);
        check(1_101, 1, false);
        check(1_900, 3, true);
        check(2_500, 3, true);
        check(3_100, 3, true);
        check(3_101, 1, false);
        terms.undated(Arc::new(Registry::demo()));
        assert_eq!(terms.in_force(Timestamp(3_101), 100).known.len(), 2);
    }
}
