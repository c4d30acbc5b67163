-- Times are milliseconds since 1970; amounts are minor units.
CREATE TABLE clicks (
    click_id text PRIMARY KEY,
    merchant_id text NOT NULL,
    campaign_id text NOT NULL,
    affiliate_id text NOT NULL,
    clicked_at bigint NOT NULL
);

CREATE TABLE conversions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    merchant_id text NOT NULL,
    livemode boolean NOT NULL,
    external_order_id text NOT NULL,
    event_id text NOT NULL,
    click_id text,
    external_product_id text,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    order_status text NOT NULL,
    ordered_at bigint NOT NULL,
    received_at bigint NOT NULL,
    coupon_code text,
    metadata text,
    state text NOT NULL DEFAULT 'received',
    confidence text,
    confidence_reason text,
    affiliate_id text,
    campaign_id text,
    commission_minor bigint,
    commission_level text,
    rule_id text,
    rate text,
    hold_until bigint,
    -- When the worker is to look at it; null when time alone changes nothing.
    due_at bigint,
    UNIQUE (merchant_id, livemode, external_order_id)
) WITH (fillfactor = 80);

CREATE INDEX conversions_due ON conversions (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE transitions (
    conversion_id bigint NOT NULL,
    revision int NOT NULL,
    states text[] NOT NULL,
    cause text NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (conversion_id, revision)
);

CREATE TABLE ledger_entries (
    conversion_id bigint NOT NULL,
    revision int NOT NULL,
    affiliate_id text NOT NULL,
    currency text NOT NULL,
    livemode boolean NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    at bigint NOT NULL,
    PRIMARY KEY (conversion_id, revision)
);

CREATE TABLE balances (
    affiliate_id text NOT NULL,
    currency text NOT NULL,
    livemode boolean NOT NULL,
    account text NOT NULL,
    balance_minor numeric NOT NULL,
    entries bigint NOT NULL,
    PRIMARY KEY (affiliate_id, currency, livemode, account)
) WITH (fillfactor = 50);
