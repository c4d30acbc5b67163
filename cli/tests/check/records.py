"""Every record of every topic, decoded by other implementations of Kafka and Avro than ours.

From a cluster, or from a dump: one JSON object a line, {"topic", "partition", "offset", "key", "name", "value"}.
"""

import io
import json
import pathlib
import time

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

SCHEMAS = pathlib.Path(__file__).resolve().parents[3] / "schemas" / "avro"
TOPICS = (
    "conversions clicks click-lookups click-verdicts transitions commissions ledger-entries balances payouts dead-letters"
).split()
IDLE_SECONDS_MAX = 60.0


def plain(schema):
    """Without logical types, so that a time stays the number it is."""
    if isinstance(schema, dict):
        return {name: plain(value) for name, value in schema.items() if name != "logicalType"}
    return [plain(value) for value in schema] if isinstance(schema, list) else schema


def schemas():
    """The parsed schemas by the ten bytes that a value of theirs begins with."""
    found = {}
    for path in sorted(SCHEMAS.glob("*.avsc")):
        schema = json.loads(path.read_text())
        digest = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
        found[b"\xc3\x01" + digest] = (schema["name"], fastavro.parse_schema(plain(schema)))
    return found


class Decoder:
    def __init__(self):
        self.schemas = schemas()

    def decode(self, value):
        """The record's name and its fields."""
        known = self.schemas.get(value[:10])
        if known is None:
            raise ValueError(f"no schema has the header {value[:10].hex()}")
        stream = io.BytesIO(value[10:])
        decoded = fastavro.schemaless_reader(stream, known[1])
        if stream.read(1):
            raise ValueError(f"bytes are left over after {known[0]}")
        return known[0], decoded


def client(bootstrap):
    return {"bootstrap.servers": bootstrap, "broker.address.family": "v4"}


def consumer(bootstrap):
    from confluent_kafka import Consumer

    return Consumer(client(bootstrap) | {
        "group.id": "checker",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
    })


def partitions(kafka, prefix, topics):
    """The partitions of these topics."""
    from confluent_kafka import TopicPartition

    known = kafka.list_topics(timeout=30).topics
    missing = [topic for topic in topics if prefix + topic not in known]
    if missing:
        raise ValueError(f"the cluster has no topic {', '.join(missing)} with the prefix {prefix!r}")
    return [TopicPartition(prefix + topic, number, 0) for topic in topics for number in known[prefix + topic].partitions]


def from_kafka(bootstrap, prefix):
    """What a read_committed consumer sees: each partition from its beginning to where it ends now."""
    from confluent_kafka import KafkaError

    kafka, decoder, found = consumer(bootstrap), Decoder(), []
    wanted = partitions(kafka, prefix, TOPICS)
    kafka.assign(wanted)
    at_end, heard = set(), time.monotonic()
    while len(at_end) < len(wanted):
        for message in kafka.consume(1000, timeout=1.0):
            heard = time.monotonic()
            place = (message.topic(), message.partition())
            if message.error() is None:
                at_end.discard(place)
                name, value = decoder.decode(message.value())
                topic = message.topic()[len(prefix):]
                found.append((topic, message.partition(), message.offset(), message.key().decode(), name, value))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                at_end.add(place)
            elif message.error().fatal() or not message.error().retriable():
                raise ValueError(f"{place}: {message.error()}")
        if time.monotonic() - heard > IDLE_SECONDS_MAX:
            rest = [(it.topic, it.partition) for it in wanted if (it.topic, it.partition) not in at_end]
            raise ValueError(f"nothing came for {IDLE_SECONDS_MAX} s, and these have not ended: {rest}")
    kafka.close()
    found.sort(key=lambda record: record[:3])
    return found


def from_dump(path):
    """What `dump` wrote, in the order of its lines."""
    names = ("topic", "partition", "offset", "key", "name", "value")
    with open(path, encoding="utf-8") as lines:
        return [tuple(json.loads(line)[name] for name in names) for line in lines]


def dump(path, found):
    with open(path, "w", encoding="utf-8") as lines:
        for topic, partition, offset, key, name, value in found:
            shown = {"topic": topic, "partition": partition, "offset": offset, "key": key, "name": name, "value": value}
            # A dead letter's bytes are shown, never read back.
            lines.write(json.dumps(shown, default=repr) + "\n")


def wait_quiet(bootstrap, prefix, still_seconds, deadline_seconds):
    """Waits until no topic, changelogs included, has grown for so long."""
    kafka = consumer(bootstrap)
    wanted = partitions(kafka, prefix, TOPICS + ["orders-changelog", "clicks-changelog", "ledger-changelog"])
    begun = since = time.monotonic()
    before = None
    while time.monotonic() - since < still_seconds:
        if time.monotonic() - begun > deadline_seconds:
            raise ValueError(f"the topics still grow after {deadline_seconds} s")
        # The end as read_committed sees it would stand still behind an open transaction: ask for the log's own.
        ends = [kafka.get_watermark_offsets(it, timeout=30, cached=False)[1] for it in wanted]
        if ends != before:
            before, since = ends, time.monotonic()
        time.sleep(0.5)
    kafka.close()
