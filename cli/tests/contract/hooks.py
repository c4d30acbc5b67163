"""What schemathesis cannot know from the description: how a request is signed, and what the time is.

Environment: CONTRACT_KEY and CONTRACT_SECRET, a merchant's key; CONTRACT_SERVICE_TOKEN, the installation's;
CONTRACT_ADMIN_TOKEN, an administrator's.
"""

import datetime
import hashlib
import hmac
import itertools
import os
import re
import time

import requests
import schemathesis
from hypothesis import strategies

NAMES = ("KEY", "SECRET", "SERVICE_TOKEN", "ADMIN_TOKEN")
KEY, SECRET, SERVICE_TOKEN, ADMIN_TOKEN = (os.environ[f"CONTRACT_{name}"] for name in NAMES)
SERVICE = "/internal/v1/clicks"
# The same few would be made up again and again with other bodies, and then 422 is all that is found.
USED_ONCE = ("X-Idempotency-Key", "Idempotency-Key", "X-External-Event-Id")
numbers = itertools.count()


class Signed(requests.auth.AuthBase):
    """Signs the bytes that are sent, whatever they are."""

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        timestamp = str(int(time.time()))
        mac = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
        signature = {"X-Api-Key": KEY, "X-Timestamp": timestamp, "X-Signature": mac.hexdigest()}
        request.headers.update(signature)
        number = next(numbers)
        for name in USED_ONCE:
            if re.fullmatch("[!-~]{1,200}", request.headers.get(name, "")):
                request.headers[name] += f"-{number}"
        return request


class Bearer(requests.auth.AuthBase):
    """Shows a token."""

    def __init__(self, token):
        self.token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


schemathesis.auth.set_from_requests(Signed()).apply_to(path_regex="^/api/")
schemathesis.auth.set_from_requests(Bearer(SERVICE_TOKEN)).apply_to(path=SERVICE)
schemathesis.auth.set_from_requests(Bearer(ADMIN_TOKEN)).apply_to(path_regex="^/admin/")

# An instant that is not in the future, which no schema can say.
now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
instants = strategies.datetimes(datetime.datetime(1990, 1, 1), now - datetime.timedelta(days=1))
offsets = strategies.sampled_from(["Z", "+05:45", "-08:00", "+00:00"])
written = strategies.builds(lambda instant, offset: instant.isoformat() + offset, instants, offsets)
schemathesis.openapi.format("date-time", written)
