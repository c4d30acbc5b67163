"""Decides whether what the topics hold is what merchants were answered, with no line of the product's code.

`check.py --facts FILE (--bootstrap SERVERS --prefix PREFIX [--still SECONDS] [--dump FILE] | --records FILE)`

Prints a summary and exits 0, or prints the faults and exits 1. FILE of the facts has a JSON object a line: the registry
first, then each thing that was sent and answered, as inputs.py describes.
"""

import argparse
import collections
import json
import sys

import inputs
import oracle
import outputs
import records

FAULTS_SHOWN_MAX = 40


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", required=True)
    parser.add_argument("--bootstrap")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--still", type=float, default=0.0, help="first wait until nothing was written for so long")
    parser.add_argument("--deadline", type=float, default=180.0, help="how long to wait for that")
    parser.add_argument("--dump", help="where to write what was read")
    parser.add_argument("--records", help="a dump to read instead of a cluster")
    return parser.parse_args()


def read(options):
    if options.records:
        return records.from_dump(options.records)
    if options.still:
        records.wait_quiet(options.bootstrap, options.prefix, options.still, options.deadline)
    found = records.from_kafka(options.bootstrap, options.prefix)
    if options.dump:
        records.dump(options.dump, found)
    return found


def group(found, fault):
    """The records by topic, in the order of the log; a key has one partition, the same in every topic read with it."""
    by_topic, homes = collections.defaultdict(list), {}
    for topic, partition, _, key, name, value in found:
        by_topic[topic].append((key, name, value))
        if topic not in ("dead-letters", "registry") and homes.setdefault(key, partition) != partition:
            fault(f"{topic}: key {key} is in partition {partition} and in {homes[key]}")
    return by_topic


def main():
    options = arguments()
    with open(options.facts, encoding="utf-8") as lines:
        lines = [json.loads(line) for line in lines]
    faults = []
    # The last registry has every click that was ever recorded by one.
    registry = oracle.Registry([it["registry"] for it in lines if it["fact"] == "registry"][-1])
    by_topic = group(read(options), faults.append)
    facts = inputs.Facts([it for it in lines if it["fact"] != "registry"], registry)
    log = inputs.Log(by_topic, faults.append)
    inputs.check(facts, log, registry, faults.append)
    outputs.check(log, by_topic, registry, faults.append)
    print("; ".join(f"{topic} {len(found)}" for topic, found in sorted(by_topic.items())))
    states = collections.Counter({key: value["state"] for key, _, value in by_topic["transitions"]}.values())
    print(f"{log.rewritten} events are in the log once more")
    print(f"{len(facts.reports)} orders sent, {len(log.reports)} in the log, in the end {dict(sorted(states.items()))}")
    for shown in faults[:FAULTS_SHOWN_MAX]:
        print(f"FAULT {shown}")
    if faults:
        print(f"{len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
