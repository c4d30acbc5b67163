"""Decides whether the rows of the read model are the fold of the topics, with no line of the product's code.

`read_model.py (--bootstrap SERVERS --prefix PREFIX | --records FILE) --contact-point HOST:PORT --keyspace NAME
[--claims-keyspace NAME] [--deadline SECONDS]`

Every row of every table is compared with what the records say, both ways. Prints a summary and exits 0, or prints the faults
and exits 1. With a deadline it looks again until then, since whoever writes the rows may be behind.
"""

import argparse
import collections
import json
import sys
import time

import inputs
import records
import rows
import tables

FAULTS_SHOWN_MAX = 40
PAUSE_SECONDS = 1.0


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--records", help="a dump to read instead of a cluster")
    parser.add_argument("--contact-point", required=True)
    parser.add_argument("--keyspace", required=True)
    parser.add_argument("--claims-keyspace", help="its claims are looked at too")
    parser.add_argument("--deadline", type=float, default=0.0, help="how long to wait until all is right")
    return parser.parse_args()


def compare(table, expected, found, fault):
    """Rows by key; each is a dictionary of the columns that are not of the key."""
    for key in sorted(expected.keys() | found.keys(), key=repr):
        if key not in found:
            fault(f"{table}: no row {key}, which has to be {expected[key]}")
        elif key not in expected:
            fault(f"{table}: a row {key} of nothing: {found[key]}")
        elif found[key] != expected[key]:
            names = [name for name in expected[key] if found[key].get(name) != expected[key][name]]
            names += sorted(found[key].keys() - expected[key].keys())
            shown = {name: (found[key].get(name), expected[key].get(name)) for name in names}
            fault(f"{table}: row {key}: has, and has to have: {shown}")


def positions(records_read, found, fault):
    """Every partition is written up to its last record, and claims are made good up to there."""
    ends = collections.defaultdict(int)
    for topic, partition, offset, *_ in records_read:
        if topic in rows.TOPICS or topic == "conversions":
            ends[topic, partition] = max(ends[topic, partition], offset + 1)
    for place, end in sorted(ends.items()):
        at = found.get(place, {}).get("next_offset", 0)
        if at < end:
            fault(f"positions: {place} is at {at}, and has to be at {end}")


def look(options, records_read, expected, claims):
    """The faults that there are now, and how many rows were compared."""
    faults, compared = [], 0
    with tables.Tables(options.contact_point) as server:
        for table in rows.TABLES:
            found = server.read(options.keyspace, table, rows.KEYS[table])
            compare(table, expected[table], found, faults.append)
            compared += len(found)
        positions(records_read, server.read(options.keyspace, "positions", ("topic", "partition")), faults.append)
        if options.claims_keyspace:
            found = server.read(options.claims_keyspace, "conversion_claims", ("conversion_id",))
            check_claims(claims, found, faults.append)
            compared += len(found)
    return faults, compared


def reported(records_read):
    """The reports of each order, by the conversion's id: event, partition and offset, in the order of the log."""
    by_id = collections.defaultdict(list)
    for topic, partition, offset, _, name, value in records_read:
        if (topic, name) == ("conversions", "ConversionReported"):
            order = rows.conversion_id(inputs.conversion_id(inputs.order_key(value)))
            by_id[order].append((value["eventId"], partition, offset))
    return by_id


def check_claims(reports, found, fault):
    """Every order is claimed by one of its reports, and its first report stands for it."""
    for order in sorted(reports.keys() | found.keys()):
        claim, of_order = found.get(order), reports.get(order, [])
        if claim is None:
            fault(f"conversion_claims: {order.hex()} is not claimed; reported by {of_order}")
            continue
        stands = (claim["event_id"], claim["kafka_partition"], claim["kafka_offset"])
        if claim["claimed_by"] not in [event for event, _, _ in of_order]:
            fault(f"conversion_claims: {order.hex()} is claimed by {claim['claimed_by']}, and reported by {of_order}")
        if of_order and stands != of_order[0]:
            fault(f"conversion_claims: for {order.hex()} stands {stands}, and its first report is {of_order[0]}")


def main():
    options, begun = arguments(), time.monotonic()
    if options.records:
        records_read = records.from_dump(options.records)
    else:
        records_read = records.from_kafka(options.bootstrap, options.prefix)
    expected, claims = rows.expected(records_read), reported(records_read)
    while True:
        faults, compared = look(options, records_read, expected, claims)
        if not faults or time.monotonic() - begun >= options.deadline:
            break
        time.sleep(PAUSE_SECONDS)
    print(json.dumps({table: len(found) for table, found in expected.items()}))
    print(f"{compared} rows compared, right after {time.monotonic() - begun:.1f} s" if not faults else "")
    for shown in faults[:FAULTS_SHOWN_MAX]:
        print(f"FAULT {shown}")
    if faults:
        print(f"{len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
