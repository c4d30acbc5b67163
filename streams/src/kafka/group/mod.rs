//! Reading as one of a group: the group says who reads which partitions, and the caller how far they are.
//!
//! For whoever keeps what is in the topics somewhere else, together with the positions that it has.
//!
//! # Constraints
//!
//! 1. Nothing is committed to Kafka: where a partition goes on is what [`GroupReader::begin`] was told, and it is read from
//!    nowhere else. A position that the log no longer has, or never had, is an error.
//! 2. A rebalance is heard of between two batches. What was polled of the assignment before is forgotten, and what was
//!    handed out of it is told from the rest by [`GroupReader::holds`].
//! 3. A caller that is busy for long stays a member, if it says so by [`GroupReader::hold`].
//!
//! What a member does not know yet it cannot tell: one that was away may still be told that it holds a batch, until the
//! brokers have told it otherwise. So what is done with a batch must do no harm when another member does it too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use self::places::Places;
use super::client::{Event, GroupConsumer, MemberClient, Membership, watermarks};
use super::errors::{answer, consuming_goes_on, failed};
use super::publisher::range;
use super::reader::{check, gone};
use super::{Connection, OptionError, Watch};
use crate::log::{Limits, LogError, Record, Topic};

mod places;

/// The next offset of each partition, by the number of its topic and its own.
pub type Positions = BTreeMap<(u16, u32), u64>;

/// How long one question about a partition may take, before the group is listened to.
const ASK_WAIT: Duration = Duration::from_millis(500);
/// Between two attempts at such questions.
const ASK_PAUSE: Duration = Duration::from_millis(50);
/// How long a poll waits at least: one that waits for nothing may take no more than a line of the client's log.
const LISTEN_MIN: Duration = Duration::from_millis(2);
/// A member that does not ask for records for as long has hung: its partitions go to others.
const POLL_INTERVAL: Duration = Duration::from_secs(120);

/// How a member reads.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// How long a member may be silent before its partitions go to others, 1 s to 30 min, and within what the brokers
    /// allow (`group.min.session.timeout.ms`). Default 10 s.
    pub session_timeout: Duration,
    /// Bytes of records that its client holds, 1 MiB to 1 GiB. Default 32 MiB.
    pub fetch_bytes_max: usize,
    /// What to do about a partition whose beginning has overtaken its position. Default [`Overtaken::Refuse`].
    pub overtaken: Overtaken,
}

/// What to do about a partition that no longer has everything from its position on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overtaken {
    /// It is an error, [`LogError::Gone`].
    Refuse,
    /// Begin with the first record that is there: an operator has decided so.
    GoOn,
}

impl Default for GroupOptions {
    fn default() -> Self {
        let session_timeout = Duration::from_secs(10);
        GroupOptions { session_timeout, fetch_bytes_max: 32 << 20, overtaken: Overtaken::Refuse }
    }
}

impl GroupOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// An option is out of range.
    pub fn check(&self) -> Result<(), OptionError> {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(30 * 60));
        range("session_timeout", &self.session_timeout, &min, &max, |value| format!("{value:?}"))?;
        range("fetch_bytes_max", &self.fetch_bytes_max, &(1 << 20), &(1 << 30), usize::to_string)
    }
}

/// What a turn found.
#[derive(Debug)]
pub enum Turn {
    /// These partitions are this member's from now on. None is read before [`GroupReader::begin`].
    Assigned(Vec<(u16, u32)>),
    /// These are its no longer, and everything that it was handed out of them is another's to read again.
    Revoked(Vec<(u16, u32)>),
    /// Records, or positions that moved over what is none.
    Batch(Batch),
    /// Nothing came within the wait.
    Nothing,
}

/// What was read at once.
#[derive(Debug)]
pub struct Batch {
    /// The records, in order within each partition. A tombstone has an empty value.
    pub records: Vec<Record>,
    /// The next offset of each partition that moved, once the records are done with.
    pub positions: Positions,
    generation: u64,
}

/// A member of a group that reads what is committed.
pub struct GroupReader {
    connection: Connection,
    group: String,
    options: GroupOptions,
    watch: Arc<Watch>,
    member: GroupConsumer,
    places: Places,
    /// Whether the client reads, and all that is located.
    reading: bool,
    /// How often partitions were given up.
    generation: u64,
    renewals: u64,
}

impl GroupReader {
    /// Joins the group of this name, which reads these topics. It connects by itself, now or when the brokers are there.
    ///
    /// # Errors
    /// The client cannot be made of these settings.
    pub fn open(
        connection: &Connection,
        group: &str,
        topics: &[Topic],
        options: GroupOptions,
    ) -> Result<GroupReader, LogError> {
        let group = connection.name(group);
        let watch = Arc::new(Watch::idle(&group));
        let places = Places::new(topics.iter().map(|topic| (connection.topic(*topic), topic.id)).collect());
        let member = join(connection, &group, &places, &options, &watch)?;
        let connection = connection.clone();
        let (reading, generation, renewals) = (false, 0, 0);
        Ok(GroupReader { connection, group, options, watch, member, places, reading, generation, renewals })
    }

    /// Says where the partitions assigned go on; one that is not among these at its beginning, so that it has lost what
    /// is no longer there.
    pub fn begin(&mut self, from: &Positions) {
        self.places.begin(from);
    }

    /// Takes what is available, up to `limits`, waiting no longer than `wait` for the first record, or hears what the
    /// group did. Records that were polled when it did something are forgotten.
    ///
    /// # Errors
    /// [`LogError::Gone`] if a partition no longer has all from its position on; [`LogError::Damaged`] if a position is
    /// after the end of its partition, which has another history then; [`LogError::Kafka`] for what waiting does not
    /// cure. The reader is of no more use then.
    pub fn next(&mut self, limits: &Limits, wait: Duration) -> Result<Turn, LogError> {
        if let Some(turn) = self.look()? {
            return Ok(turn);
        }
        if !self.locate()? {
            return self.listen(wait.min(ASK_PAUSE));
        }
        self.read_on()?;
        let deadline = Instant::now() + wait;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < limits.records_max.max(1) && (records.is_empty() || bytes < limits.bytes_max) {
            let left = deadline.saturating_duration_since(Instant::now()).max(LISTEN_MIN);
            let polled = self.member.poll(if records.is_empty() { left } else { Duration::ZERO });
            // A record or an error that came with an event is of the assignment before.
            if self.member.has_events() {
                break;
            }
            match polled {
                Some(Ok(message)) => {
                    let Some(record) = self.places.take(&message) else { continue };
                    bytes += record.key.len() + record.value.len();
                    records.push(record);
                }
                Some(Err(error)) => self.tolerate(error)?,
                None if !records.is_empty() || Instant::now() >= deadline => break,
                None => {}
            }
        }
        if let Some(event) = self.member.next_event() {
            return Ok(self.on_event(event));
        }
        let client = self.client_positions()?;
        self.places.advance(&client);
        let positions = self.places.moved();
        match records.is_empty() && positions.is_empty() {
            true => Ok(Turn::Nothing),
            false => Ok(Turn::Batch(Batch { records, positions, generation: self.generation })),
        }
    }

    /// Listens to the group for no longer than `wait`, while the caller has other things to do than to read. Whatever the
    /// client has fetched is fetched again when [`GroupReader::next`] goes on, so this is for waits of seconds.
    ///
    /// # Errors
    /// [`LogError::Kafka`], as for [`GroupReader::next`].
    pub fn hold(&mut self, wait: Duration) -> Result<Turn, LogError> {
        if let Some(turn) = self.look()? {
            return Ok(turn);
        }
        self.stop_reading()?;
        self.listen(wait)
    }

    /// Whether nothing was given up since this was handed out, as far as is known here.
    #[must_use]
    pub fn holds(&self, batch: &Batch) -> bool {
        batch.generation == self.generation
    }

    /// Offsets that could be read and have not been, over all partitions of this member, by what the client knew a second
    /// ago at most; control records count.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.places.lag(&self.watch.stats())
    }

    /// Whether everything has been handed out that was committed when the partitions were assigned.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.places.caught_up()
    }

    /// How often a client that had lost sight of all brokers for good was replaced.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.renewals
    }

    /// What the client says of itself and of the brokers.
    #[must_use]
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// What is to be told before anything is read.
    fn look(&mut self) -> Result<Option<Turn>, LogError> {
        if let Some(event) = self.member.next_event() {
            return Ok(Some(self.on_event(event)));
        }
        if let Some(code) = self.member.fatal() {
            return Err(failed("being a member of the group")(KafkaError::MessageConsumptionFatal(code)));
        }
        if !self.member.is_stranded() {
            return Ok(None);
        }
        tracing::warn!(
            group = self.group,
            "kafka: the member has lost sight of all brokers for good: another takes its place"
        );
        self.renewals += 1;
        self.member = join(&self.connection, &self.group, &self.places, &self.options, &self.watch)?;
        Ok(Some(self.on_event(Event::Revoked)))
    }

    fn on_event(&mut self, event: Event) -> Turn {
        self.reading = false;
        match event {
            Event::Assigned(partitions) => {
                let assigned = self.places.assign(&partitions);
                tracing::info!(group = self.group, partitions = assigned.len(), "partitions assigned");
                Turn::Assigned(assigned)
            }
            Event::Revoked => {
                self.generation += 1;
                let revoked = self.places.revoke();
                tracing::info!(group = self.group, partitions = revoked.len(), "partitions given up");
                Turn::Revoked(revoked)
            }
        }
    }

    /// Asks whether the partitions have what was asked for; `false` if the brokers have not answered yet.
    fn locate(&mut self) -> Result<bool, LogError> {
        while let Some((partition, asked)) = self.places.to_locate() {
            let name = self.places.name(partition);
            let marks = watermarks(self.member.client(), name, partition.1, ASK_WAIT);
            let marks = answer("asking where a partition begins and ends", marks)?;
            let Some((first, end)) =
                marks.and_then(|(first, end)| Some((first.try_into().ok()?, end.try_into().ok()?)))
            else {
                return Ok(false);
            };
            let position = match check(name, partition.1, Some(asked), first, end) {
                Err(LogError::Gone { asked, first }) => {
                    tracing::error!("{name}/{} begins at {first}, and was read up to {asked}", partition.1);
                    match self.options.overtaken {
                        Overtaken::Refuse => return Err(LogError::Gone { asked, first }),
                        Overtaken::GoOn => first,
                    }
                }
                checked => checked?,
            };
            self.places.locate(partition, position, end);
        }
        Ok(true)
    }

    /// Has the client read everything that is located, if it does not.
    fn read_on(&mut self) -> Result<(), LogError> {
        if self.reading {
            return Ok(());
        }
        self.reading = true;
        self.member.assign(&self.places.located()).map_err(failed("assigning partitions"))?;
        let stale = self.client_positions()?;
        self.places.restart(&stale);
        Ok(())
    }

    fn client_positions(&self) -> Result<TopicPartitionList, LogError> {
        self.member.client().position().map_err(failed("asking the client for its positions"))
    }

    fn stop_reading(&mut self) -> Result<(), LogError> {
        if !std::mem::take(&mut self.reading) {
            return Ok(());
        }
        self.member.assign(&[]).map_err(failed("assigning no partitions"))
    }

    /// Hears the group, and nothing else.
    fn listen(&mut self, wait: Duration) -> Result<Turn, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(LISTEN_MIN);
            let polled = self.member.poll(left);
            if !self.member.has_events()
                && let Some(Err(error)) = polled
            {
                self.tolerate(error)?;
            }
            if let Some(event) = self.member.next_event() {
                return Ok(self.on_event(event));
            }
            if Instant::now() >= deadline {
                return Ok(Turn::Nothing);
            }
        }
    }

    fn tolerate(&self, error: KafkaError) -> Result<(), LogError> {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            // With no reset, this is how the client says that an offset is out of range; not of which partition.
            return Err(gone(self.member.client(), self.places.positions(), error));
        }
        if !consuming_goes_on(&error) {
            return Err(failed("consuming")(error));
        }
        tracing::debug!(%error, "consuming goes on by itself");
        Ok(())
    }
}

fn join(
    connection: &Connection,
    group: &str,
    places: &Places,
    options: &GroupOptions,
    watch: &Arc<Watch>,
) -> Result<GroupConsumer, LogError> {
    let membership = Membership {
        group,
        client_id: group,
        // Whoever takes its place begins where the caller says, so there is nothing to keep a place for.
        instance: None,
        session_timeout: options.session_timeout,
        poll_interval: POLL_INTERVAL,
        fetch_bytes_max: options.fetch_bytes_max,
    };
    GroupConsumer::member(connection, &membership, &places.topics(), watch)
}

impl fmt::Debug for GroupReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupReader")
            .field("group", &self.group)
            .field("places", &self.places)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
