//! Topics: what there is, what is wanted, and where the two contradict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Connection;
use super::errors::{ask, failed, timed_out};
use super::watch::{Watch, Watched};
use crate::log::LogError;

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicWanted {
    /// The name, without the installation's prefix.
    pub name: String,
    /// How many partitions it has; a key's partition depends on it. At least 1.
    pub partitions: u32,
    /// On how many brokers each partition is; what the cluster has for new topics, if `None`.
    pub replication: Option<u16>,
    /// Settings, by Kafka's names, such as `cleanup.policy`.
    pub configs: BTreeMap<String, String>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The name, without the installation's prefix.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// On how many brokers each partition is; the least of them.
    pub replication: u16,
    /// All of its settings, the cluster's defaults among them.
    pub configs: BTreeMap<String, String>,
}

/// What `found` says against `wanted`, each a sentence with what to do; none if it will do. More replicas than wanted
/// will.
#[must_use]
pub fn contradictions(wanted: &TopicWanted, found: &TopicDescription) -> Vec<String> {
    let name = &wanted.name;
    let mut against = Vec::new();
    if found.partitions != wanted.partitions {
        let (has, wants) = (found.partitions, wanted.partitions);
        against.push(format!(
            "topic {name} has {has} partitions and must have {wants}: keys would be elsewhere, so it has to be made anew"
        ));
    }
    if let Some(replication) = wanted.replication.filter(|wants| found.replication < *wants) {
        let has = found.replication;
        against.push(format!(
            "topic {name} is on {has} brokers and must be on {replication}: reassign it with kafka-reassign-partitions"
        ));
    }
    for (setting, wants) in &wanted.configs {
        let has = found.configs.get(setting);
        if has.is_none_or(|has| !same(setting, has, wants)) {
            let has = has.map_or("not known to the brokers".to_owned(), |has| format!("{has:?}"));
            against
                .push(format!("topic {name}: {setting} is {has} and must be {wants:?}: alter it with kafka-configs"));
        }
    }
    against
}

/// Whether two values of a setting mean the same: a clean-up policy is a list without order.
fn same(setting: &str, left: &str, right: &str) -> bool {
    let set = |list: &str| list.split(',').map(|item| item.trim().to_owned()).collect::<BTreeSet<_>>();
    left == right || (setting == "cleanup.policy" && set(left) == set(right))
}

/// Looks at topics and makes them. Its calls block, up to the wait that they are given.
pub struct Admin {
    connection: Connection,
    client: AdminClient<Watched>,
}

impl Admin {
    /// Makes the client. It connects by itself, now or when the brokers are there.
    ///
    /// # Errors
    /// [`LogError::Kafka`] if librdkafka does not take the settings.
    pub fn open(connection: &Connection, client_id: &str) -> Result<Admin, LogError> {
        let mut config = connection.client(client_id);
        let watch = Watch::new(client_id, &mut config);
        let context = format!("making the client {client_id}");
        let client = config.create_with_context(Watched(watch)).map_err(failed(context))?;
        Ok(Admin { connection: connection.clone(), client })
    }

    /// The topics of these names, without the installation's prefix, that there are.
    ///
    /// # Errors
    /// [`LogError::Kafka`] if the brokers did not answer in time or refused.
    pub fn describe(&self, names: &[&str], wait: Duration) -> Result<Vec<TopicDescription>, LogError> {
        let deadline = Instant::now() + wait;
        let context = || "listing the topics".to_owned();
        // All of them: to ask a cluster for one by name may make it.
        let metadata = ask(context, deadline, |wait| self.client.inner().fetch_metadata(None, wait))?;
        let mut found = Vec::new();
        for name in names {
            let full = self.connection.name(name);
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == full) else { continue };
            if let Some(error) = topic.error() {
                return Err(failed(format!("describing the topic {full}"))(KafkaError::MetadataFetch(error.into())));
            }
            let replicas = topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
            found.push(TopicDescription {
                name: (*name).to_owned(),
                partitions: u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX),
                replication: u16::try_from(replicas).unwrap_or(u16::MAX),
                configs: self.configs(&full, deadline)?,
            });
        }
        Ok(found)
    }

    fn configs(&self, full: &str, deadline: Instant) -> Result<BTreeMap<String, String>, LogError> {
        let context = || format!("asking for the settings of the topic {full}");
        let asked_for = [ResourceSpecifier::Topic(full)];
        let mut answers = ask(context, deadline, |wait| {
            let options = AdminOptions::new().request_timeout(Some(wait));
            let asked = self.client.describe_configs(&asked_for, &options);
            answer(asked, deadline).unwrap_or(Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)))
        })?;
        let resource = match answers.pop() {
            Some(Ok(resource)) => resource,
            Some(Err(code)) => return Err(failed(context())(KafkaError::AdminOp(code))),
            None => return Err(timed_out(context())),
        };
        Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Makes these topics and returns the names of those that were not there. Kafka makes each for itself: after an
    /// error some may be there, and making them again does no harm.
    ///
    /// # Errors
    /// [`LogError::Kafka`] if the brokers did not answer in time, or would not make one of them.
    pub fn create(&self, wanted: &[TopicWanted], wait: Duration) -> Result<Vec<String>, LogError> {
        let deadline = Instant::now() + wait;
        let mut created = Vec::new();
        for topic in wanted {
            let full = self.connection.name(&topic.name);
            let context = format!("making the topic {full}");
            let replication = topic.replication.map_or(-1, i32::from);
            let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
            let new = NewTopic::new(&full, partitions, TopicReplication::Fixed(replication));
            let new = [topic.configs.iter().fold(new, |new, (name, value)| new.set(name, value))];
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let options = AdminOptions::new().request_timeout(Some(left)).operation_timeout(Some(left));
            let made = self.client.create_topics(&new, &options);
            let made = answer(made, deadline).ok_or_else(|| timed_out(context.clone()))?.map_err(failed(&context))?;
            match made.into_iter().next() {
                Some(Ok(_)) => created.push(topic.name.clone()),
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
                Some(Err((_, code))) => return Err(failed(context)(KafkaError::AdminOp(code))),
                None => return Err(timed_out(context)),
            }
        }
        self.await_topics(wanted, deadline)?;
        Ok(created)
    }

    /// Waits until the brokers know of the topics: the controller makes them, and tells the brokers after that.
    fn await_topics(&self, wanted: &[TopicWanted], deadline: Instant) -> Result<(), LogError> {
        let context = || "waiting until the brokers know of new topics".to_owned();
        ask(context, deadline, |wait| {
            let metadata = self.client.inner().fetch_metadata(None, wait)?;
            let known = |topic: &TopicWanted| {
                let full = self.connection.name(&topic.name);
                metadata.topics().iter().any(|topic| topic.name() == full && topic.error().is_none())
            };
            let all = wanted.iter().all(known);
            // What passes, so that it is asked again.
            all.then_some(()).ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::WaitCache))
        })
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// Wakes the thread that waits for an answer.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer, but not past the deadline. The client's answers need no runtime: a thread of its own gives
/// them.
fn answer<T>(question: impl Future<Output = T>, deadline: Instant) -> Option<T> {
    let mut question = pin!(question);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(answer) = question.as_mut().poll(&mut context) {
            return Some(answer);
        }
        thread::park_timeout(deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(configs: &[(&str, &str)]) -> BTreeMap<String, String> {
        configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn check(change: impl FnOnce(&mut TopicDescription), expected: &[&str]) {
        let wanted = TopicWanted {
            name: "balances".to_owned(),
            partitions: 12,
            replication: Some(3),
            configs: configs(&[("cleanup.policy", "compact,delete"), ("min.insync.replicas", "2")]),
        };
        let mut found = TopicDescription {
            name: "balances".to_owned(),
            partitions: 12,
            replication: 3,
            configs: configs(&[("cleanup.policy", "delete, compact"), ("min.insync.replicas", "2"), ("x", "y")]),
        };
        change(&mut found);
        assert_eq!(contradictions(&wanted, &found), expected);
    }

    #[test]
    fn a_contradiction_names_the_setting_both_values_and_the_remedy() {
        check(|_| {}, &[]);
        check(|found| found.replication = 5, &[]);
        check(
            |found| found.partitions = 6,
            &["topic balances has 6 partitions and must have 12: keys would be elsewhere, so it has to be made anew"],
        );
        check(
            |found| found.replication = 1,
            &["topic balances is on 1 brokers and must be on 3: reassign it with kafka-reassign-partitions"],
        );
        check(
            |found| found.configs = configs(&[("cleanup.policy", "delete"), ("min.insync.replicas", "2")]),
            &[
                "topic balances: cleanup.policy is \"delete\" and must be \"compact,delete\": alter it with kafka-configs",
            ],
        );
        check(
            |found| drop(found.configs.remove("min.insync.replicas")),
            &["topic balances: min.insync.replicas is not known to the brokers and must be \"2\": alter it with \
               kafka-configs"],
        );
    }
}
