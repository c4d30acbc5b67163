"""Holds the log against what merchants sent and were answered.

A fact is one request with all its repeats: what was sent, when first (`sent_ms`), when it was answered (`acked_ms`,
null if it was given up) and by what. Where two facts were under way at once, either may have come first.
"""

import hashlib
import json
from collections import defaultdict

from oracle import instant, minor, thousandths

# The parts of a report in which a re-send of the same order may differ.
COMPARED = "clickId externalProductId amountMinor currency orderStatus orderedAt couponCode metadata".split()


def order_key(record):
    mode = "live" if record["livemode"] else "test"
    return f"{record['merchantId']}/{mode}/{record['externalOrderId']}"


def conversion_id(key):
    return "cnv_" + hashlib.sha256(key.encode()).hexdigest()[:32]


def metadata(value):
    """Kept as sent, compared as JSON: how it is spaced is nobody's business."""
    if value is None:
        return None
    return json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)


def sent_report(fact, registry):
    """The fields of the report that a fact sent, as they must stand in the log."""
    body = fact["body"]
    currency = body.get("currency") or registry.currencies[fact["merchant"]]
    return {
        "clickId": body.get("clickId") or None,
        "externalProductId": body.get("externalProductId") or None,
        "amountMinor": minor(body["orderAmount"], currency),
        "currency": currency,
        "orderStatus": body.get("orderStatus") or "pending",
        "orderedAt": instant(body["orderedAt"]) if body.get("orderedAt") else None,
        "couponCode": body.get("couponCode") or None,
        "metadata": metadata(body.get("metadata")),
    }


def report_identity(record):
    return tuple(metadata(record[name]) if name == "metadata" else record[name] for name in COMPARED)


def status_identity(record):
    return record["status"], record["statusUpdatedAt"], record["refundedThousandths"]


class Sent:
    """One thing that was sent, under however many facts."""

    def __init__(self):
        self.sent_ms, self.acked_ms = float("inf"), float("inf")

    def add(self, fact):
        self.sent_ms = min(self.sent_ms, fact["sent_ms"])
        if fact["acked_ms"] is not None:
            self.acked_ms = min(self.acked_ms, fact["acked_ms"])


class Facts:
    """What was sent, by order."""

    def __init__(self, lines, registry):
        self.reports = defaultdict(lambda: defaultdict(Sent))
        self.statuses = defaultdict(lambda: defaultdict(Sent))
        self.events, self.duplicates, self.clicks, self.clicks_lost = {}, [], {}, 0
        for fact in lines:
            if fact["fact"] == "click":
                self.click(fact)
                continue
            key = f"{fact['merchant']}/live/{fact['body']['externalOrderId']}"
            if fact["fact"] == "report":
                sent = sent_report(fact, registry)
                self.reports[key][tuple(sent[name] for name in COMPARED)].add(fact)
            else:
                body = fact["body"]
                at, refunded = body.get("statusUpdatedAt"), body.get("refundedAmount")
                what = body["status"], instant(at) if at else None, thousandths(refunded) if refunded else None
                self.statuses[key][what].add(fact)
            self.answer(key, fact)

    def click(self, fact):
        if fact["click_id"] is None:
            self.clicks_lost += 1
        else:
            self.clicks[fact["click_id"]] = fact

    def answer(self, key, fact):
        answer = fact["answer"]
        if answer and not answer["duplicate"]:
            self.events[answer["eventId"]] = key
        elif answer:
            self.duplicates.append((key, answer["conversionId"], fact))


def check(facts, log, registry, fault):
    """`log` has the records of `conversions` and `clicks` by order and by click."""
    for key, event in ((key, event) for key, records in log.reports.items() for event in records):
        if report_identity(event) not in facts.reports.get(key, {}):
            fault(f"{key}: a report is in the log that nobody sent: {event}")
    for key, event in ((key, event) for key, records in log.statuses.items() for event in records):
        if status_identity(event) not in facts.statuses.get(key, {}):
            fault(f"{key}: a status is in the log that nobody sent: {event}")
    for event_id, key in facts.events.items():
        if log.events.get(event_id, (None,))[0] != key:
            fault(f"{key}: event {event_id} was answered 202 and is not in the log")
    for key, answered, fact in facts.duplicates:
        if answered != conversion_id(key):
            fault(f"{key}: answered as conversion {answered}: {fact}")
    for key, sent in facts.reports.items():
        received(key, sent, log.reports.get(key, []), report_identity, fault)
        first(key, sent, log.reports.get(key, []), fault)
    for key, sent in facts.statuses.items():
        received(key, sent, log.statuses.get(key, []), status_identity, fault)
    clicks(facts, log, registry, fault)


def received(key, sent, records, identity, fault):
    """What was answered is in the log, received between the sending and the answer."""
    for what, it in sent.items():
        times = [record["receivedAt"] for record in records if identity(record) == what]
        if it.acked_ms == float("inf") and not times:
            continue
        if not times:
            fault(f"{key}: answered 202 and not in the log: {what}")
        elif not it.sent_ms <= min(times) <= it.acked_ms:
            fault(f"{key}: first received at {min(times)}, not in {it.sent_ms}..{it.acked_ms}: {what}")


def first(key, sent, records, fault):
    """No report overtook one that was answered before it was sent."""
    if not records or report_identity(records[0]) not in sent:
        return
    counts = sent[report_identity(records[0])]
    for what, other in sent.items():
        if other.acked_ms < counts.sent_ms:
            fault(f"{key}: the first report in the log was sent after another was answered 202: {what}")


def clicks(facts, log, registry, fault):
    """Each click is one that somebody made, or the registry's; what the redirect did not wait for may be lost."""
    strangers = 0
    for click_id, click in log.clicks.items():
        known = registry.clicks.get(click_id)
        fact = facts.clicks.get(click_id)
        if known is not None:
            expected, times = registry.click(known["link"]), (instant(known["clicked_at"]),) * 2
        elif fact is not None:
            expected, times = registry.click(fact["link"]), (fact["sent_ms"], fact["acked_ms"])
        else:
            # The redirect never arrived, so nobody was told this id.
            strangers += 1
            continue
        shown = {name: click[name] for name in expected}
        # Where it was recorded is told of a link's own clicks only.
        if known is not None and shown["linkId"] is None:
            shown["linkId"] = expected["linkId"]
        if shown != expected or not times[0] <= click["clickedAt"] <= times[1]:
            fault(f"click {click_id}: {click} is not {expected} within {times}")
    if strangers > facts.clicks_lost:
        fault(f"{strangers} clicks are in the log that nobody made; {facts.clicks_lost} redirects had no answer")
    for click_id in registry.clicks:
        if click_id not in log.clicks:
            fault(f"click {click_id} of the registry is not in the log")


class Log:
    """The inputs as they stand in the log."""

    def __init__(self, by_topic, fault):
        self.reports, self.statuses = defaultdict(list), defaultdict(list)
        self.clicks, self.events, self.updates = {}, {}, defaultdict(dict)
        # A producer that gave messages up while a broker was away may have written some of them twice.
        self.rewritten = 0
        for key, name, value in by_topic["conversions"]:
            if key != order_key(value):
                fault(f"{key}: the key of a record of {order_key(value)}")
            known = self.events.setdefault(value["eventId"], (key, value))
            if known != (key, value):
                fault(f"{key}: there is another event {value['eventId']}: {known}")
            if known[1] is not value:
                self.rewritten += 1
                continue
            (self.reports if name == "ConversionReported" else self.statuses)[key].append(value)
        for key, records in self.statuses.items():
            for record in records:
                known = self.updates[key].setdefault(status_identity(record), dict(record))
                # Of the same update under several events, the earliest received counts.
                known["receivedAt"] = min(known["receivedAt"], record["receivedAt"])
        for key, _, value in by_topic["clicks"]:
            if key != value["clickId"]:
                fault(f"click {value['clickId']}: under the key {key}")
            if self.clicks.setdefault(key, value) != value:
                fault(f"click {key}: there is another of this id: {value}")
