//! A change of the registry on Kafka: what it comes to, and how it is written.

use schemas::Timestamp;
use schemas::registry::{Difference, EncryptionError, Entries, EntryChange, Secrets};
use schemas::topics::REGISTRY;
use streams::kafka::{AtomicWriter, Connection, Upsert};
use streams::{Clock, LogError, SystemClock};

use super::reading::Reading;
use crate::error::CliError;
use crate::patience::{Patience, STEP};

/// What the transactional id is made of: two at once must have the same.
const NAME: &str = "apply";

/// What there is to do.
pub(super) struct Plan {
    difference: Difference,
    /// The entries that are to stand.
    wanted: Entries,
    /// The version that the change makes.
    version: i64,
    /// Why what stands is no registry, although nothing is to be changed.
    pub(super) unsound: Option<String>,
}

/// What is to stand, made of what does.
pub(super) type Wanted<'a> = dyn Fn(&Entries) -> Result<Entries, CliError> + 'a;

impl Plan {
    /// Reads what stands on the topic, and works out what has to change.
    pub(super) fn make(connection: &Connection, wanted: &Wanted<'_>) -> Result<Plan, CliError> {
        let reading = read_to_end(connection).map_err(failed)?;
        let wanted = wanted(reading.entries())?;
        let difference = Difference::between(reading.entries(), &wanted);
        // Whether its secrets can be read is for who encrypts them to say.
        let unsound = match reading.registry(Secrets::Leave) {
            _ if !reading.is_sealed() => Some("its last change was not sealed".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let version = reading.seal().map_or(0, |seal| seal.version.max(0)).saturating_add(1);
        Ok(Plan { difference, wanted, version, unsound })
    }

    /// Writes the change and `more` together, and says what changed, in a line without a secret.
    pub(super) fn write(connection: &Connection, wanted: &Wanted<'_>, more: &[Upsert]) -> Result<String, CliError> {
        let writer = AtomicWriter::open(connection, NAME).map_err(failed)?;
        // Another may have changed it before the name was taken over; nobody does from now on.
        let plan = Plan::make(connection, wanted)?;
        if plan.is_empty() {
            return Ok(plan.nothing());
        }
        let seal = plan.wanted.seal(plan.version, Timestamp(SystemClock.now_ms()));
        let entries = plan.difference.records(&seal).map(|(key, value)| (processors::topic(&REGISTRY), key, value));
        let records: Vec<Upsert> = entries.chain(more.iter().cloned()).collect();
        writer.write(&records).map_err(failed)?;
        let (entries, clicks) = (plan.wanted.len(), more.len());
        Ok(format!("{}: version {} (entries: {entries}, clicks recorded: {clicks})", plan.told(), plan.version))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.difference.is_empty() && self.unsound.is_none()
    }

    /// What is said where nothing changes.
    pub(super) fn nothing(&self) -> String {
        format!("nothing changes: version {} of the registry stands", self.version - 1)
    }

    /// Every change, a line each.
    pub(super) fn preview(&self) -> String {
        let changes = self.difference.iter().map(|(key, change)| {
            let sign = match change {
                EntryChange::Added(_) => '+',
                EntryChange::Changed(_) => '~',
                EntryChange::Removed => '-',
            };
            format!("{sign} {}\n", key.shown())
        });
        let changes: String = changes.collect();
        format!("{changes}{}: would be version {}; nothing was written", self.told(), self.version)
    }

    /// What changes, in one line.
    fn told(&self) -> String {
        match &self.unsound {
            Some(reason) if self.difference.is_empty() => format!("sealed again ({reason})"),
            _ => self.difference.to_string(),
        }
    }
}

fn read_to_end(connection: &Connection) -> Result<Reading, LogError> {
    let (mut reading, mut patience) = (Reading::open(connection)?, Patience::new());
    while !reading.caught_up() {
        let records = reading.next(STEP)?;
        for refused in reading.apply(&records).refused {
            tracing::warn!("a record of the registry is refused, and counts for nothing: {refused}");
        }
        patience.heard(records.len(), REGISTRY.name)?;
    }
    Ok(reading)
}

fn failed(error: LogError) -> CliError {
    CliError::Failed(match error {
        LogError::Replaced { .. } => {
            "another conversions apply took over: nothing of this one was written; look at what stands now, and run it \
             again if it is still wanted"
                .to_owned()
        }
        other => format!("Kafka: {other}"),
    })
}

/// Why secrets were not encrypted, with what to do about it.
pub(super) fn not_encrypted(error: &EncryptionError) -> CliError {
    CliError::Failed(match error {
        EncryptionError::Unreadable(unreadable) => format!(
            "{unreadable}; nothing was written: give that master key too, after the present one, or, if it is lost, write all \
             secrets of a registry file anew with conversions apply --reencrypt"
        ),
        EncryptionError::NoMasterKey | EncryptionError::NoKey(_) | EncryptionError::TooLarge { .. } => {
            format!("{error}; nothing was written")
        }
    })
}
