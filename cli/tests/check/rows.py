"""The rows that the records of the topics come to, worked out from what the tables are said to hold.

Of a conversion and of a balance the latest record counts; timeline entries, commissions, ledger entries and changes of payouts
are all there.
"""

import datetime
import hashlib
import json
from collections import defaultdict

TOPICS = "transitions commissions ledger-entries balances payouts".split()
KEYS = {
    "conversions": ("conversion_id", "seq"),
    "conversions_by_time": ("merchant_id", "livemode", "slot", "shard", "received_at", "conversion_id"),
    "list_years": ("list", "year"),
    "list_slots": ("list", "year", "slot", "shard"),
    "commissions": ("conversion_id", "revision"),
    "ledger_entries": ("affiliate_id", "currency", "livemode", "slot", "shard", "at", "entry_id"),
    "ledger_entries_by_conversion": ("conversion_id", "revision", "entry_id"),
    "balances": ("affiliate_id", "currency", "livemode", "account"),
    "payouts": ("payout_digest", "change"),
    "payouts_by_time": ("slot", "shard", "cut_off", "payout_digest"),
}
TABLES = tuple(KEYS)
SLOT_MS = 600_000
SHARDS = 16

ENTRY_COLUMNS = (
    "state", "at", "cause", "event_id", "order_status", "refunded_thousandths", "applied", "fields", "review",
)
CONVERSION_COLUMNS = (
    "revision seq event_id merchant_id livemode external_order_id state confidence confidence_reason click_id affiliate_id"
    " campaign_id external_product_id amount_minor currency order_status ordered_at received_at coupon_code metadata"
    " commission hold_until refunded_thousandths conflicts at suggested_affiliate_id"
).split()


def conversion_id(text):
    """The bytes of an id as the records have it."""
    prefix, digits = text.split("_")
    if prefix != "cnv" or len(digits) != 32:
        raise ValueError(f"{text} is no id of a conversion")
    return bytes.fromhex(digits)


def snake(name):
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def columns(value):
    """A record's fields under the names that columns have."""
    return {snake(name): columns(field) if isinstance(field, dict) else field for name, field in value.items()}


def text(record):
    """A record of many fields as the one text that it is in."""
    return None if record is None else json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def slot(at):
    return at - at % SLOT_MS


def year(at):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=at)).year


def mode(livemode):
    return "live" if livemode else "test"


class Expected:
    def __init__(self):
        self.tables = {table: {} for table in TABLES}

    def put(self, table, row):
        """A row by its key; of the same row the later record counts."""
        place = tuple(row.pop(name) for name in KEYS[table])
        self.tables[table][place] = row

    def listed(self, name, at, shard):
        start = slot(at)
        self.put("list_years", {"list": name, "year": year(start)})
        self.put("list_slots", {"list": name, "year": year(start), "slot": start, "shard": shard})

    def transition(self, value):
        conversion, order = columns(value), conversion_id(value["conversionId"])
        none = {"conversion": None} | dict.fromkeys(ENTRY_COLUMNS)
        now = {name: conversion[name] for name in CONVERSION_COLUMNS}
        now["explanation"] = text(value["explanation"])
        self.put("conversions", none | {"conversion_id": order, "seq": 0, "conversion": now})
        for entry in value["timeline"]:
            cause = columns(entry["cause"])
            row = {"conversion_id": order, "seq": entry["seq"], "state": entry["state"], "at": entry["at"]}
            row |= {"cause": cause["type"]} | {name: cause[name] for name in ENTRY_COLUMNS[3:]}
            row["review"] = text(entry["cause"]["review"])
            self.put("conversions", none | row)
        shard, at = order[0] % SHARDS, value["receivedAt"]
        self.listed(f"conversions/{value['merchantId']}/{mode(value['livemode'])}", at, shard)
        names = ("merchant_id", "livemode", "received_at", "state")
        row = {name: conversion[name] for name in names} | {"confidence": value["confidence"] or "NONE"}
        row |= {"slot": slot(at), "shard": shard, "conversion_id": order}
        self.put("conversions_by_time", dict(row))
        # The reviewers' list has what is LOW; one that its click upgrades keeps the row of when it was.
        if value["confidence"] == "LOW":
            self.listed(f"reviews/{mode(value['livemode'])}", at, shard)
            self.put("conversions_by_time", row | {"merchant_id": "*"})

    def commission(self, value):
        row = columns(value)
        row |= row.pop("commission") | {"conversion_id": conversion_id(value["conversionId"])}
        self.put("commissions", row)

    def entry(self, value):
        row = columns(value) | {"conversion_id": conversion_id(value["conversionId"])}
        shard, at = row["conversion_id"][1] % SHARDS, value["at"]
        self.listed(f"ledger/{value['affiliateId']}/{value['currency']}/{mode(value['livemode'])}", at, shard)
        # The tables have the order by its conversion.
        row.pop("external_order_id")
        self.put("ledger_entries", row | {"slot": slot(at), "shard": shard})
        self.put("ledger_entries_by_conversion", dict(row))

    def balance(self, value):
        row = columns(value) | {"balance_minor": int(value["balanceMinor"])}
        row["entry_count"] = row.pop("entries")
        self.put("balances", row)

    def payout(self, value):
        digest = hashlib.sha256(value["payoutId"].encode()).digest()[:16]
        change = 1 if value["state"] == "in_transit" else 2
        row = columns(value) | {"payout_digest": digest}
        self.put("payouts", dict(row) | {"change": change})
        shard, at = digest[0] % SHARDS, value["cutOff"]
        self.listed("payouts", at, shard)
        listed = {name: row[name] for name in ("payout_digest", "payout_id", "cut_off", "state")}
        self.put("payouts_by_time", listed | {"slot": slot(at), "shard": shard})


def expected(records):
    """Rows by table and key. A key's records are in one partition, in their order."""
    found = Expected()
    take = {
        "transitions": found.transition,
        "commissions": found.commission,
        "ledger-entries": found.entry,
        "balances": found.balance,
        "payouts": found.payout,
    }
    seen = defaultdict(set)
    for topic, partition, offset, _, _, value in records:
        if topic in take and offset not in seen[topic, partition]:
            seen[topic, partition].add(offset)
            take[topic](value)
    return found.tables
