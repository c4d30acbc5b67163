//! Every kind of fault, with its line.

use schemas::registry::Registry;

/// A file without fault, for faulty tables to be appended to.
pub(crate) const BASE: &str = r#"[[merchants]]
id = "m"
name = "M"
[[affiliates]]
id = "a"
name = "A"
[[campaigns]]
id = "c"
merchant = "m"
[[links]]
id = "l"
campaign = "c"
affiliate = "a"
destination = "https://shop.example/"
[[keys]]
id = "live_pk_base"
merchant = "m"
secret = "sk_live_0123456789abcdef"
[[rules]]
id = "r"
level = "platform"
percent = "5"
[[clicks]]
id = "k"
link = "l"
clicked_at = "2026-01-01T00:00:00Z"
"#;
pub(crate) const BASE_LINES: usize = 26;

/// Lines are counted from the first of `appended`.
#[track_caller]
fn check(appended: &str, expected: &[&str]) {
    let text = format!("{BASE}{appended}");
    let found = match Registry::parse(&text) {
        Ok(_) => Vec::new(),
        Err(faults) => {
            faults.as_slice().iter().map(|fault| format!("{}: {}", fault.line - BASE_LINES, fault.message)).collect()
        }
    };
    assert_eq!(found, expected, "{appended}");
}

#[test]
fn the_base_has_no_fault() {
    check("", &[]);
    assert_eq!(BASE.lines().count(), BASE_LINES);
}

#[test]
fn sections_and_fields() {
    let sections = "must be one of policies, merchants, keys, affiliates, campaigns, links, rules, clicks, coupons, \
                    endpoints";
    check("[[merchant]]\nid = \"x\"", &[&format!("1: section \"merchant\" {sections}")]);
    check("[policy]", &[&format!("1: section \"policy\" {sections}")]);
    check("[[policies]]", &["1: policies must be one table, written [policies]"]);
    check("[[affiliates]]\nid = \"b\"", &["1: affiliates.name must be given"]);
    check("[[affiliates]]\nname = \"B\"", &["1: affiliates.id must be given"]);
    check("[[affiliates]]", &["1: affiliates.id must be given", "1: affiliates.name must be given"]);
    check(
        "[[affiliates]]\nid = \"b\"\nname = \"B\"\nmail = \"b@b.example\"",
        &["4: affiliates field \"mail\" must be one of id, name, on_hold, own_merchants"],
    );
    check(
        "[[affiliates]]\nid = 7\nname = [\"B\"]",
        &[
            "2: affiliates.id is an integer, must be a text in quotes",
            "3: affiliates.name is an array, must be a text in quotes",
        ],
    );
    check(
        "[[affiliates]]\nid = 1.5\nname = { first = \"B\" }",
        &[
            "2: affiliates.id is a float, must be a text in quotes",
            "3: affiliates.name is a table, must be a text in quotes",
        ],
    );
    let name = "must be 1 to 200 characters, not all blank, without control characters";
    for value in ["", " ", "a\\nb"] {
        let fault = format!("3: affiliates.name \"{value}\" {name}");
        check(&format!("[[affiliates]]\nid = \"b\"\nname = \"{value}\""), &[&fault]);
    }
}

#[test]
fn sections_of_another_shape() {
    for (text, expected) in [
        ("keys = 7", "line 1: keys must be tables, each written [[keys]]"),
        ("keys = [\n7]", "line 2: keys must be tables, each written [[keys]]"),
        ("[keys]\nid = \"x\"", "line 1: keys must be tables, each written [[keys]]"),
        ("policies = true", "line 1: policies must be one table, written [policies]"),
    ] {
        assert_eq!(Registry::parse(text).expect_err(text).to_string(), expected, "{text}");
    }
}

#[test]
fn what_is_no_toml() {
    check("[[affiliates]]\nid = \"b\"\nid = \"c\"\nname = \"B\"", &["3: must be valid TOML: duplicate key"]);
    let faults = Registry::parse("id = \n\nname = 'x\n").expect_err("no TOML");
    let lines: Vec<usize> = faults.as_slice().iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 3], "{faults}");
    let faults = Registry::parse("[[keys]]\nsecret = \"sk_live_0123456789abcdef").expect_err("no TOML").to_string();
    assert!(faults.starts_with("line 2: must be valid TOML: ") && !faults.contains("0123456789"), "{faults}");
}

#[test]
fn ids() {
    let name = "must be 1 to 64 letters, digits, '_' or '-'";
    for id in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
        check(&format!("[[affiliates]]\nid = \"{id}\"\nname = \"B\""), &[&format!("2: affiliates.id {id:?} {name}")]);
    }
    check(
        "[[affiliates]]\nid = \"b\"\nname = \"B\"\n[[affiliates]]\nid = \"b\"\nname = \"B\"",
        &["5: affiliates.id \"b\" must be unique, but is the id on line 28 too"],
    );
    check(
        "[[merchants]]\nid = \"m\"\nname = \"M\"",
        &["2: merchants.id \"m\" must be unique, but is the id on line 2 too"],
    );
    // Over all levels, since a commission names its rule by id alone.
    check(
        "[[rules]]\nid = \"r\"\nlevel = \"merchant\"\nmerchant = \"m\"\npercent = \"1\"",
        &["2: rules.id \"r\" must be unique, but is the id on line 20 too"],
    );
    let click = "must be 1 to 128 visible ASCII characters";
    for id in ["", "a b", "é", &"x".repeat(129)] {
        let shown = if id.len() > 80 { format!("\"{}\"…", &id[..80]) } else { format!("{id:?}") };
        let text = format!("[[clicks]]\nid = \"{id}\"\nlink = \"l\"\nclicked_at = \"2026-01-01T00:00:00Z\"");
        check(&text, &[&format!("2: clicks.id {shown} {click}")]);
    }
}

#[test]
fn references() {
    check(
        "[[campaigns]]\nid = \"d\"\nmerchant = \"x\"",
        &["3: campaigns.merchant \"x\" must be the id of one of the [[merchants]]"],
    );
    check(
        "[[links]]\nid = \"k\"\ncampaign = \"x\"\naffiliate = \"m\"\ndestination = \"https://b.example\"",
        &[
            "3: links.campaign \"x\" must be the id of one of the [[campaigns]]",
            "4: links.affiliate \"m\" must be the id of one of the [[affiliates]]",
        ],
    );
    check(
        "[[clicks]]\nid = \"x\"\nlink = \"x\"\nclicked_at = \"2026-01-01\"",
        &[
            "3: clicks.link \"x\" must be the id of one of the [[links]]",
            "4: clicks.clicked_at \"2026-01-01\" must be an ISO 8601 date and time with an offset, such as 2026-06-14T09:30:00Z or 2026-06-14T15:15:00+05:45",
        ],
    );
    // What refers to a faulty table is no fault of its own.
    check(
        "[[merchants]]\nid = \"n\"\nname = \"N\"\ncurrency = \"NPX\"\n[[campaigns]]\nid = \"d\"\nmerchant = \"n\"\n[[links]]\nid = \"k\"\ncampaign = \"d\"\naffiliate = \"a\"\ndestination = \"https://b.example\"\n[[clicks]]\nid = \"x\"\nlink = \"k\"\nclicked_at = 2026-01-01T00:00:00Z",
        &["4: merchants.currency \"NPX\" must be an ISO 4217 code of a currency in use, in capitals, such as NPR"],
    );
}

#[test]
fn limits_of_keys() {
    let key = |fields: &str| {
        format!("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nsecret = \"sk_live_fedcba9876543210\"\n{fields}")
    };
    check(
        &key(
            "allowed_ips = \"203.0.113.0/24, 2001:db8::7\"\nstrict_replay = true\nrate_limit = \"50/s\"\nrate_burst = \"1\"",
        ),
        &[],
    );
    for (fields, fault) in [
        (
            "allowed_ips = \"\"",
            "5: keys.allowed_ips \"\" must be IP addresses with commas, each alone or with a prefix, such as \"203.0.113.7, 2001:db8::/32\"",
        ),
        (
            "allowed_ips = \"10.0.0.1/8\"",
            "5: keys.allowed_ips \"10.0.0.1/8\" must have no bits beyond its prefix: 10.0.0.0/8",
        ),
        ("allowed_ips = [\"10.0.0.1\"]", "5: keys.allowed_ips is an array, must be a text in quotes"),
        ("strict_replay = \"yes\"", "5: keys.strict_replay is a text, must be true or false"),
        (
            "rate_limit = \"50\"",
            "5: keys.rate_limit \"50\" must be 1 to 1000000 requests a second or a minute, such as \"50/s\" or \"600/m\"",
        ),
        ("rate_limit = 50", "5: keys.rate_limit is an integer, must be a text in quotes"),
        (
            "rate_limit = \"50/s\"\nrate_burst = \"0\"",
            "6: keys.rate_burst \"0\" must be a whole number in quotes, from 1 to 1000000",
        ),
        ("rate_burst = \"10\"", "5: keys.rate_burst must come with a rate_limit"),
    ] {
        check(&key(fields), &[fault]);
    }
}

#[test]
fn merchants_and_keys() {
    check(
        "[[merchants]]\nid = \"n\"\nname = \"N\"\napproved = \"yes\"",
        &["4: merchants.approved is a text, must be true or false"],
    );
    let key = |id: &str, secret: &str| format!("[[keys]]\nid = \"{id}\"\nmerchant = \"m\"\nsecret = \"{secret}\"\n");
    let id = "2: keys.id (hidden) must be live_pk_ or test_pk_ and 1 to 64 letters, digits, '_' or '-'";
    for wrong in ["", "pk_live_x", "live_pk_", "live_pk_a b", &format!("test_pk_{}", "x".repeat(65))] {
        check(&key(wrong, "sk_test_0123456789abcdef"), &[id]);
    }
    let rest = "and have 16 to 256 visible ASCII characters";
    let live = format!("4: keys.secret (hidden) must begin with sk_live_, as the key is a live one, {rest}");
    let test = format!("4: keys.secret (hidden) must begin with sk_test_, as the key is a test one, {rest}");
    check(&key("live_pk_x", "sk_live_fedcba98"), &[]);
    check(&key("live_pk_x", "sk_live_fedcba9"), &[&live]);
    check(&key("live_pk_x", &format!("sk_live_{}", "x".repeat(248))), &[]);
    check(&key("live_pk_x", &format!("sk_live_{}", "x".repeat(249))), &[&live]);
    check(&key("live_pk_x", "sk_test_fedcba9876543210"), &[&live]);
    check(&key("test_pk_x", "sk_live_fedcba9876543210"), &[&test]);
    check(&key("test_pk_x", "sk_test_fedcba 9876543210"), &[&test]);
    check(&key("test_pk_x", "sk_test_fedcba9876543210é"), &[&test]);
    check(&key("live_pk_x", ""), &[&live]);
    check("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"", &["1: keys.secret must be given"]);
    check(
        &key("live_pk_x", "sk_live_0123456789abcdef"),
        &["4: keys.secret (hidden) must be another than that of the key on line 18"],
    );
    check(
        &(key("live_pk_x", "sk_live_fedcba9876543210") + "status = \"retired\"\nexpires_at = \"soon\""),
        &[
            "5: keys.status \"retired\" must be active, disabled or revoked",
            "6: keys.expires_at \"soon\" must be an ISO 8601 date and time with an offset, such as 2026-06-14T09:30:00Z or 2026-06-14T15:15:00+05:45",
        ],
    );
}

#[test]
fn no_fault_shows_a_secret() {
    const SECRET: &str = "sk_live_s3cr3ts3cr3ts3cr3t";
    for text in [
        format!("[[keys]]\nid = \"{SECRET}\"\nmerchant = \"{SECRET}\"\nsecret = \"live_pk_x\"\nstatus = \"{SECRET}\""),
        "[[keys]]\nid = \"s3cr3ts3cr3ts3cr3t\"\nmerchant = \"m\"\nsecret = \"s3cr3ts3cr3ts3cr3t\"".to_owned(),
        format!("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nsecrte = \"{SECRET}\""),
        format!("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\n{SECRET} = \"secret\""),
        format!("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nsecret = [\"{SECRET}\"]"),
        format!("[[affiliates]]\nid = \"{} \"\nname = \"B\"", SECRET.to_uppercase()),
        format!("[[{SECRET}]]"),
        format!("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nsecret = {SECRET}"),
        format!("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nsecret = \"{SECRET}\" x"),
        format!("[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nsecret = \"\\{SECRET}\""),
    ] {
        let faults = Registry::parse(&format!("{BASE}{text}")).expect_err(&text);
        let printed = format!("{faults} {faults:?}").to_lowercase();
        assert!(!printed.contains("s3cr3t"), "{text}\n{faults}");
    }
}

#[test]
fn policies() {
    for (field, value, remedy) in [
        ("click_wait", "25h", "must be from 0s to 24h"),
        ("lookback", "0s", "must be from 1s to 365d"),
        ("settlement_window", "366d", "must be from 0s to 365d"),
        ("return_window", "366d", "must be from 0s to 365d"),
        ("click_retention", "3651d", "must be from 1s to 3650d"),
        ("min_click_to_order", "86401s", "must be from 0s to 24h"),
        ("click_wait", "1.5s", "must be a whole number and s, m, h or d, such as \"30d\", from 0s to 24h"),
        ("click_wait", "60", "must be a whole number and s, m, h or d, such as \"30d\", from 0s to 24h"),
    ] {
        let text = format!("[policies]\n{field} = \"{value}\"");
        check(&text, &[&format!("2: policies.{field} \"{value}\" {remedy}")]);
    }
    check("[policies]\nclick_wait = 60", &["2: policies.click_wait is an integer, must be a text in quotes"]);
    let remedy = "must be at least the lookback: a click is kept for as long as an order may name it";
    check("[policies]\nclick_retention = \"29d\"", &[&format!("2: policies.click_retention \"29d\" {remedy}")]);
    check("[policies]\nlookback = \"121d\"", &[&format!("1: policies.click_retention {remedy}")]);
    check("[policies]\nlookback = \"29d\"\nclick_retention = \"29d\"", &[]);
    let campaign = |lookback: &str| format!("[[campaigns]]\nid = \"d\"\nmerchant = \"m\"\nlookback = \"{lookback}\"\n");
    check(&campaign("120d"), &[]);
    let remedy = "must be at most policies.click_retention (default 120d)";
    check(&campaign("121d"), &[&format!("4: campaigns.lookback \"121d\" {remedy}")]);
    check(&(campaign("121d") + "[policies]\nclick_retention = \"121d\""), &[]);
    let cut_off = "payout_cut_off = \"friday 18:00 Asia/Kathmandu\"";
    check(&format!("[policies]\n{cut_off}\npayout_minimum = \"NPR 1000.00, USD 25\""), &[]);
    check(
        "[policies]\npayout_minimum = \"NPR 1000.00\"",
        &["2: policies.payout_minimum must come with a payout_cut_off"],
    );
    check(
        "[policies]\npayout_cut_off = \"friday 18:00\"",
        &[
            "2: policies.payout_cut_off \"friday 18:00\" must be a weekday, a time and a zone, such as \"friday 18:00 Asia/Kathmandu\"",
        ],
    );
    check(
        "[policies]\npayout_cut_off = \"friday 18:00 Asia/Atlantis\"",
        &[
            "2: policies.payout_cut_off \"friday 18:00 Asia/Atlantis\" must end with a zone of the IANA database, such as Asia/Kathmandu",
        ],
    );
    check(
        &format!("[policies]\n{cut_off}\npayout_minimum = \"NPR 0\""),
        &["3: policies.payout_minimum \"NPR 0\" must have more than 0 for NPR"],
    );
    check(
        "[[affiliates]]\nid = \"b\"\nname = \"B\"\non_hold = \"no\"",
        &["4: affiliates.on_hold is a text, must be true or false"],
    );
    let own = |merchants: &str| format!("[[affiliates]]\nid = \"b\"\nname = \"B\"\nown_merchants = {merchants}\n");
    let ids = "must be ids of [[merchants]] with commas, such as \"himal-outdoor, tokyo-tea\"";
    check(&own("\"m\""), &[]);
    for unknown in ["", "n", "m,", "m n", "m, n"] {
        let shown = format!("\"{unknown}\"");
        check(&own(&shown), &[&format!("4: affiliates.own_merchants {shown} {ids}")]);
    }
    check(&own("\"m, m\""), &["4: affiliates.own_merchants \"m, m\" must have m once"]);
    check(&own("[\"m\"]"), &["4: affiliates.own_merchants is an array, must be a text in quotes"]);
    let slow = |least: &str| format!("[[campaigns]]\nid = \"d\"\nmerchant = \"m\"\nmin_click_to_order = \"{least}\"\n");
    check("[policies]\nmin_click_to_order = \"24h\"", &[]);
    check(&(slow("0s") + "[[campaigns]]\nid = \"e\"\nmerchant = \"m\"\nmin_click_to_order = \"24h\""), &[]);
    check(&slow("25h"), &["4: campaigns.min_click_to_order \"25h\" must be from 0s to 24h"]);
    check(&campaign("366d"), &["4: campaigns.lookback \"366d\" must be from 1s to 365d"]);
    check(
        &(campaign("121d") + "[policies]\nclick_retention = \"1y\""),
        &[
            "6: policies.click_retention \"1y\" must be a whole number and s, m, h or d, such as \"30d\", from 1s to 3650d",
        ],
    );
}

#[test]
fn destinations() {
    check(
        "[[links]]\nid = \"k\"\ncampaign = \"c\"\naffiliate = \"a\"\ndestination = \"shop.example\"",
        &["5: links.destination \"shop.example\" must be an absolute URL that begins with http:// or https://"],
    );
}

#[test]
fn all_faults_of_a_file_are_told_at_once_and_in_order() {
    let text = r#"[policies]
click_wait = "2w"
colour = "red"

[[rules]]
id = "no good"
level = "merchant"
merchant = "nobody"
percent = "101"

[[merchants]]
id = "m"
currency = "NPX"

[[keys]]
id = "live_pk_x"
merchant = "m"
secret = "short"
"#;
    let expected = "\
line 2: policies.click_wait \"2w\" must be a whole number and s, m, h or d, such as \"30d\", from 0s to 24h
line 3: policies field \"colour\" must be one of click_wait, lookback, settlement_window, return_window, click_retention, min_click_to_order, payout_cut_off, payout_minimum
line 6: rules.id \"no good\" must be 1 to 64 letters, digits, '_' or '-'
line 8: rules.merchant \"nobody\" must be the id of one of the [[merchants]]
line 9: rules.percent \"101\" must be a decimal percentage from 0 to 100 with at most 4 decimals, such as \"12\" or \"7.25\"
line 11: merchants.name must be given
line 13: merchants.currency \"NPX\" must be an ISO 4217 code of a currency in use, in capitals, such as NPR
line 18: keys.secret (hidden) must begin with sk_live_, as the key is a live one, and have 16 to 256 visible ASCII characters";
    assert_eq!(Registry::parse(text).expect_err("faulty").to_string(), expected);
    let windows = text.replace('\n', "\r\n");
    assert_eq!(Registry::parse(&windows).expect_err("faulty").to_string(), expected, "lines may end as on Windows");
}
