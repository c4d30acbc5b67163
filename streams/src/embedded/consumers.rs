//! How far each consumer has come, and which session speaks for it.

use std::collections::BTreeMap;

use super::segment::Mark;

/// One consumer.
#[derive(Clone, Debug)]
struct Consumer {
    /// Where it began, for one that has not committed yet.
    begin: u64,
    /// Its committed input position.
    input: Option<u64>,
    /// The end of its last frame with state changes; 0 if there is none.
    changes: u64,
    /// Counts the sessions opened for it: only the last may commit.
    generation: u64,
    /// Whether a step of it is being written.
    writing: bool,
}

/// How far a consumer has come, for metrics and for whoever decides on retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// Its name.
    pub name: String,
    /// Its committed input position; for one that has not committed, the position it began at. The log keeps
    /// everything from here on.
    pub input: u64,
    /// The end of its last frame with state changes, 0 if there is none: a snapshot of its state that stands for this
    /// position or a later one needs nothing of the log so far.
    pub changes: u64,
}

/// A step of a consumer, as it comes out of a frame.
#[derive(Clone, Debug)]
pub(super) struct StepMark {
    pub(super) consumer: String,
    /// The input position it commits.
    pub(super) input: u64,
    /// The position after its frame.
    pub(super) end: u64,
    /// Whether it has state changes.
    pub(super) has_changes: bool,
}

/// All consumers of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumers(BTreeMap<String, Consumer>);

impl Consumers {
    fn entry(&mut self, name: &str, begin: u64) -> &mut Consumer {
        if !self.0.contains_key(name) {
            let consumer = Consumer { begin, input: None, changes: 0, generation: 0, writing: false };
            self.0.insert(name.to_owned(), consumer);
        }
        self.0.get_mut(name).expect("it was just put there")
    }

    /// Takes over what a segment's header says.
    pub(super) fn load(&mut self, marks: &[Mark]) {
        for mark in marks {
            let consumer = self.entry(&mark.consumer, mark.input);
            consumer.input = Some(mark.input);
            consumer.changes = mark.changes;
        }
    }

    /// What the header of a segment that starts now is to say.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let mark = |(name, consumer): (&String, &Consumer)| {
            consumer.input.map(|input| Mark { consumer: name.clone(), input, changes: consumer.changes })
        };
        self.0.iter().filter_map(mark).collect()
    }

    /// A step is durable.
    pub(super) fn committed(&mut self, step: &StepMark) {
        let consumer = self.entry(&step.consumer, step.input);
        consumer.input = Some(step.input);
        consumer.writing = false;
        if step.has_changes {
            consumer.changes = step.end;
        }
    }

    /// Opens a new session, which begins at `first` if there has never been a commit; sessions before it are fenced.
    pub(super) fn take_over(&mut self, name: &str, first: u64) -> u64 {
        let consumer = self.entry(name, first);
        consumer.generation += 1;
        consumer.generation
    }

    /// Whether a session is the last one.
    pub(super) fn is_current(&self, name: &str, generation: u64) -> bool {
        self.0.get(name).is_some_and(|consumer| consumer.generation == generation)
    }

    /// Begins to write a step of a session; `false` if it is fenced.
    pub(super) fn begin(&mut self, name: &str, generation: u64) -> bool {
        match self.0.get_mut(name) {
            Some(consumer) if consumer.generation == generation => {
                consumer.writing = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether a step is being written.
    pub(super) fn is_writing(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|consumer| consumer.writing)
    }

    /// The committed input position, or where the consumer began; nothing for one that is unknown.
    pub(super) fn input(&self, name: &str) -> Option<u64> {
        self.0.get(name).map(|consumer| consumer.input.unwrap_or(consumer.begin))
    }

    /// The lowest position that any consumer still has to read from.
    pub(super) fn lowest_input(&self) -> Option<u64> {
        self.0.values().map(|consumer| consumer.input.unwrap_or(consumer.begin)).min()
    }

    /// What there is to tell of each, by name.
    pub(super) fn infos(&self) -> Vec<ConsumerInfo> {
        let info = |(name, consumer): (&String, &Consumer)| ConsumerInfo {
            name: name.clone(),
            input: consumer.input.unwrap_or(consumer.begin),
            changes: consumer.changes,
        };
        self.0.iter().map(info).collect()
    }
}
