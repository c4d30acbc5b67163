//! Reading the topic `registry` from its beginning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::records::RegistrySealed;
use schemas::registry::{Entries, Fold, FoldError, Folded, Registry, Secrets};
use schemas::topics::REGISTRY;
use streams::kafka::{Connection, KafkaReader};
use streams::log::Limits;
use streams::{LogError, Record};

/// A reader of the topic, and what its records have made so far.
#[derive(Debug)]
pub(super) struct Reading {
    reader: KafkaReader,
    fold: Fold,
    /// The fold as of the last seal, once an entry has come after it: that one counts for nothing before the next seal.
    as_sealed: Option<Fold>,
    sealed: bool,
}

/// What a batch of records did.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// There was a seal among them.
    pub(super) sealed: bool,
    /// Records that did not fold, each told with its offset.
    pub(super) refused: Vec<String>,
}

impl Reading {
    /// Opens a reader at the beginning of the topic. Blocks, up to half a minute when the brokers are away.
    ///
    /// # Errors
    /// As [`KafkaReader::open`].
    pub(super) fn open(connection: &Connection) -> Result<Reading, LogError> {
        let topic = processors::topic(&REGISTRY);
        let reader = KafkaReader::open(connection, "registry", &[topic], &BTreeMap::new())?;
        Ok(Reading { reader, fold: Fold::default(), as_sealed: None, sealed: false })
    }

    /// Takes the records that are there, waiting no longer than `wait` for the first of them.
    ///
    /// # Errors
    /// As [`KafkaReader::next`]: open another then.
    pub(super) fn next(&mut self, wait: Duration) -> Result<Vec<Record>, LogError> {
        self.reader.next(&Limits::default(), wait)
    }

    /// Folds records that [`Reading::next`] has handed out.
    pub(super) fn apply(&mut self, records: &[Record]) -> Progress {
        let mut progress = Progress::default();
        for record in records {
            let value = (!record.value.is_empty()).then_some(&*record.value);
            let is_seal = record.key == schemas::registry::SEALED_KEY;
            if self.sealed && !is_seal {
                self.as_sealed = Some(self.fold.clone());
                self.sealed = false;
            }
            match self.fold.apply(&record.key, value) {
                Ok(Folded::Entry) => {}
                Ok(Folded::Seal) => (self.as_sealed, self.sealed, progress.sealed) = (None, true, true),
                Err(error) => progress.refused.push(format!("offset {}: {error}", record.offset)),
            }
        }
        progress
    }

    /// Whether everything that was committed when the topic was opened has been handed out.
    pub(super) fn caught_up(&self) -> bool {
        self.reader.caught_up()
    }

    /// The registry as of the last seal.
    ///
    /// # Errors
    /// As [`Fold::registry`].
    pub(super) fn registry(&self, secrets: Secrets<'_>) -> Result<Arc<Registry>, FoldError> {
        self.sealed_fold().registry(secrets)
    }

    /// How many secrets of that registry are not encrypted.
    pub(super) fn plain_secrets(&self) -> usize {
        self.sealed_fold().entries().plain_secrets()
    }

    fn sealed_fold(&self) -> &Fold {
        self.as_sealed.as_ref().unwrap_or(&self.fold)
    }

    /// The entries that stand, whether they are sealed or not: what the next change differs from.
    pub(super) fn entries(&self) -> &Entries {
        self.fold.entries()
    }

    /// Whether all entries that stand are sealed.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// The last seal, if there is one.
    pub(super) fn seal(&self) -> Option<&RegistrySealed> {
        self.fold.seal()
    }
}
