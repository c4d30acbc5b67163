//! Every setting, as data: the parser, the environment, the reference page and the example follow this one table.

/// What a setting's value is, and its range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A whole number with a unit: `ms`, `s`, `m`, `h` or `d`; from the least to the most, both included.
    Duration(&'static str, &'static str),
    /// A whole number of bytes, or one with a unit: `KiB`, `MiB` or `GiB`; from the least to the most.
    Bytes(&'static str, &'static str),
    /// A whole number from the least to the most.
    Count(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address and a port.
    Address,
    /// A file or a folder.
    Path,
    /// A list of `host:port`, with commas, such as this one.
    Hosts(&'static str),
    /// Part of names in Kafka: letters, digits, `.`, `_` and `-`.
    Name,
    /// As a name, or nothing at all.
    Prefix,
    /// The name of a keyspace: small letters, digits and `_`.
    Keyspace,
    /// Any text.
    Text,
    /// Any text, which nobody is shown.
    Secret,
}

/// What holds where neither the file nor the environment says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// This value.
    Value(&'static str),
    /// The machine's name.
    HostName,
    /// Nothing: a command that needs the setting refuses to run.
    Nothing,
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Section and field, with a dot.
    pub(crate) name: &'static str,
    /// What its value is.
    pub(crate) kind: Kind,
    /// Its default.
    pub(crate) preset: Preset,
    /// The settings of librdkafka that it decides, so that they cannot be passed on as well.
    pub(crate) client: &'static [&'static str],
    /// What it does, for the reference page.
    pub(crate) doc: &'static str,
}

/// What the names of settings that are passed on to the Kafka client begin with.
pub(crate) const CLIENT: &str = "kafka.client.";
/// What the names of environment variables begin with.
pub(crate) const VARIABLE: &str = "CONVERSIONS_";

const fn setting(name: &'static str, kind: Kind, preset: &'static str, doc: &'static str) -> Setting {
    Setting { name, kind, preset: Preset::Value(preset), client: &[], doc }
}

impl Setting {
    const fn decides(mut self, client: &'static [&'static str]) -> Setting {
        self.client = client;
        self
    }

    const fn preset(mut self, preset: Preset) -> Setting {
        self.preset = preset;
        self
    }

    /// The section of the file that it stands in, and its field there.
    pub(crate) fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').expect("a setting has a section")
    }

    /// The environment variable that overrides the file.
    pub(crate) fn variable(&self) -> String {
        format!("{VARIABLE}{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// A setting of the table by its name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.name == name)
}

const MILLION: u64 = 1_000_000;

/// Every setting but those that are passed on, section by section.
pub(crate) const TABLE: &[Setting] = &[
    setting("kafka.bootstrap", Kind::Hosts("kafka-1:9092,kafka-2:9092"), "", "Brokers to begin with; the others are learnt from them. Must be given.")
        .preset(Preset::Nothing)
        .decides(&["bootstrap.servers", "metadata.broker.list"]),
    setting(
        "kafka.prefix",
        Kind::Prefix,
        "",
        "What the names of all topics, groups and transactional ids begin with, so that installations share a cluster.",
    ),
    setting(
        "cql.contact_points",
        Kind::Hosts("scylla-1:9042,scylla-2:9042"),
        "",
        "Nodes of ScyllaDB or Cassandra to begin with; the others are learnt from them. Edges then share claims and read model \
         there; without it each edge has its own in `ingest.data`.",
    )
    .preset(Preset::Nothing),
    setting("cql.username", Kind::Text, "", "Whom to log in as; `cql.password` belongs to it.").preset(Preset::Nothing),
    setting("cql.password", Kind::Secret, "", "Best given by its variable. It is never shown.").preset(Preset::Nothing),
    setting(
        "cql.tls_ca_file",
        Kind::Path,
        "",
        "Certificates, as PEM, of the authorities that the nodes' certificates must be of. Given, TLS is spoken, which needs \
         a build with the feature `tls`. A node's certificate must name, among its alternative names, the IP address that the \
         node is reached at.",
    )
    .preset(Preset::Nothing),
    setting(
        "cql.tls_cert_file",
        Kind::Path,
        "",
        "Our own certificate, as PEM, and after it those of its issuers, for nodes that ask for one; `cql.tls_key_file` belongs \
         to it.",
    )
    .preset(Preset::Nothing),
    setting("cql.tls_key_file", Kind::Path, "", "The private key of `cql.tls_cert_file`, as PEM, without a passphrase.")
        .preset(Preset::Nothing),
    setting(
        "cql.datacenter",
        Kind::Name,
        "",
        "The data centre whose nodes are asked, and that `conversions migrate` has hold the keyspaces. Not given, it is that of \
         the node that answers first: give it where there are several.",
    )
    .preset(Preset::Nothing),
    setting("cql.keyspace", Kind::Keyspace, "conversions", "The keyspace of the read model."),
    setting(
        "cql.claims_keyspace",
        Kind::Keyspace,
        "conversions_claims",
        "The keyspace of the claims, which are compared and set; not `cql.keyspace`.",
    ),
    setting(
        "cql.replication_factor",
        Kind::Count(1, 10),
        "3",
        "Nodes that hold each row. Only `conversions migrate` looks at it, when it makes a keyspace.",
    ),
    setting(
        "cql.request_timeout",
        Kind::Duration("10ms", "1m"),
        "1s",
        "How long one request may take; what an edge asks ends earlier, with `ingest.store_deadline`.",
    ),
    setting(
        "cql.claims_in_flight_max",
        Kind::Count(1, 4_096),
        "32",
        "Most claims of a process under way at once; others wait for a place.",
    ),
    setting(
        "cql.writes_in_flight_max",
        Kind::Count(1, 4_096),
        "128",
        "Most writes of the read model of one worker under way at once.",
    ),
    setting(
        "registry.master_key_file",
        Kind::Path,
        "",
        "The master keys that signing secrets on Kafka are encrypted under: 64 hexadecimal digits each, as `openssl rand -hex 32` \
         prints, a line each. The first encrypts, the others still decrypt. For `conversions ingest`, `webhooks`, `apply` and \
         `reencrypt`; nobody else needs it. Others must not be able to read the file.",
    )
    .preset(Preset::Nothing),
    setting(
        "registry.master_key",
        Kind::Secret,
        "",
        "The same without a file, with commas; looked at if there is no `registry.master_key_file`. Best given by its \
         variable. It is never shown.",
    )
    .preset(Preset::Nothing),
    setting("ingest.listen", Kind::Address, "127.0.0.1:8080", "Where the edge listens for HTTP."),
    setting(
        "ingest.service_token_file",
        Kind::Path,
        "",
        "The token that a service of yours records clicks with, by `POST /internal/v1/clicks`: 32 to 256 visible ASCII \
         characters, and nothing else. Others must not be able to read the file. Without a token there is no such route.",
    )
    .preset(Preset::Nothing),
    setting(
        "ingest.service_token",
        Kind::Secret,
        "",
        "The same without a file; looked at if there is no `ingest.service_token_file`. Best given by its variable. It is \
         never shown.",
    )
    .preset(Preset::Nothing),
    setting(
        "ingest.admin_tokens_file",
        Kind::Path,
        "",
        "Who may use the admin API, for reviews and payouts: a line each with a name, a role (`administrator`, `reviewer` or `auditor`), the SHA-256 of a \
         token of at least 32 characters in hexadecimal and, if it ends, the instant, as `2026-12-31T00:00:00Z`. Others must \
         not be able to read the file. Without it there is no admin API.",
    )
    .preset(Preset::Nothing),
    setting("ingest.data", Kind::Path, "./data/ingest", "Where the edge keeps its claims and read model; made if it is not there. Not used with `cql.contact_points`."),
    setting("ingest.body_bytes_max", Kind::Bytes("1KiB", "1MiB"), "64KiB", "Largest body of a request."),
    setting(
        "ingest.batch_bytes_max",
        Kind::Bytes("64KiB", "16MiB"),
        "4MiB",
        "Largest body of a batch; at least `ingest.body_bytes_max`.",
    ),
    setting(
        "ingest.batch_bodies_max",
        Kind::Count(1, 10_000),
        "16",
        "Most batches at once with bodies larger than `ingest.body_bytes_max`; those beyond are refused with 503.",
    ),
    setting("ingest.body_deadline", Kind::Duration("100ms", "5m"), "10s", "How long a body may take to arrive."),
    setting(
        "ingest.idle_deadline",
        Kind::Duration("100ms", "10m"),
        "30s",
        "How long a connection may be idle, or take over the head of a request, or take nothing of an answer.",
    ),
    setting(
        "ingest.request_deadline",
        Kind::Duration("100ms", "5m"),
        "10s",
        "How long a report may wait for an equal one and for the log together; at least `ingest.ack_deadline`.",
    ),
    setting(
        "ingest.ack_deadline",
        Kind::Duration("10ms", "5m"),
        "5s",
        "How long the log may take to say that an event is durable; then its sender is told to come again.",
    ),
    setting(
        "ingest.store_deadline",
        Kind::Duration("10ms", "1m"),
        "1s",
        "How long the claims or the read model may take over one question.",
    ),
    setting(
        "ingest.shutdown_deadline",
        Kind::Duration("0s", "10m"),
        "20s",
        "How long a shutdown waits for the requests it has accepted.",
    ),
    setting("ingest.retry_after", Kind::Duration("1s", "1h"), "1s", "What `Retry-After` says, in whole seconds."),
    setting(
        "ingest.in_flight_max",
        Kind::Count(1, MILLION),
        "4096",
        "Most API requests in flight at once, a batch being as many as it has items; those beyond are refused with 503.",
    ),
    setting(
        "ingest.merchant_share_percent",
        Kind::Count(1, 100),
        "75",
        "How much of `ingest.in_flight_max` one merchant may take up, in percent.",
    ),
    setting(
        "ingest.lane_seats_max",
        Kind::Count(1, MILLION),
        "128",
        "Most requests at once about one order, one status of it or one idempotency key.",
    ),
    setting(
        "ingest.trusted_proxies",
        Kind::Count(0, 16),
        "0",
        "Proxies in front that are trusted to append to `X-Forwarded-For` whom a request came from; with 0 the address of \
         the connection is the sender's.",
    ),
    setting(
        "ingest.replays_max",
        Kind::Count(1, 10 * MILLION),
        "262144",
        "Signatures remembered in the process for keys with `strict_replay`, about 100 bytes each; those beyond are refused \
         with 503.",
    ),
    setting(
        "ingest.connections_max",
        Kind::Count(1, MILLION),
        "16384",
        "Most connections open at once; those beyond wait in the system's backlog.",
    ),
    setting(
        "ingest.recent_claims_max",
        Kind::Count(1, 100 * MILLION),
        "65536",
        "Recent claims remembered in the process, about 100 bytes each.",
    ),
    setting(
        "ingest.clicks_in_flight_max",
        Kind::Count(1, MILLION),
        "4096",
        "Most clicks on their way into the log; of those beyond, the shopper is redirected and the click is lost, and a service that records one is told to come again.",
    ),
    setting(
        "ingest.queue_messages_max",
        Kind::Count(1, 10 * MILLION),
        "65536",
        "Most messages waiting to be written to Kafka; then reports are refused with 503.",
    )
    .decides(&["queue.buffering.max.messages"]),
    setting(
        "ingest.queue_bytes_max",
        Kind::Bytes("1MiB", "16GiB"),
        "64MiB",
        "Most bytes of keys and values waiting to be written to Kafka; then reports are refused with 503.",
    )
    .decides(&["queue.buffering.max.kbytes"]),
    setting(
        "ingest.linger",
        Kind::Duration("0ms", "1s"),
        "2ms",
        "How long a message waits for others to be sent with it: part of every report's latency.",
    )
    .decides(&["linger.ms", "queue.buffering.max.ms"]),
    setting(
        "ingest.compression",
        Kind::Choice(&["none", "lz4", "snappy", "gzip"]),
        "lz4",
        "How batches of messages are compressed; `none` is cheapest where the brokers are on the same machine.",
    )
    .decides(&["compression.type", "compression.codec"]),
    setting(
        "ingest.delivery_timeout",
        Kind::Duration("2s", "15m"),
        "30s",
        "How long Kafka is tried for one message before it counts as failed; its report keeps its place in flight until then.",
    )
    .decides(&["message.timeout.ms", "delivery.timeout.ms"]),
    setting(
        "processors.instance",
        Kind::Name,
        "",
        "This process's stable name, unlike that of every other and the same after a restart: group membership and \
         transactional ids are made of it, and a second process of the same name fences the first.",
    )
    .preset(Preset::HostName)
    .decides(&["group.instance.id", "transactional.id"]),
    setting("processors.workers", Kind::Count(1, 64), "1", "Threads of each processor; those beyond the partitions are idle."),
    setting(
        "processors.data",
        Kind::Path,
        "./data/processors",
        "Where state is kept; made if it is not there. A cache of the changelogs: kept, a restart is quick.",
    ),
    setting(
        "processors.commit_interval",
        Kind::Duration("0ms", "10s"),
        "25ms",
        "How long a step gathers records before it commits: longer is more throughput and more latency.",
    ),
    setting("processors.records_max", Kind::Count(1, MILLION), "2000", "Most records of one step."),
    setting("processors.bytes_max", Kind::Bytes("64KiB", "256MiB"), "4MiB", "Most bytes of keys and values of one step."),
    setting(
        "processors.session_timeout",
        Kind::Duration("1s", "30m"),
        "10s",
        "How long a process may be away before others take over its partitions. The brokers have a range of their own: \
         by default 6s to 30m.",
    )
    .decides(&["session.timeout.ms"]),
    setting(
        "processors.transaction_timeout",
        Kind::Duration("1s", "15m"),
        "10s",
        "How long a step's transaction may take; after a crash its readers wait as long.",
    )
    .decides(&["transaction.timeout.ms"]),
    setting("processors.metrics_listen", Kind::Address, "127.0.0.1:8081", "Where the processors serve metrics and health."),
    setting(
        "processors.state_cache_bytes",
        Kind::Bytes("1MiB", "64GiB"),
        "64MiB",
        "Memory for reading state, for all processors of the process together.",
    ),
    setting(
        "materializer.workers",
        Kind::Count(1, 64),
        "1",
        "Threads that write the read model, and as many that mend claims; those beyond the partitions are idle.",
    ),
    setting("materializer.records_max", Kind::Count(1, MILLION), "2000", "Most records written at once by a worker."),
    setting("materializer.bytes_max", Kind::Bytes("64KiB", "256MiB"), "4MiB", "Most bytes of keys and values of them."),
    setting(
        "materializer.session_timeout",
        Kind::Duration("1s", "30m"),
        "10s",
        "How long a worker may be away before others take over its partitions. The brokers have a range of their own: by \
         default 6s to 30m.",
    ),
    setting(
        "materializer.metrics_listen",
        Kind::Address,
        "127.0.0.1:8082",
        "Where the materializer serves metrics and health.",
    ),
    setting(
        "webhooks.timeout",
        Kind::Duration("100ms", "10s"),
        "10s",
        "How long one attempt to deliver a webhook may take, from the question for its address to the head of the answer.",
    ),
    setting("webhooks.in_flight_max", Kind::Count(1, 4_096), "256", "Most attempts of a process under way at once."),
    setting(
        "webhooks.in_flight_per_endpoint_max",
        Kind::Count(1, 256),
        "8",
        "Most of them to one endpoint, so that one that is slow holds no other.",
    ),
    setting(
        "webhooks.waiting_max",
        Kind::Count(4, MILLION),
        "4096",
        "Most attempts that wait to be sent, a quarter of them to one endpoint; those beyond come again later.",
    ),
    setting(
        "webhooks.allow_private_addresses",
        Kind::Choice(&["no", "yes"]),
        "no",
        "Whether webhooks may be sent to addresses that are not the internet's (loopback, private, link-local, a cloud's \
         metadata) and to `http` URLs: for tests, and where all endpoints are in a network of your own.",
    ),
    setting(
        "webhooks.disable_after",
        Kind::Duration("1m", "90d"),
        "5d",
        "How long an endpoint may fail, without a success, before it is disabled. For `conversions processors`.",
    ),
    setting(
        "webhooks.metrics_listen",
        Kind::Address,
        "127.0.0.1:8083",
        "Where `conversions webhooks` serves metrics and health.",
    ),
    setting(
        "topics.partitions",
        Kind::Count(1, 1_000),
        "12",
        "Partitions of every topic that is read by key. Chosen once: with more, a key's records would change their partition.",
    ),
    setting("topics.replication_factor", Kind::Count(1, 10), "3", "Brokers that hold each partition."),
    setting(
        "topics.min_insync_replicas",
        Kind::Count(1, 10),
        "2",
        "Brokers that must have a record before it counts as written; at most `topics.replication_factor`.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_variables_are_unique() {
        let names: BTreeSet<&str> = TABLE.iter().map(|setting| setting.name).collect();
        let variables: BTreeSet<String> = TABLE.iter().map(Setting::variable).collect();
        assert_eq!((names.len(), variables.len()), (TABLE.len(), TABLE.len()));
        let client = format!("{VARIABLE}{}", CLIENT.replace('.', "_").to_ascii_uppercase());
        assert!(variables.iter().all(|variable| !variable.starts_with(&client)));
    }
}
