//! What may be wrong with a rule, with its line.

use schemas::registry::Registry;

use super::faults::{BASE, BASE_LINES};

/// Lines are counted from `level`.
#[track_caller]
fn check_rule(fields: &str, expected: &[&str]) {
    let text = format!("{BASE}[[rules]]\nid = \"s\"\n{}", fields.replace("; ", "\n"));
    let found = match Registry::parse(&text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .as_slice()
            .iter()
            .map(|fault| format!("{}: {}", fault.line.saturating_sub(BASE_LINES + 2), fault.message))
            .collect(),
    };
    assert_eq!(found, expected, "{fields}");
}

#[test]
fn rule_scopes() {
    check_rule(
        "level = 'shop'; percent = '1'",
        &["1: rules.level \"shop\" must be product, campaign, merchant or platform"],
    );
    check_rule("percent = '1'", &["0: rules.level must be given"]);
    for (level, needs) in
        [("product", &["merchant", "product"][..]), ("campaign", &["campaign"]), ("merchant", &["merchant"])]
    {
        let missing: Vec<String> = needs.iter().map(|field| format!("0: rules.{field} must be given")).collect();
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        check_rule(&format!("level = '{level}'; percent = '1'"), &missing);
    }
    for (level, given, refused, needs) in [
        ("product", "merchant = 'm'; product = 'p'", "campaign = 'c'", "merchant and product"),
        ("campaign", "campaign = 'c'", "merchant = 'm'", "campaign"),
        ("campaign", "campaign = 'c'", "product = 'p'", "campaign"),
        ("merchant", "merchant = 'm'", "product = 'p'", "merchant"),
        ("merchant", "merchant = 'm'", "campaign = 'c'", "merchant"),
    ] {
        check_rule(&format!("level = '{level}'; {given}; percent = '1'"), &[]);
        let field = refused.split(' ').next().expect("a field");
        let fault = format!("1: rules.{field} must be left out: a rule of this level names {needs}");
        check_rule(&format!("{refused}; level = '{level}'; {given}; percent = '1'"), &[&fault]);
    }
    check_rule(
        "level = 'platform'; merchant = 'm'; percent = '1'",
        &["2: rules.merchant must be left out: a rule of this level names nothing"],
    );
    check_rule(
        "level = 'product'; merchant = 'x'; product = ''; percent = '1'",
        &[
            "2: rules.merchant \"x\" must be the id of one of the [[merchants]]",
            "3: rules.product \"\" must be 1 to 160 characters",
        ],
    );
    check_rule(&format!("level = 'product'; merchant = 'm'; product = '{}'; percent = '1'", "é".repeat(160)), &[]);
}

#[test]
fn rule_payments() {
    let check_payment =
        |fields: &str, expected: &[&str]| check_rule(&format!("level = 'platform'; {fields}"), expected);
    check_payment("percent = '12.5'", &[]);
    check_payment("fixed = '100.00'; currency = 'NPR'", &[]);
    check_payment("percent = '1'; minimum = '10'; currency = 'NPR'", &[]);
    check_payment("percent = '1'; cap = '10'; currency = 'NPR'", &[]);
    check_payment("percent = '1'; minimum = '10.00'; cap = '10'; currency = 'NPR'", &[]);
    let rate = "must be a decimal percentage from 0 to 100 with at most 4 decimals, such as \"12\" or \"7.25\"";
    for value in ["101", "-1", "12%", "0.00001"] {
        check_payment(&format!("percent = '{value}'"), &[&format!("2: rules.percent \"{value}\" {rate}")]);
    }
    check_payment("percent = 12", &["2: rules.percent is an integer, must be a text in quotes"]);
    check_payment(
        "percent = '1'; fixed = '1'; currency = 'NPR'",
        &["3: rules.fixed must be left out: a rule pays a percent or a fixed amount"],
    );
    check_rule("level = 'platform'", &["0: rules.percent or rules.fixed must be given"]);
    check_payment("fixed = '1'", &["0: rules.currency must be given: it is of fixed, minimum and cap"]);
    check_payment("percent = '1'; cap = '1'", &["0: rules.currency must be given: it is of fixed, minimum and cap"]);
    check_payment(
        "percent = '1'; currency = 'NPR'",
        &["3: rules.currency must be left out: it is of fixed, minimum and cap, and none is given"],
    );
    check_payment(
        "fixed = '1'; currency = 'NPR'; minimum = '1'; cap = '1'",
        &[
            "4: rules.minimum must be left out of a rule with fixed",
            "5: rules.cap must be left out of a rule with fixed",
        ],
    );
    check_payment(
        "fixed = '1.001'; currency = 'NPR'",
        &["2: rules.fixed \"1.001\" must have at most 2 decimals, as NPR has"],
    );
    check_payment(
        "fixed = '1.5'; currency = 'JPY'",
        &["2: rules.fixed \"1.5\" must have at most 0 decimals, as JPY has"],
    );
    check_payment(
        "percent = '1'; minimum = '10.01'; cap = '10'; currency = 'NPR'",
        &["3: rules.minimum \"10.01\" must be at most the cap"],
    );
    check_payment(
        "fixed = '1'; currency = 'npr'",
        &["3: rules.currency \"npr\" must be an ISO 4217 code of a currency in use, in capitals, such as NPR"],
    );
}

#[test]
fn rule_dates() {
    let dates = |from: &str, until: &str| {
        format!("level = 'platform'; percent = '1'; effective_from = '{from}'; effective_until = '{until}'")
    };
    check_rule(&dates("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.001Z"), &[]);
    for until in ["2026-01-01T00:00:00Z", "2025-12-31T23:59:59.999Z"] {
        let fault = format!("4: rules.effective_until \"{until}\" must be after effective_from, 2026-01-01T00:00:00Z");
        check_rule(&dates("2026-01-01T00:00:00Z", until), &[&fault]);
    }
    check_rule("level = 'platform'; percent = '1'; effective_from = 2026-01-01T00:00:00+05:45", &[]);
    check_rule(
        "level = 'platform'; percent = '1'; effective_from = 2026-01-01",
        &[
            "3: rules.effective_from \"2026-01-01\" must be an ISO 8601 date and time with an offset, such as 2026-06-14T09:30:00Z or 2026-06-14T15:15:00+05:45",
        ],
    );
}
