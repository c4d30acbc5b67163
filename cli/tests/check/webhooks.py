"""Holds webhooks against the standard and the contract, with nothing but Python's own libraries.

webhooks.py REQUESTS SECRET PREVIOUS: REQUESTS is a JSON list of requests as they came, each its headers and its body.
"""

import base64
import hashlib
import hmac
import json
import sys

path, *secrets = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    requests = json.load(file)
assert requests, "no webhook came"

bodies = {}
states = {}
for request in requests:
    name, seconds, body = request["webhook-id"], request["webhook-timestamp"], request["body"]
    signed = f"{name}.{seconds}.{body}".encode()
    expected = []
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        expected.append("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())
    assert request["webhook-signature"] == " ".join(expected), request
    assert request["content-type"] == "application/json", request
    assert bodies.setdefault(name, body) == body, f"{name} has two bodies"
    event = json.loads(body)
    data = event["data"]
    assert event["type"] == "conversion.transitioned", event
    assert data["newState"] == data["state"] == data["timeline"][-1]["state"], data
    assert data["sequence"] == data["timeline"][-1]["seq"], data
    assert isinstance(data["orderAmount"], str), data
    states.setdefault(data["externalOrderId"], {})[data["sequence"]] = (data["oldState"], data["newState"])

for order, changes in states.items():
    before = None
    for sequence in sorted(changes):
        old, new = changes[sequence]
        assert old == before, f"{order} {sequence}: from {old} after {before}"
        before = new
print(f"{len(requests)} requests, {len(bodies)} webhooks of {len(states)} orders")
