"""What must become of an order, from API.md and a registry alone; nothing here knows how the product works it out.

Times are milliseconds since 1970, amounts minor units.
"""

import datetime
import itertools
from fractions import Fraction

REVERSALS = {"cancelled", "returned", "refunded", "commission_rejected"}
DECISIONS = {"commission_approved", "commission_rejected"}
DECIMALS = {"NPR": 2, "USD": 2, "JPY": 0}
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def instant(text):
    """ISO 8601 with an offset."""
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (at - EPOCH) // datetime.timedelta(milliseconds=1)


def minor(text, currency):
    """A decimal amount; one that has no whole number of minor units is an error."""
    amount = Fraction(text) * 10 ** DECIMALS[currency]
    if amount.denominator != 1:
        raise ValueError(f"{text} {currency} is no whole number of minor units")
    return int(amount)


def thousandths(text):
    """A decimal amount of a currency that is not known."""
    amount = Fraction(text) * 1_000
    if amount.denominator != 1:
        raise ValueError(f"{text} is finer than any currency")
    return int(amount)


class Registry:
    """A registry file as JSON."""

    def __init__(self, file):
        self.policies = {name: self.duration(text) for name, text in file["policies"].items()}
        self.currencies = {it["id"]: it.get("currency", "NPR") for it in file["merchants"]}
        self.campaigns = {it["id"]: it for it in file["campaigns"]}
        self.links = {it["id"]: it for it in file["links"]}
        self.rules = file["rules"]
        self.clicks = {it["id"]: it for it in file.get("clicks", [])}
        self.coupons = file.get("coupons", [])
        self.affiliates = {it["id"]: it for it in file["affiliates"]}

    @staticmethod
    def duration(text):
        return int(text[:-1]) * UNITS_MS[text[-1]]

    def lookback(self, campaign):
        own = self.campaigns[campaign].get("lookback")
        return self.policies["lookback"] if own is None else self.duration(own)

    def min_click_to_order(self, campaign):
        own = self.campaigns[campaign].get("min_click_to_order")
        return self.policies.get("min_click_to_order", 0) if own is None else self.duration(own)

    def owns(self, affiliate, merchant):
        own = self.affiliates.get(affiliate, {}).get("own_merchants", "")
        return merchant in [it.strip() for it in own.split(",")]

    def coupon(self, merchant, code, at):
        """Whether the merchant ever had a coupon of this code, and whose it is at an instant."""
        named = [
            it for it in self.coupons
            if it["code"].upper() == code.upper() and self.campaigns[it["campaign"]]["merchant"] == merchant
        ]
        holding = [
            it["affiliate"] for it in named
            if instant(it.get("effective_from", "0001-01-01T00:00:00Z")) <= at
            and at < instant(it.get("effective_until", "9999-01-01T00:00:00Z"))
        ]
        return bool(named), holding[0] if holding else None

    def click(self, link):
        """What a click on a link is, but for its id and time."""
        link = self.links[link]
        merchant = self.campaigns[link["campaign"]]["merchant"]
        return {
            "merchantId": merchant,
            "campaignId": link["campaign"],
            "affiliateId": link["affiliate"],
            "linkId": link["id"],
        }

    def commission(self, merchant, product, campaign, ordered_at, amount, currency, left):
        """Level, rule, rate and amount by the first rule that matches; None without one. `left` is the part of the
        order that was not refunded."""
        levels = [
            ("product", {"merchant": merchant, "product": product}),
            ("campaign", {"campaign": campaign}),
            ("merchant", {"merchant": merchant}),
            ("platform", {}),
        ]
        for level, scope in levels:
            matching = [
                rule for rule in self.rules
                if rule["level"] == level
                and all(rule.get(name) == value for name, value in scope.items())
                and ("effective_from" not in rule or instant(rule["effective_from"]) <= ordered_at)
                and ("effective_until" not in rule or ordered_at < instant(rule["effective_until"]))
                and rule.get("currency", currency) == currency
            ]
            if matching:
                latest = max(matching, key=lambda rule: instant(rule.get("effective_from", "0001-01-01T00:00:00Z")))
                return self.paid(level, latest, amount, currency, left)
        return None

    @staticmethod
    def paid(level, rule, amount, currency, left):
        if "fixed" in rule:
            paid = minor(rule["fixed"], currency)
        else:
            paid = Fraction(amount) * Fraction(rule["percent"]) / 100
            paid = max(paid, minor(rule.get("minimum", "0"), currency))
            if "cap" in rule:
                paid = min(paid, minor(rule["cap"], currency))
        rate = rule.get("percent")
        # Python rounds a Fraction half to even.
        paid = round(paid * left)
        return {"amountMinor": paid, "currency": currency, "level": level, "ruleId": rule["id"], "rate": rate}


def courses(report, updates):
    """Where the statuses bring an order, for each order in which those of one instant may count: status, the hold's
    beginnings, approved, reversed, the thousandths refunded in parts, and the part of the order that is left. Of one
    instant partial refunds come after all else, the smaller first, and then what reverses."""
    groups = {}
    for update in updates:
        at = update["statusUpdatedAt"] if update["statusUpdatedAt"] is not None else update["receivedAt"]
        refunded = update["refundedThousandths"]
        rank = 1 if refunded is not None else 2 if update["status"] in REVERSALS else 0
        groups.setdefault((at, rank, refunded or 0), []).append((update["status"], refunded))
    keys = sorted(groups)
    for chosen in itertools.product(*(itertools.permutations(groups[key]) for key in keys)):
        ordered = [(status, key[0], refunded) for key, group in zip(keys, chosen) for status, refunded in group]
        yield course(report, [(report["orderStatus"], report["receivedAt"], None)] + ordered)


def course(report, statuses):
    status_now, settled, delivered, approved, is_reversed = report["orderStatus"], None, None, False, False
    whole = Fraction(report["amountMinor"], 10 ** DECIMALS[report["currency"]]) * 1_000
    total, left = None, Fraction(1)
    for status, at, refunded in statuses:
        if is_reversed:
            break
        if refunded is not None:
            total = min((total or 0) + refunded, whole)
            if total < whole:
                left = 1 - total / whole
                continue
        if status in ("confirmed", "paid") and settled is None:
            settled = at
        if status == "delivered" and delivered is None:
            delivered = at
        approved = approved or status == "commission_approved"
        is_reversed = status in REVERSALS
        if status not in DECISIONS:
            status_now = status
    return status_now, settled, delivered, approved, is_reversed, total, left


def attribution(report, click, registry):
    """Confidence, its reason and who is suggested, once nothing more is awaited."""
    confidence, reason = by_click(report, click, registry)
    if reason in ("self_referral", "click_too_recent"):
        return confidence, reason, click["affiliateId"]
    if confidence == "HIGH" or report["couponCode"] is None:
        return confidence, reason, None
    ordered_at = report["receivedAt"] if report["orderedAt"] is None else report["orderedAt"]
    known, affiliate = registry.coupon(report["merchantId"], report["couponCode"], ordered_at)
    if affiliate is not None:
        return "LOW", "self_referral" if registry.owns(affiliate, report["merchantId"]) else "coupon_only", affiliate
    if reason == "no_click":
        return "LOW", "coupon_outside_window" if known else "coupon_unknown", None
    return confidence, reason, None


def by_click(report, click, registry):
    """Confidence and its reason by the click alone."""
    if report["clickId"] is None:
        return "LOW", "no_click"
    if click is None:
        return "LOW", "click_unknown"
    if click["merchantId"] != report["merchantId"]:
        # The API tells it as click_unknown; the topic is for us, and says what it is.
        return "LOW", "click_not_yours"
    ordered_at = report["receivedAt"] if report["orderedAt"] is None else report["orderedAt"]
    if click["clickedAt"] > ordered_at:
        return "LOW", "click_after_order"
    if ordered_at - click["clickedAt"] > registry.lookback(click["campaignId"]):
        return "LOW", "click_outside_window"
    if registry.owns(click["affiliateId"], report["merchantId"]):
        return "LOW", "self_referral"
    if ordered_at - click["clickedAt"] < registry.min_click_to_order(click["campaignId"]):
        return "LOW", "click_too_recent"
    return "HIGH", None


def ends(report, updates, click, registry):
    """Every end that an order may come to, once all windows have passed: mostly one. Fields as in `transitions`."""
    confidence, reason, suggested = attribution(report, click, registry)
    high = confidence == "HIGH"
    ordered_at = report["receivedAt"] if report["orderedAt"] is None else report["orderedAt"]
    for status, settled, delivered, approved, is_reversed, refunded, left in courses(report, updates):
        commission = high and registry.commission(
            report["merchantId"], report["externalProductId"], click["campaignId"], ordered_at,
            report["amountMinor"], report["currency"], left,
        ) or None
        hold = None
        if high and delivered is not None:
            hold = delivered + registry.policies["return_window"]
        elif high and settled is not None:
            hold = settled + registry.policies["settlement_window"]
        if is_reversed:
            state = "reversed"
        elif not high:
            state = "received"
        elif commission is None:
            state = "attributed"
        elif approved or hold is not None:
            state = "payable"
        else:
            state = "commission_created"
        yield {
            "state": state, "confidence": confidence, "confidenceReason": reason, "orderStatus": status,
            "commission": commission, "holdUntil": hold, "refundedThousandths": refunded, "orderedAt": ordered_at,
            "affiliateId": click["affiliateId"] if high else None,
            "campaignId": click["campaignId"] if high else None, "suggestedAffiliateId": suggested,
        }
