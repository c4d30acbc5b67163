//! Coupons: whose a code is, when, and what is wrong with one.

use schemas::Timestamp;
use schemas::registry::{Coupon, Difference, Entries, Registry};

use super::faults::{BASE, BASE_LINES};

/// Another merchant with a campaign, and coupons, each with its id, code, campaign and what else it has.
fn text(coupons: &[(&str, &str, &str, &str)]) -> String {
    let other = "[[merchants]]\nid = \"n\"\nname = \"N\"\n[[campaigns]]\nid = \"d\"\nmerchant = \"n\"\n";
    let mut text = format!("{BASE}{other}");
    for (id, code, campaign, more) in coupons {
        let more = more.replace("; ", "\n");
        text.push_str(&format!(
            "[[coupons]]\nid = \"{id}\"\ncode = \"{code}\"\ncampaign = \"{campaign}\"\naffiliate = \"a\"\n{more}\n"
        ));
    }
    text
}

/// Lines are counted from the first coupon's.
#[track_caller]
fn check(coupons: &[(&str, &str, &str, &str)], expected: &[&str]) {
    let found = match Registry::parse(&text(coupons)) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .as_slice()
            .iter()
            .map(|fault| format!("{}: {}", fault.line - BASE_LINES - 6, fault.message))
            .collect(),
    };
    assert_eq!(found, expected, "{coupons:?}");
}

fn found<'a>(registry: &'a Registry, merchant_id: &str, code: &str) -> Vec<&'a str> {
    registry.coupons().of(merchant_id, code).iter().map(|coupon| coupon.id.as_str()).collect()
}

#[test]
fn a_code_is_its_merchants_whatever_its_case() {
    let june = "effective_until = \"2026-07-01T00:00:00Z\"";
    let july = "effective_from = \"2026-07-01T00:00:00Z\"";
    let coupons = [
        ("june", "Ten-Off", "c", june),
        ("july", "TEN-OFF", "c", july),
        ("theirs", "ten-off", "d", ""),
        ("x", "X", "c", ""),
    ];
    let registry = Registry::parse(&text(&coupons)).unwrap_or_else(|faults| panic!("{faults}"));
    for code in ["Ten-Off", "TEN-OFF", "ten-off"] {
        assert_eq!(found(&registry, "m", code), ["june", "july"], "{code}");
        assert_eq!(found(&registry, "n", code), ["theirs"], "{code}");
    }
    for code in ["", "TEN", "TEN-OFFF", "TEN_OFF", " TEN-OFF"] {
        assert!(found(&registry, "m", code).is_empty(), "{code:?}");
    }
    assert!(found(&registry, "n", "X").is_empty() && found(&registry, "c", "X").is_empty());
    assert_eq!(registry.coupons().iter().count(), 4);
    let expected = Coupon {
        id: "june".to_owned(),
        code: "Ten-Off".to_owned(),
        merchant_id: "m".to_owned(),
        campaign_id: "c".to_owned(),
        affiliate_id: "a".to_owned(),
        effective_from: None,
        effective_until: Timestamp::parse("2026-07-01T00:00:00Z").ok(),
    };
    assert_eq!(registry.coupons().of("m", "ten-off")[0], expected);
}

#[test]
fn coupons_hold_from_their_first_to_before_their_last_millisecond() {
    let check = |from: Option<i64>, until: Option<i64>, ordered_at: i64, expected: bool| {
        let coupon = Coupon {
            id: "k".to_owned(),
            code: "K".to_owned(),
            merchant_id: "m".to_owned(),
            campaign_id: "c".to_owned(),
            affiliate_id: "a".to_owned(),
            effective_from: from.map(Timestamp),
            effective_until: until.map(Timestamp),
        };
        assert_eq!(coupon.is_effective(Timestamp(ordered_at)), expected, "{from:?} {until:?} {ordered_at}");
    };
    for (ordered_at, expected) in [(999, false), (1_000, true), (1_999, true), (2_000, false)] {
        check(Some(1_000), Some(2_000), ordered_at, expected);
    }
    check(None, None, i64::MIN, true);
    check(None, Some(2_000), 2_000, false);
    check(Some(1_000), None, i64::MAX, true);
}

#[test]
fn at_most_one_coupon_of_a_code_at_any_instant() {
    let day = |day: u32| format!("2026-01-{day:02}T00:00:00Z");
    let between =
        |from: u32, until: u32| format!("effective_from = \"{}\"; effective_until = \"{}\"", day(from), day(until));
    let from = |from: u32| format!("effective_from = \"{}\"", day(from));
    let until = |until: u32| format!("effective_until = \"{}\"", day(until));
    let told = |line: usize| {
        let line = line + BASE_LINES + 6;
        format!(
            "must be the code of one of the merchant's coupons at a time, whatever its case, but the one on line {line} \
             holds then too"
        )
    };
    let overlaps = |one: &str, two: &str| {
        let lines = one.split("; ").filter(|field| !field.is_empty()).count().max(1);
        let fault = format!("{}: coupons.code \"ten\" {}", 5 + lines + 3, told(3));
        check(&[("k1", "TEN", "c", one), ("k2", "ten", "c", two)], &[&fault]);
    };
    let apart = |one: &str, two: &str| check(&[("k1", "TEN", "c", one), ("k2", "ten", "c", two)], &[]);
    overlaps("", "");
    overlaps("", &between(3, 4));
    overlaps(&between(3, 4), "");
    overlaps(&between(3, 4), &between(3, 4));
    overlaps(&between(3, 6), &between(4, 5));
    overlaps(&between(4, 5), &between(3, 6));
    overlaps(&between(3, 5), &between(4, 6));
    overlaps(&between(4, 6), &between(3, 5));
    overlaps(&until(4), &until(3));
    overlaps(&from(3), &from(4));
    overlaps(&from(4), &from(3));
    overlaps(&until(4), &from(3));
    overlaps(&from(3), &until(4));
    apart(&between(3, 4), &between(4, 5));
    apart(&between(4, 5), &between(3, 4));
    apart(&until(4), &from(4));
    apart(&from(4), &until(4));
    check(&[("k1", "TEN", "c", ""), ("k2", "TEN", "d", "")], &[]);
    check(&[("k1", "TEN", "c", ""), ("k2", "TEN0", "c", "")], &[]);
    check(&[("k1", "K", "c", &until(3)), ("k2", "K", "c", &from(5)), ("k3", "K", "c", &between(3, 5))], &[]);
    let fault = format!("15: coupons.code \"K\" {}", told(9));
    check(&[("k1", "K", "c", &until(3)), ("k2", "K", "c", &from(5)), ("k3", "K", "c", &from(4))], &[&fault]);
}

#[test]
fn what_may_be_wrong_with_one() {
    let code = "must be 1 to 64 visible ASCII characters";
    for wrong in ["", "A B", "é", "दश"] {
        check(&[("k", wrong, "c", "")], &[&format!("3: coupons.code {wrong:?} {code}")]);
    }
    let (fits, long) = ("x".repeat(64), "x".repeat(65));
    check(&[("k", &fits, "c", "")], &[]);
    check(&[("k", &long, "c", "")], &[&format!("3: coupons.code {long:?} {code}")]);
    check(
        &[("k k", "K", "x", "")],
        &[
            "2: coupons.id \"k k\" must be 1 to 64 letters, digits, '_' or '-'",
            "4: coupons.campaign \"x\" must be the id of one of the [[campaigns]]",
        ],
    );
    check(
        &[("k", "K", "c", ""), ("k", "L", "c", "")],
        &[&format!("8: coupons.id \"k\" must be unique, but is the id on line {} too", BASE_LINES + 6 + 2)],
    );
    let field = "must be one of id, code, campaign, affiliate, effective_from, effective_until";
    check(&[("k", "K", "c", "merchant = \"m\"")], &[&format!("6: coupons field \"merchant\" {field}")]);
    let backwards = "effective_from = \"2026-01-02T00:00:00Z\"; effective_until = \"2026-01-02T00:00:00Z\"";
    check(
        &[("k", "K", "c", backwards)],
        &["7: coupons.effective_until \"2026-01-02T00:00:00Z\" must be after effective_from, 2026-01-02T00:00:00Z"],
    );
    let bare = format!("{BASE}[[coupons]]\n");
    let faults = Registry::parse(&bare).expect_err("faulty").to_string();
    let line = BASE_LINES + 1;
    let expected: Vec<String> =
        ["affiliate", "campaign", "code", "id"].map(|it| format!("line {line}: coupons.{it} must be given")).to_vec();
    assert_eq!(faults, expected.join("\n"));
}

#[test]
fn many_coupons_of_one_code_are_read() {
    let coupon = |number: i64| {
        let (from, until) = (Timestamp(number * 1_000), Timestamp(number * 1_000 + 1_000));
        format!(
            "[[coupons]]\nid = \"k{number}\"\ncode = \"K\"\ncampaign = \"c\"\naffiliate = \"a\"\neffective_from = \
             \"{from}\"\neffective_until = \"{until}\"\n"
        )
    };
    let coupons: String = (0..20_000).map(coupon).collect();
    let registry = Registry::parse(&format!("{BASE}{coupons}")).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(found(&registry, "m", "k").len(), 20_000);
}

#[test]
fn a_coupon_is_an_entry_of_its_own() {
    let entries = |text: &str| Entries::parse(text).unwrap_or_else(|faults| panic!("{faults}"));
    let (without, with) = (entries(&text(&[])), entries(&text(&[("k", "TEN", "c", "")])));
    assert_eq!(Difference::between(&without, &with).to_string(), "1 coupon added");
    let other = entries(&text(&[("k", "ten", "c", "")]));
    assert_eq!(Difference::between(&with, &other).to_string(), "1 coupon changed", "it is written as it was given");
    let (key, definition) = with.iter().last().expect("entries");
    assert_eq!(key.to_string(), "coupons/k");
    let expected = "[[coupons]]\nid = \"k\"\ncode = \"TEN\"\ncampaign = \"c\"\naffiliate = \"a\"\n";
    assert_eq!(definition.expose(), expected);
}
