#!/usr/bin/env bash
# The client script that merchants are given. The first three lines take what is set in the environment, for the tests.
API_BASE="${API_BASE:-http://127.0.0.1:8080}"
PUBLIC_KEY="${PUBLIC_KEY:-live_pk_xxxxxxxxxxxxxxxx}"
SIGNING_SECRET="${SIGNING_SECRET:-sk_live_xxxxxxxxxxxxxxxxxxxxxxxx}"
BODY='{"clickId":"clk_8Q2c0r7m4w","externalOrderId":"SHOP-100245","externalProductId":"SKU-RED-42","orderAmount":"2999.00","currency":"NPR","orderStatus":"confirmed","orderedAt":"2026-06-14T09:30:00Z","couponCode":"AFF10","metadata":{"channel":"instagram"}}'
TS="$(date +%s)"
SIG="$(printf '%s.%s' "$TS" "$BODY" | openssl dgst -sha256 -hmac "$SIGNING_SECRET" -r | cut -d ' ' -f1)"
curl -sS -X POST "$API_BASE/api/v1/conversions" \
  -H 'Content-Type: application/json' \
  -H "X-Api-Key: $PUBLIC_KEY" -H "X-Timestamp: $TS" -H "X-Signature: $SIG" \
  -H 'X-Idempotency-Key: SHOP-100245' \
  --data-raw "$BODY"
