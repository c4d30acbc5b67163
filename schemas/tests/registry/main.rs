//! The registry file, from outside: what it reads, and what it says of a file that is wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use schemas::records::{ClickRecorded, RuleLevel};
use schemas::registry::{
    Affiliate, Bounds, Campaign, Coupon, KeyStatus, Link, Merchant, Payment, Policies, Registry, Rule, RuleScope,
};
use schemas::{Currency, Rate, Timestamp};

mod coupons;
mod encryption;
mod endpoints;
mod entries;
mod faults;
mod fold;
mod key_limits;
mod limits;
mod rule_faults;

fn parse(text: &str) -> Registry {
    Registry::parse(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn npr() -> Currency {
    Currency::parse("NPR").expect("a currency")
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

fn product(merchant_id: &str, external_product_id: &str) -> RuleScope {
    RuleScope::Product { merchant_id: merchant_id.to_owned(), external_product_id: external_product_id.to_owned() }
}

fn campaign(campaign_id: &str) -> RuleScope {
    RuleScope::Campaign { campaign_id: campaign_id.to_owned() }
}

fn merchant(merchant_id: &str) -> RuleScope {
    RuleScope::Merchant { merchant_id: merchant_id.to_owned() }
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn an_empty_file_is_the_default_policies_and_nothing_else() {
    for text in ["", "# nothing yet\n", "\u{feff}", "[policies]\n", "merchants = []\n"] {
        let registry = parse(text);
        assert_eq!(*registry.policies(), Policies::default(), "{text:?}");
        assert_eq!(registry.keys().count(), 0, "{text:?}");
        assert!(registry.rules().of(&RuleScope::Platform).is_empty(), "{text:?}");
    }
}

#[test]
fn the_example_file_parses_to_what_it_says() {
    let registry = parse(include_str!("../../../examples/registry.toml"));
    assert_eq!(*registry.policies(), Policies::default(), "the example shows the defaults");
    let himal =
        Merchant { id: "himal-outdoor".to_owned(), name: "Himal Outdoor".to_owned(), currency: npr(), approved: true };
    assert_eq!(registry.merchant("himal-outdoor"), Some(&himal));
    let tea = registry.merchant("tokyo-tea").expect("registered");
    assert_eq!((tea.name.as_str(), tea.currency.code(), tea.approved), ("東京ティー", "JPY", false));

    let old = registry.key("live_pk_himal_2025_07").expect("registered");
    assert_eq!((old.merchant_id.as_str(), old.livemode), ("himal-outdoor", true));
    assert_eq!((old.status, old.expires_at), (KeyStatus::Active, Some(at("2027-01-01T00:00:00Z"))));
    assert_eq!(old.secret.expose(), "sk_live_replace_me_himal_2025_07");
    let test = registry.key("test_pk_himal").expect("registered");
    assert_eq!((test.livemode, test.status, test.expires_at), (false, KeyStatus::Active, None));

    let blog = Affiliate {
        id: "trek-blog".to_owned(),
        name: "The Trek Blog".to_owned(),
        on_hold: false,
        own_merchants: BTreeSet::new(),
    };
    assert_eq!(registry.affiliate("trek-blog"), Some(&blog));
    let dashain = Campaign {
        id: "himal-dashain-2026".to_owned(),
        merchant_id: "himal-outdoor".to_owned(),
        lookback: Some(45 * DAY),
        min_click_to_order: Some(Duration::from_secs(2)),
    };
    assert_eq!(registry.campaign("himal-dashain-2026"), Some(&dashain));
    assert_eq!(registry.campaign("tokyo-tea-always").and_then(|campaign| campaign.lookback), None);
    let link = Link {
        id: "trek-blog-dashain".to_owned(),
        campaign_id: "himal-dashain-2026".to_owned(),
        affiliate_id: "trek-blog".to_owned(),
        destination: "https://himal-outdoor.example/dashain?utm_source=trek-blog".to_owned(),
    };
    assert_eq!(registry.link("trek-blog-dashain"), Some(&link));
    let click = ClickRecorded {
        click_id: "clk_7Tn3x9b2qa".to_owned(),
        merchant_id: "himal-outdoor".to_owned(),
        campaign_id: "himal-dashain-2026".to_owned(),
        affiliate_id: "trek-blog".to_owned(),
        link_id: Some("trek-blog-dashain".to_owned()),
        clicked_at: at("2026-10-03T12:35:00Z"),
    };
    assert_eq!(registry.clicks(), [click]);
    let coupon = Coupon {
        id: "trek-blog-dashain-10".to_owned(),
        code: "TREK10".to_owned(),
        merchant_id: "himal-outdoor".to_owned(),
        campaign_id: "himal-dashain-2026".to_owned(),
        affiliate_id: "trek-blog".to_owned(),
        effective_from: Some(at("2026-09-30T18:15:00Z")),
        effective_until: Some(at("2026-10-31T18:15:00Z")),
    };
    assert_eq!(registry.coupons().of("himal-outdoor", "Trek10"), [coupon]);
    for id in ["himal", "", "Himal-Outdoor"] {
        assert!(registry.merchant(id).is_none() && registry.key(id).is_none() && registry.link(id).is_none());
    }
}

#[test]
fn the_example_files_rules() {
    let registry = parse(include_str!("../../../examples/registry.toml"));
    let weeks = Rule {
        id: "himal-dashain-weeks".to_owned(),
        payment: Payment::Percentage(Rate::parse("10").expect("a rate")),
        bounds: Some(Bounds { currency: npr(), minimum_minor: Some(5_000), cap_minor: Some(500_000) }),
        effective_from: Some(at("2026-09-30T18:15:00Z")),
        effective_until: Some(at("2026-10-31T18:15:00Z")),
    };
    assert_eq!(registry.rules().of(&campaign("himal-dashain-2026")), [weeks.into()]);
    let fixed = Payment::Fixed { minor: 300, currency: Currency::parse("JPY").expect("a currency") };
    assert_eq!(registry.rules().of(&merchant("tokyo-tea"))[0].payment, fixed);
    for (scope, level, id) in [
        (product("himal-outdoor", "TENT-2P-RED"), RuleLevel::Product, "himal-tents"),
        (merchant("himal-outdoor"), RuleLevel::Merchant, "himal-default"),
        (RuleScope::Platform, RuleLevel::Platform, "platform-default"),
    ] {
        let ids: Vec<&str> = registry.rules().of(&scope).iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!((scope.level(), ids), (level, vec![id]));
    }
    assert!(registry.rules().of(&product("tokyo-tea", "TENT-2P-RED")).is_empty(), "a product is its merchant's");
}

#[test]
fn the_demo_is_what_the_guide_says() {
    let registry = Registry::demo();
    let policies = Policies {
        click_wait: Duration::from_secs(2),
        lookback: 30 * DAY,
        settlement_window: Duration::from_secs(5),
        return_window: Duration::from_secs(3),
        click_retention: 120 * DAY,
        min_click_to_order: Duration::ZERO,
    };
    assert_eq!(*registry.policies(), policies);
    for (id, merchant, secret) in [
        ("live_pk_xxxxxxxxxxxxxxxx", "mer_one", "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx"),
        ("live_pk_yyyyyyyyyyyyyyyy", "mer_two", "sk_live_yyyyyyyyyyyyyyyyyyyyyyyy"),
    ] {
        let key = registry.key(id).expect(id);
        assert_eq!((key.merchant_id.as_str(), key.secret.expose(), key.livemode), (merchant, secret, true));
        assert!(registry.merchant(merchant).is_some_and(|merchant| merchant.approved));
    }
    let clicks = registry.clicks().iter().map(|click| (&*click.click_id, &*click.merchant_id, click.clicked_at));
    let day_before = at("2026-06-13T09:30:00Z");
    let expected = [
        ("clk_8Q2c0r7m4w", "mer_one", day_before),
        ("clk_9Zq4m2n8xk", "mer_two", day_before),
        ("clk_5Lw8t1p3vd", "mer_one", at("2026-06-14T09:27:00Z")),
    ];
    assert_eq!(clicks.collect::<Vec<_>>(), expected);
    let least = registry.campaign("cmp_slow").and_then(|campaign| campaign.min_click_to_order);
    assert_eq!(least, Some(Duration::from_secs(120)));
    for (merchant, code, affiliate, over) in [
        ("mer_one", "aff10", "aff_one", false),
        ("mer_one", "spring", "aff_two", true),
        ("mer_two", "two10", "aff_two", false),
    ] {
        let coupons = registry.coupons().of(merchant, code).iter();
        let found: Vec<_> = coupons.map(|it| (&*it.affiliate_id, !it.is_effective(day_before))).collect();
        assert_eq!(found, [(affiliate, over)], "{code}");
    }
    assert_eq!(registry.link("demo").map(|link| link.campaign_id.as_str()), Some("cmp_one"));
    for (scope, rate) in [
        (product("mer_one", "SKU-RED-42"), Some("12")),
        (product("mer_one", "SKU-ZERO"), Some("0")),
        (campaign("cmp_one"), Some("10")),
        (merchant("mer_one"), Some("8")),
        (campaign("cmp_two"), None),
        (merchant("mer_two"), None),
        (RuleScope::Platform, Some("5")),
    ] {
        let payments: Vec<_> = registry.rules().of(&scope).iter().map(|rule| rule.payment).collect();
        let expected = rate.map(|rate| Payment::Percentage(Rate::parse(rate).expect("a rate")));
        assert_eq!(payments, expected.into_iter().collect::<Vec<_>>(), "{scope:?}");
    }
}

#[test]
fn demo_keys_are_known_wherever_they_stand() {
    #[track_caller]
    fn check(id: &str, secret: &str, expected: bool) {
        let text = format!(
            "[[merchants]]\nid = \"m\"\nname = \"M\"\n[[keys]]\nid = \"{id}\"\nmerchant = \"m\"\nsecret = \"{secret}\"\n"
        );
        assert_eq!(parse(&text).has_demo_key(), expected, "{id} {secret}");
    }
    assert!(Registry::demo().has_demo_key());
    assert!(parse(include_str!("../../../examples/registry.toml")).has_demo_key(), "its secrets are placeholders");
    assert!(!parse("").has_demo_key());
    check("live_pk_xxxxxxxxxxxxxxxx", "sk_live_0123456789abcdef", true);
    check("live_pk_mine", "sk_live_yyyyyyyyyyyyyyyyyyyyyyyy", true);
    check("test_pk_mine", "sk_test_replace_me_please", true);
    check("live_pk_mine", "sk_live_0123456789abcdef", false);
    check("test_pk_xxxxxxxxxxxxxxxx", "sk_test_0123456789abcdef", false);
}

#[test]
fn debug_prints_no_secret() {
    let registry = Registry::demo();
    for printed in [format!("{registry:?}"), format!("{registry:#?}")] {
        assert!(printed.contains("live_pk_xxxxxxxxxxxxxxxx"), "the keys are in it");
        assert!(!printed.contains("sk_live_"), "no secret is");
    }
}

#[test]
fn rules_of_a_scope_come_latest_first_then_by_id() {
    let rule =
        |id: &str, more: &str| format!("[[rules]]\nid = \"{id}\"\nlevel = \"platform\"\npercent = \"1\"\n{more}\n");
    let from = |day: &str| format!("effective_from = \"2026-01-{day}T00:00:00Z\"");
    let text = [
        rule("always-b", ""),
        rule("early", &from("01")),
        rule("late-b", &from("03")),
        rule("always-a", ""),
        rule("late-a", &from("03")),
        rule("middle", &from("02")),
    ]
    .concat();
    let registry = parse(&text);
    let ids: Vec<&str> = registry.rules().of(&RuleScope::Platform).iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["late-a", "late-b", "middle", "early", "always-a", "always-b"]);
}

#[test]
fn rules_hold_from_their_first_to_before_their_last_millisecond() {
    #[track_caller]
    fn check(from: Option<i64>, until: Option<i64>, ordered_at: i64, expected: bool) {
        let rule = Rule {
            id: "r".to_owned(),
            payment: Payment::Percentage(Rate::parse("1").expect("a rate")),
            bounds: None,
            effective_from: from.map(Timestamp),
            effective_until: until.map(Timestamp),
        };
        assert_eq!(rule.is_effective(Timestamp(ordered_at)), expected, "{from:?} {until:?} {ordered_at}");
    }
    for (ordered_at, expected) in [(999, false), (1_000, true), (1_999, true), (2_000, false)] {
        check(Some(1_000), Some(2_000), ordered_at, expected);
    }
    for (ordered_at, expected) in [(i64::MIN, false), (999, false), (1_000, true), (i64::MAX, true)] {
        check(Some(1_000), None, ordered_at, expected);
    }
    for (ordered_at, expected) in [(i64::MIN, true), (1_999, true), (2_000, false), (i64::MAX, false)] {
        check(None, Some(2_000), ordered_at, expected);
    }
    check(None, None, i64::MIN, true);
    check(Some(1_000), Some(1_001), 1_000, true);
    check(Some(1_000), Some(1_001), 1_001, false);
}

#[test]
fn a_rule_is_computed_in_its_currencies_only() {
    let registry = parse(include_str!("../../../examples/registry.toml"));
    let jpy = Currency::parse("JPY").expect("a currency");
    for (scope, in_npr, in_jpy) in [
        (campaign("himal-dashain-2026"), true, false),
        (merchant("himal-outdoor"), true, true),
        (merchant("tokyo-tea"), false, true),
    ] {
        let rule = &registry.rules().of(&scope)[0];
        assert_eq!((rule.is_in(npr()), rule.is_in(jpy)), (in_npr, in_jpy), "{scope:?}");
    }
}

#[test]
fn an_affiliate_has_at_most_sixteen_shops() {
    let with = |shops: usize| {
        let ids: Vec<String> = (0..shops).map(|number| format!("m{number}")).collect();
        let merchants: String = ids.iter().map(|id| format!("[[merchants]]\nid = \"{id}\"\nname = \"M\"\n")).collect();
        let own = ids.join(", ");
        Registry::parse(&format!("{merchants}[[affiliates]]\nid = \"a\"\nname = \"A\"\nown_merchants = \"{own}\"\n"))
    };
    let registry = with(16).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(registry.is_own_merchant("a", "m0") && registry.is_own_merchant("a", "m15"));
    assert!(!registry.is_own_merchant("a", "m16") && !registry.is_own_merchant("b", "m0"));
    let faults = with(17).expect_err("one too many");
    assert!(faults.to_string().contains("must have at most 16 merchants"), "{faults}");
}
