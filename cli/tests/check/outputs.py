"""Holds every output topic against the inputs in the log, the oracle and the other outputs."""

from collections import defaultdict

from inputs import conversion_id, order_key, report_identity, status_identity
from oracle import ends

FORWARD = "received attributed commission_created hold payable".split()
ACCOUNTS = ("affiliate_pending", "affiliate_payable", "merchant_receivable")
AFFILIATE_OF = {"created": 0, "held": 0, "payable": 1}
COMMISSION_STATES = {"hold": "held", "payable": "payable", "reversed": "reversed"}


def check(log, by_topic, registry, fault):
    for key, name, value in by_topic["dead-letters"]:
        fault(f"dead letter {key}: {name} {value}")
    by_order = defaultdict(list)
    for key, _, value in by_topic["transitions"]:
        if key != order_key(value):
            fault(f"{key}: the key of a transition of {order_key(value)}")
        by_order[key].append(value)
    for key in by_order.keys() - log.reports.keys():
        fault(f"{key}: a conversion of no report")
    for key, reports in log.reports.items():
        if not by_order[key]:
            fault(f"{key}: reported, and no conversion: {reports[0]}")
            continue
        conversion(key, log, by_order[key], registry, fault)
    joins(log, by_topic, fault)
    commissions(by_order, by_topic["commissions"], fault)
    entries(by_order, by_topic["ledger-entries"], fault)
    balances(by_topic["ledger-entries"], by_topic["payouts"], by_topic["balances"], fault)


def conversion(key, log, changes, registry, fault):
    report, last = log.reports[key][0], changes[-1]
    revisions = [change["revision"] for change in changes]
    if revisions != list(range(1, len(changes) + 1)):
        fault(f"{key}: the revisions are {revisions}")
    timeline = [entry for change in changes for entry in change["timeline"]]
    if [entry["seq"] for entry in timeline] != list(range(1, len(timeline) + 1)) or last["seq"] != len(timeline):
        fault(f"{key}: the timeline is numbered {[entry['seq'] for entry in timeline]}")
    for change in changes:
        constant(key, report, change, fault)
    click = log.clicks.get(report["clickId"])
    possible = list(ends(report, list(log.updates.get(key, {}).values()), click, registry))
    if not any(all(last[name] == value for name, value in end.items()) for end in possible):
        shown = {name: last[name] for name in possible[0]}
        fault(f"{key}: it ended as {shown}, and must end as {' or '.join(map(str, possible))}")
    course(key, changes, timeline, log, fault)


def constant(key, report, change, fault):
    """What is of the first report in the log, in every revision."""
    expected = {
        "conversionId": conversion_id(key), "eventId": report["eventId"], "receivedAt": report["receivedAt"],
        "clickId": report["clickId"], "externalProductId": report["externalProductId"],
        "amountMinor": report["amountMinor"], "currency": report["currency"], "couponCode": report["couponCode"],
        "metadata": report["metadata"],
    }
    shown = {name: change[name] for name in expected}
    if shown != expected:
        fault(f"{key}: revision {change['revision']} says {shown}, and the first report {expected}")
    if change["timeline"] and change["timeline"][-1]["state"] != change["state"]:
        fault(f"{key}: revision {change['revision']} is {change['state']}, and its timeline {change['timeline']}")
    hold = change["holdUntil"]
    if change["state"] == "hold" and (hold is None or change["at"] >= hold):
        fault(f"{key}: held at {change['at']} until {hold}")


def course(key, changes, timeline, log, fault):
    """Each state follows from the one before, nothing is paid early, and each fact stands in the timeline once."""
    before = None
    for entry in timeline:
        if not may_follow(before, entry["state"]):
            fault(f"{key}: {entry['state']} after {before}: {timeline}")
        before = entry["state"]
    if not any(update["status"] == "commission_approved" for update in log.updates.get(key, {}).values()):
        for change in changes:
            if change["state"] == "payable" and (change["holdUntil"] is None or change["at"] < change["holdUntil"]):
                fault(f"{key}: payable at {change['at']}, before {change['holdUntil']}")
    causes = defaultdict(list)
    for change in changes:
        for kind, event_id in {(it["cause"]["type"], it["cause"]["eventId"]) for it in change["timeline"]}:
            causes[kind].append(event_id)
    reports = log.reports[key]
    # The same update may be in the log under several events, of which one stands for all. One that is received earlier
    # than was known may move a state without being news, and is then told of without an event.
    updates = {it["eventId"]: status_identity(it) for it in log.statuses.get(key, [])}
    told = sorted(str(updates.get(event_id)) for event_id in causes["order_status"] if event_id is not None)
    if told != sorted(map(str, log.updates.get(key, {}))):
        fault(f"{key}: the timeline tells of the updates {told}, and the log of {list(log.updates.get(key, {}))}")
    facts = {
        "reported": [reports[0]["eventId"]],
        "conflict": sorted(it["eventId"] for it in reports if report_identity(it) != report_identity(reports[0])),
    }
    for kind, expected in facts.items():
        if sorted(causes[kind]) != expected:
            fault(f"{key}: the timeline tells {kind} of {sorted(causes[kind])}, and the log of {expected}")
    if changes[-1]["conflicts"] != len(facts["conflict"]):
        fault(f"{key}: {changes[-1]['conflicts']} conflicts are counted, and the log has {facts['conflict']}")


def may_follow(before, state):
    if before == state:
        return True
    if before is None:
        return state == "received"
    if before == "reversed":
        return False
    if state == "reversed" or (before, state) in (("payable", "hold"), ("commission_created", "payable")):
        return True
    return before in FORWARD and state in FORWARD and FORWARD.index(state) == FORWARD.index(before) + 1


def joins(log, by_topic, fault):
    """Each order asked for its click once, and was answered once if there is such a click."""
    asked, answered = {}, {}
    for key, _, value in by_topic["click-lookups"]:
        if key != value["clickId"]:
            fault(f"click {key}: the key of a lookup of {value['clickId']}")
        if asked.setdefault(order_key(value), value) is not value:
            fault(f"{order_key(value)}: asked twice for its click")
    for key, _, value in by_topic["click-verdicts"]:
        if key != order_key(value) or answered.setdefault(key, value) is not value:
            fault(f"{key}: a verdict too many: {value}")
        if log.clicks.get(value["click"]["clickId"]) != value["click"]:
            fault(f"{key}: was told of a click that is not: {value}")
    for key, reports in log.reports.items():
        click_id = reports[0]["clickId"]
        if (asked.get(key) or {}).get("clickId") != click_id:
            fault(f"{key}: named the click {click_id}, and asked for {asked.get(key)}")
        matched = answered[key]["click"]["clickId"] if key in answered else None
        if matched != (click_id if click_id in log.clicks else None):
            fault(f"{key}: named the click {click_id}, and was answered {matched}")
    for key in (asked.keys() | answered.keys()) - log.reports.keys():
        fault(f"{key}: a lookup or verdict of no order")


def commission_of(change):
    """State, amount, hold and refunds of the commission after a change of the conversion; None without one."""
    if change is None or change["commission"] is None:
        return None
    state = COMMISSION_STATES.get(change["state"], "created")
    return state, change["commission"]["amountMinor"], change["holdUntil"], change["refundedThousandths"]


def commissions(by_order, records, fault):
    """`commissions` is the changes of what `transitions` says of the commission: no more, no fewer, in order."""
    shown = defaultdict(list)
    for key, _, value in records:
        shown[key].append(value)
    for key, changes in by_order.items():
        expected, before = [], None
        for change in changes:
            if commission_of(change) != commission_of(before):
                expected.append((change["revision"],) + commission_of(change) + (change["commission"],))
            before = change
        found = [
            (it["revision"], it["state"], it["commission"]["amountMinor"], it["holdUntil"], it["refundedThousandths"],
             it["commission"])
            for it in shown.pop(key, [])
        ]
        if found != expected:
            fault(f"{key}: its commissions are {found}, and by its conversion {expected}")
    for key, rest in shown.items():
        fault(f"{key}: commissions of no conversion: {rest}")


def entries(by_order, records, fault):
    """Each revision books what brings the accounts to what the conversion then says, and nothing is booked twice."""
    ids, booked = set(), defaultdict(lambda: defaultdict(list))
    for key, _, value in records:
        if value["entryId"] in ids:
            fault(f"ledger entry {value['entryId']} is there twice")
        ids.add(value["entryId"])
        mode = "live" if value["livemode"] else "test"
        if key != f"{value['affiliateId']}/{value['currency']}/{mode}":
            fault(f"ledger entry {value['entryId']}: under the key {key}")
        if value["amountMinor"] <= 0 or value["debit"] == value["credit"]:
            fault(f"ledger entry {value['entryId']} moves nothing: {value}")
        booked[value["conversionId"]][value["revision"]].append(value)
    for key, changes in by_order.items():
        of_order, accounts = booked.pop(conversion_id(key), {}), dict.fromkeys(ACCOUNTS, 0)
        for change in changes:
            for entry in of_order.pop(change["revision"], []):
                accounts[entry["debit"]] -= entry["amountMinor"]
                accounts[entry["credit"]] += entry["amountMinor"]
                if (entry["affiliateId"], entry["currency"]) != (change["affiliateId"], change["currency"]):
                    fault(f"{key}: booked to {entry['affiliateId']} in {entry['currency']}, not as {change}")
            state, amount, _, _ = commission_of(change) or ("reversed", 0, None, None)
            expected = dict.fromkeys(ACCOUNTS, 0)
            if state in AFFILIATE_OF:
                expected[ACCOUNTS[AFFILIATE_OF[state]]], expected["merchant_receivable"] = amount, -amount
            if accounts != expected:
                fault(f"{key}: revision {change['revision']} leaves {accounts} booked, and must leave {expected}")
        if of_order:
            fault(f"{key}: booked by revisions that are not: {of_order}")
    if booked:
        fault(f"booked for conversions that are not: {dict(booked)}")


def folded(entry_records, payout_records):
    """The balances of each account after each booking. A payout says its place among the bookings of its accounts."""
    booked, placed = defaultdict(list), defaultdict(dict)
    for key, _, entry in entry_records:
        for account, change in ((entry["debit"], -entry["amountMinor"]), (entry["credit"], entry["amountMinor"])):
            booked[f"{key}/{account}"].append((change, entry["entryId"]))
    for key, _, payout in payout_records:
        booking = f"{payout['payoutId']}_{payout['state']}"
        for side, change in (("debit", -payout["amountMinor"]), ("credit", payout["amountMinor"])):
            placed[f"{key}/{payout[side]}"][payout[side + "Entries"]] = (change, booking)
    steps = defaultdict(list)
    for account in booked.keys() | placed.keys():
        entries, total = iter(booked[account]), 0
        for place in range(1, len(booked[account]) + len(placed[account]) + 1):
            change, booking = placed[account].get(place) or next(entries, (0, None))
            total += change
            steps[account].append((total, place, booking))
    return steps


def balances(entry_records, payout_records, balance_records, fault):
    """`balances` is the fold of `ledger-entries` and `payouts`, booking by booking; each ledger sums to zero."""
    expected = folded(entry_records, payout_records)
    shown = defaultdict(list)
    for key, _, value in balance_records:
        shown[key].append((int(value["balanceMinor"]), value["entries"], value["entryId"]))
    for account in sorted(expected.keys() | shown.keys()):
        if shown[account] != expected[account]:
            pairs = list(zip(shown[account], expected[account]))
            at = next((index for index, (a, b) in enumerate(pairs) if a != b), len(pairs))
            fault(
                f"account {account}: {len(shown[account])} balances for {len(expected[account])} entries; number"
                f" {at + 1} is {shown[account][at:at + 1]}, and by the entries {expected[account][at:at + 1]}"
            )
    sums = defaultdict(int)
    for account, steps in shown.items():
        if steps:
            sums[account.rsplit("/", 1)[0]] += steps[-1][0]
    for ledger, total in sums.items():
        if total != 0:
            fault(f"ledger {ledger} sums to {total}")
