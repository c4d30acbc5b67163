//! Bodies of requests: refused with faults that each name a field and are short, or a record within every bound, which
//! encodes and decodes to itself.
//!
//! The first byte chooses the route, the rest is the body.

#![no_main]

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use ingest::fuzzing::{self, Refused};
use libfuzzer_sys::fuzz_target;
use schemas::ids::OrderKey;
use schemas::money::THOUSANDTHS_MAX;
use schemas::records::{ClickRecorded, ConversionReported, OrderStatus, OrderStatusReported, ReportedStatus};
use schemas::registry::Registry;
use schemas::{AvroRecord, Timestamp, decode, encode};

const ROUTES: u8 = 7;
/// 2026-06-14T09:30:00Z.
const NOW: Timestamp = Timestamp(1_781_429_400_000);
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// 40 characters of what was sent, escaped perhaps, and a remedy.
const FAULT_BYTES_MAX: usize = 500;
/// 64 unknown names, one line for the others, and at most two for each field.
const FAULTS_MAX: usize = 64 + 1 + 2 * 9;
const ITEMS_MAX: usize = 1_000;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::demo);

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    match first.wrapping_sub(b'0') % ROUTES {
        0 => twice(|| fuzzing::report(body, NOW, None), check_report),
        1 => twice(
            || fuzzing::report(body, NOW, Some("order-created")),
            |report| {
                assert_eq!(report.order_status, OrderStatus::Pending);
                check_report(report);
            },
        ),
        2 => twice(|| fuzzing::update(body, NOW, None), check_update),
        3 => event(body, "order-cancelled", ReportedStatus::Cancelled),
        4 => event(body, "order-refunded", ReportedStatus::Refunded),
        5 => twice(|| fuzzing::click(body, NOW, &REGISTRY), check_click),
        _ => twice(
            || fuzzing::batch(body, NOW),
            |items| {
                assert!(items.len() <= ITEMS_MAX);
                items.iter().for_each(|item| check(item, check_report));
            },
        ),
    }
});

/// Reads a body twice, which must come to the same, and checks what it comes to.
fn twice<T: PartialEq + Debug>(read: impl Fn() -> Result<T, Refused>, accepted: impl Fn(&T)) {
    let first = read();
    assert_eq!(read(), first);
    check(&first, accepted);
}

fn check<T>(read: &Result<T, Refused>, accepted: impl Fn(&T)) {
    match read {
        Ok(value) => accepted(value),
        Err(Refused::Malformed(fault)) => check_text(fault),
        Err(Refused::Faults { known, faults }) => {
            assert!((1..=FAULTS_MAX).contains(&faults.len()), "{} faults", faults.len());
            for fault in faults {
                check_text(fault);
                let names_field = known.iter().any(|field| fault.starts_with(field));
                assert!(names_field || fault.contains("of this request"), "{fault}");
            }
        }
    }
}

fn check_text(fault: &str) {
    assert!((1..=FAULT_BYTES_MAX).contains(&fault.len()), "{} bytes: {fault}", fault.len());
    assert!(!fault.contains(['\n', '\r', '\0']), "{fault:?}");
}

fn event(body: &[u8], name: &str, status: ReportedStatus) {
    let accepted = |update: &OrderStatusReported| {
        assert_eq!(update.status, status);
        check_update(update);
    };
    twice(|| fuzzing::update(body, NOW, Some((name, status))), accepted);
}

fn check_report(report: &ConversionReported) {
    check_record(report);
    check_order(&report.merchant_id, report.livemode, &report.external_order_id);
    assert!((0..=report.currency.amount_minor_max()).contains(&report.amount_minor));
    assert_eq!(
        report.currency.parse_amount(&report.currency.format_amount(report.amount_minor)),
        Ok(report.amount_minor)
    );
    check_optional(report.click_id.as_ref(), 128);
    check_optional(report.external_product_id.as_ref(), 160);
    check_optional(report.coupon_code.as_ref(), 64);
    check_instant(report.ordered_at);
    check_metadata(report.metadata.as_ref());
    assert_eq!(report.received_at, NOW);
    assert_ne!(report.order_status, OrderStatus::Paid, "no order is reported as paid");
}

fn check_update(update: &OrderStatusReported) {
    check_record(update);
    check_order(&update.merchant_id, update.livemode, &update.external_order_id);
    check_optional(update.click_id.as_ref(), 128);
    check_optional(update.reason.as_ref(), 500);
    check_instant(update.status_updated_at);
    check_metadata(update.metadata.as_ref());
    if let Some(thousandths) = update.refunded_thousandths {
        assert!(update.status.is_refund());
        assert!((1..=THOUSANDTHS_MAX).contains(&thousandths));
    }
}

fn check_click(click: &ClickRecorded) {
    check_record(click);
    assert!((1..=128).contains(&click.click_id.len()) && click.click_id.bytes().all(|byte| byte.is_ascii_graphic()));
    check_instant(Some(click.clicked_at));
    let campaign = REGISTRY.campaign(&click.campaign_id).expect("a campaign of the registry");
    assert_eq!(campaign.merchant_id, click.merchant_id);
    assert!(REGISTRY.affiliate(&click.affiliate_id).is_some());
    if let Some(link) = &click.link_id {
        let link = REGISTRY.link(link).expect("a link of the registry");
        assert_eq!((&link.campaign_id, &link.affiliate_id), (&click.campaign_id, &click.affiliate_id));
    }
}

fn check_record<R: AvroRecord + PartialEq + Debug>(record: &R) {
    assert_eq!(decode::<R>(&encode(record)).as_ref(), Ok(record));
}

fn check_order(merchant_id: &str, livemode: bool, external_order_id: &str) {
    assert!((1..=160).contains(&external_order_id.chars().count()));
    let key = OrderKey { merchant_id, livemode, external_order_id };
    assert_eq!(OrderKey::from_bytes(&key.to_bytes()), Some(key));
}

fn check_optional(text: Option<&String>, characters_max: usize) {
    assert!(text.is_none_or(|text| (1..=characters_max).contains(&text.chars().count())));
}

fn check_instant(instant: Option<Timestamp>) {
    assert!(instant.is_none_or(|instant| (Timestamp::MIN..=NOW + CLOCK_TOLERANCE).contains(&instant)));
}

fn check_metadata(metadata: Option<&String>) {
    let is_object = |text: &String| text.len() <= 8_192 && text.starts_with('{') && text.ends_with('}');
    assert!(metadata.is_none_or(is_object));
}
