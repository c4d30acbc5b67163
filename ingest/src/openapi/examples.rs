//! Bodies as they are sent and answered: each request here is one that the edge takes, and each answer one that it gives.

/// The order that they are about.
pub(super) const ORDER_ID: &str = "SHOP-100245";
/// A link of the demo's registry.
pub(super) const LINK_ID: &str = "demo";

pub(super) const REPORT: &str = r#"{
    "externalOrderId": "SHOP-100245", "orderAmount": "2999.00", "clickId": "clk_8Q2c0r7m4w", "externalProductId": "SKU-RED-42",
    "currency": "NPR", "orderStatus": "confirmed", "orderedAt": "2026-06-14T09:30:00Z", "couponCode": "AFF10",
    "metadata": {"channel": "instagram"}
}"#;

pub(super) const BATCH: &str = r#"{
    "conversions": [
        {"externalOrderId": "SHOP-100245", "orderAmount": "2999.00", "clickId": "clk_8Q2c0r7m4w"},
        {"externalOrderId": "SHOP-100246", "orderAmount": "1250.50", "currency": "NPR"}
    ]
}"#;

pub(super) const STATUS_UPDATE: &str = r#"{
    "externalOrderId": "SHOP-100245", "status": "refunded", "statusUpdatedAt": "2026-06-14T09:40:00+05:45",
    "refundedAmount": "999.00", "reason": "one of three came broken"
}"#;

pub(super) const ORDER_CREATED: &str = r#"{
    "externalOrderId": "SHOP-100245", "orderAmount": "2999.00", "clickId": "clk_8Q2c0r7m4w", "orderStatus": "pending"
}"#;

pub(super) const ORDER_EVENT: &str = r#"{
    "externalOrderId": "SHOP-100245", "statusUpdatedAt": "2026-06-14T09:29:00Z"
}"#;

pub(super) const CLICK: &str = r#"{
    "clickId": "clk_app_5f2e", "linkId": "demo", "clickedAt": "2026-06-14T09:20:00Z"
}"#;

pub(super) const TEST_CLOCK: &str = r#"{
    "externalOrderId": "SHOP-100245", "advanceTo": "2026-07-30T00:00:00Z"
}"#;

pub(super) const APPROVAL: &str = r#"{
    "revision": 3, "affiliateId": "aff_one", "reason": "the shopper wrote that the link came from there"
}"#;

pub(super) const DECISION: &str = r#"{
    "revision": 3, "reason": "the coupon was published by nobody"
}"#;

/// The conversion that reviewers look at.
pub(super) const CONVERSION_ID: &str = "cnv_1f0c6c1f0e9b4a3d8c7b6a5948372615";

/// The payout that administrators report on.
pub(super) const PAYOUT_ID: &str = "pay_1781872500_NPR_aff_one";

pub(super) const PAYOUT_REPORT: &str = r#"{
    "reference": "NIC-2026-06-0042"
}"#;

pub(super) const CONVERSION: &str = r#"{
    "conversionId": "cnv_1f0c6c1f0e9b4a3d8c7b6a5948372615", "eventId": "cnvevt_01977e2ac3d07b6c8a3f5d0e9b1c2a4f",
    "externalOrderId": "SHOP-100245", "livemode": true, "state": "hold", "confidence": "HIGH", "confidenceReason": null,
    "clickId": "clk_8Q2c0r7m4w", "affiliateId": "aff_one", "campaignId": "cmp_one", "suggestedAffiliateId": null,
    "externalProductId": "SKU-RED-42", "orderAmount": "2999.00", "currency": "NPR", "orderStatus": "confirmed",
    "orderedAt": "2026-06-14T09:30:00Z", "receivedAt": "2026-06-14T09:30:02.057Z", "couponCode": "AFF10",
    "metadata": {"channel": "instagram"},
    "commission": {"amount": "359.88", "currency": "NPR", "level": "product", "ruleId": "rul_product_red", "rate": "12"},
    "holdUntil": "2026-07-14T09:30:02.057Z", "refundedAmount": null, "conflicts": 0,
    "timeline": [
        {"seq": 1, "state": "received", "at": "2026-06-14T09:30:02.057Z",
         "cause": {"type": "reported", "eventId": "cnvevt_01977e2ac3d07b6c8a3f5d0e9b1c2a4f", "orderStatus": null,
                   "refundedAmount": null, "applied": true, "fields": []}}
    ]
}"#;
