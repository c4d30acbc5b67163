//! One session with the driver: how it is made, and how statements are prepared on it.
//!
//! One try for a conditional write, so that its error tells what happened to it. For everything idempotent the driver's
//! default policy, which takes another node when one is away, and a second request when one is slow: both do nothing on a
//! cluster of one node. Consistency and serial consistency are said with each statement.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::Statement;
use scylla::statement::prepared::PreparedStatement;
use tokio::time::timeout;

use super::claims::Statements as ClaimStatements;
use super::error::CqlError;
use super::model::Statements as ModelStatements;
use super::options::{Consistency, Options};

/// How long one connection, and with it a session, may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a server that knows such a bound may look for what it says of itself: it is heard of before the client gives up.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all of a session and its statements may take, on a server that has just started.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is silent for this long is asked whether it lives, and is given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// A read that has no answer after this long is sent to a second node too.
const SPECULATE_AFTER: Duration = Duration::from_millis(100);

/// Whose server it is. What only one of them understands is sent only to that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// ScyllaDB.
    Scylla,
    /// Apache Cassandra.
    Cassandra,
}

/// What a statement is, by which it is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers the same however often it is asked.
    Read,
    /// A read that sees every conditional write that was answered, and ends those that are half done.
    SerialRead,
    /// A write that may be repeated: it says its own timestamp.
    Upsert,
    /// A write with a condition, which is sent once.
    Conditional,
}

/// A session with all of its statements.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) session: Session,
    /// Those of the claims.
    pub(crate) claims: ClaimStatements,
    /// Those of the read model.
    pub(crate) model: ModelStatements,
}

impl Connected {
    /// Prepares everything on a session.
    pub(crate) async fn prepare(session: Session, options: &Options) -> Result<Connected, CqlError> {
        let profiles = Profiles::new(options);
        let preparing = Preparing { session: &session, options, profiles: &profiles };
        let prepare =
            async { Ok((ClaimStatements::prepare(&preparing).await?, ModelStatements::prepare(&preparing).await?)) };
        let (claims, model) = in_time(SESSION_TIMEOUT, "preparing the statements", prepare).await?;
        Ok(Connected { session, claims, model })
    }
}

/// Ends what takes too long.
pub(crate) async fn in_time<T>(
    time: Duration,
    what: &str,
    work: impl Future<Output = Result<T, CqlError>>,
) -> Result<T, CqlError> {
    match timeout(time, work).await {
        Ok(result) => result,
        Err(_) => Err(CqlError::Transient(format!("{what} took longer than {time:?}"))),
    }
}

/// Makes a session, which may take [`SESSION_TIMEOUT`].
pub(crate) async fn connect(options: &Options) -> Result<Session, CqlError> {
    let builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .default_execution_profile_handle(profile(options, Kind::Read))
        .connection_timeout(CONNECT_TIMEOUT)
        .metadata_request_serverside_timeout(METADATA_TIMEOUT)
        .metadata_request_clientside_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .keyspaces_to_fetch([&options.claims_keyspace, &options.keyspace])
        .fetch_full_schema_metadata(false);
    let builder = match &options.credentials {
        Some(credentials) => builder.user(&credentials.username, credentials.password.reveal()),
        None => builder,
    };
    let builder = match &options.tls {
        Some(tls) => tls.with(builder)?,
        None => builder,
    };
    let build = async { builder.build().await.map_err(CqlError::from) };
    let session = in_time(SESSION_TIMEOUT, "connecting", build).await?;
    let state = session.get_cluster_state();
    let present = state.get_nodes_info().iter().filter_map(|node| node.datacenter.clone()).collect();
    check_datacenter(options, &present)?;
    Ok(session)
}

/// Local consistency is that of the datacentre of whichever node is asked: two edges that ask different ones could both be
/// first.
fn check_datacenter(options: &Options, present: &BTreeSet<String>) -> Result<(), CqlError> {
    let listed = present.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match &options.datacenter {
        Some(name) if present.contains(name) => Ok(()),
        Some(name) => Err(CqlError::Permanent(format!("no node is in the datacenter {name:?}, but in {listed}"))),
        None if present.len() <= 1 || options.consistency == Consistency::Quorum => Ok(()),
        None => Err(CqlError::Permanent(format!("the nodes are in several datacenters: name one of {listed}"))),
    }
}

/// Whose server it is: only ScyllaDB tells the driver about shards when it connects.
pub(crate) fn server(session: &Session) -> Server {
    let state = session.get_cluster_state();
    let sharded = state.get_nodes_info().iter().any(|node| node.sharder().is_some());
    if sharded { Server::Scylla } else { Server::Cassandra }
}

/// Prepares statements, each as what it is.
#[derive(Debug)]
pub(crate) struct Preparing<'a> {
    session: &'a Session,
    options: &'a Options,
    profiles: &'a Profiles,
}

impl Preparing<'_> {
    /// The keyspaces' names, for the statements' texts.
    pub(crate) fn options(&self) -> &Options {
        self.options
    }

    /// Prepares a statement. Its partition key has to be bound whole, or the driver does not know whom to ask.
    pub(crate) async fn prepare(&self, kind: Kind, text: String) -> Result<PreparedStatement, CqlError> {
        let mut statement = self.session.prepare(Statement::new(text)).await?;
        if !statement.is_token_aware() {
            let text = statement.get_statement();
            return Err(CqlError::Permanent(format!("its partition key is not bound as a whole: {text}")));
        }
        statement.set_execution_profile_handle(Some(self.profiles.of(kind).clone()));
        statement.set_is_idempotent(kind != Kind::Conditional);
        Ok(statement)
    }
}

/// A profile for each kind of statement.
#[derive(Debug)]
struct Profiles {
    read: ExecutionProfileHandle,
    serial_read: ExecutionProfileHandle,
    upsert: ExecutionProfileHandle,
    conditional: ExecutionProfileHandle,
}

impl Profiles {
    fn new(options: &Options) -> Profiles {
        Profiles {
            read: profile(options, Kind::Read),
            serial_read: profile(options, Kind::SerialRead),
            upsert: profile(options, Kind::Upsert),
            conditional: profile(options, Kind::Conditional),
        }
    }

    fn of(&self, kind: Kind) -> &ExecutionProfileHandle {
        match kind {
            Kind::Read => &self.read,
            Kind::SerialRead => &self.serial_read,
            Kind::Upsert => &self.upsert,
            Kind::Conditional => &self.conditional,
        }
    }
}

/// How long one request of a kind may take. A claim that lost its answer has the time to look for it.
fn request_timeout(options: &Options, kind: Kind) -> Duration {
    match kind {
        Kind::Read | Kind::Upsert => options.request_timeout,
        Kind::Conditional => options.claim_timeout / 2,
        Kind::SerialRead => options.claim_timeout / 4,
    }
}

fn profile(options: &Options, kind: Kind) -> ExecutionProfileHandle {
    let balancing = DefaultPolicy::builder().token_aware(true);
    let balancing = match &options.datacenter {
        Some(name) => balancing.prefer_datacenter(name.clone()),
        None => balancing,
    };
    let profile = ExecutionProfile::builder()
        .consistency(if kind == Kind::SerialRead {
            options.consistency.serial_read()
        } else {
            options.consistency.driver()
        })
        .serial_consistency(Some(options.consistency.serial()))
        .request_timeout(Some(request_timeout(options, kind)))
        .load_balancing_policy(balancing.build());
    let speculation = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: SPECULATE_AFTER };
    match kind {
        Kind::Read => profile
            .retry_policy(Arc::new(DefaultRetryPolicy::new()))
            .speculative_execution_policy(Some(Arc::new(speculation))),
        // A second copy of a write would double the load of a server that is slow from load.
        Kind::Upsert => profile.retry_policy(Arc::new(DefaultRetryPolicy::new())),
        Kind::SerialRead | Kind::Conditional => profile.retry_policy(Arc::new(FallthroughRetryPolicy::new())),
    }
    .build()
    .into_handle()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(datacenter: Option<&str>, consistency: Consistency, present: &[&str], expected: Option<&str>) {
        let options = Options { datacenter: datacenter.map(str::to_owned), consistency, ..Options::default() };
        let present = present.iter().map(|name| (*name).to_owned()).collect();
        let error = check_datacenter(&options, &present).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
        assert!(error.unwrap_or_default().contains(expected.unwrap_or_default()));
    }

    #[test]
    fn local_is_one_datacenter_for_all() {
        let (local, all) = (Consistency::LocalQuorum, Consistency::Quorum);
        check(None, local, &["a"], None);
        check(None, local, &["a", "b"], Some("name one of a, b"));
        check(None, all, &["a", "b"], None);
        check(Some("b"), local, &["a", "b"], None);
        check(Some("c"), local, &["a", "b"], Some("\"c\", but in a, b"));
    }
}
