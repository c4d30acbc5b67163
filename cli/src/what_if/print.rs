//! The answer, for people and for machines.

use std::io::{self, Write};

use processors::what_if::{Answer, Comparison, Sums};
use schemas::{Balance, Currency};
use serde_json::{Value, json};

use super::WhatIfArgs;

const HEADS: [&str; 11] = [
    "merchant",
    "affiliate",
    "currency",
    "orders",
    "changed",
    "commission",
    "proposed",
    "difference",
    "counting",
    "proposed",
    "difference",
];

/// For people: a table.
pub(super) fn text(args: &WhatIfArgs, answer: &Answer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mode = if args.test { "test" } else { "live" };
    writeln!(out, "{mode} orders placed from {} until before {}, under {}", args.from, args.to, args.rules.display())?;
    writeln!(
        out,
        "{} orders, {} of them change: {} would get a commission that have none, {} would lose theirs; {} have none \
         either way",
        answer.orders, answer.changed, answer.gained, answer.lost, answer.without
    )?;
    let mut lines: Vec<Vec<String>> = vec![HEADS.map(str::to_owned).into()];
    for (account, it) in &answer.accounts {
        lines.push(line(&account.merchant_id, &account.affiliate_id, account.currency, it));
    }
    for (currency, it) in &answer.totals() {
        lines.push(line("all", "all", currency, it));
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    for line in lines.iter().filter(|_| !answer.accounts.is_empty()) {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0..=2 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<String>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn line(merchant_id: &str, affiliate_id: &str, currency: &str, it: &Comparison) -> Vec<String> {
    let (published, proposed) = (it.published, it.proposed);
    let orders = if published.orders == proposed.orders {
        published.orders.to_string()
    } else {
        format!("{} → {}", published.orders, proposed.orders)
    };
    let mut cells = vec![merchant_id.to_owned(), affiliate_id.to_owned(), currency.to_owned(), orders];
    cells.push(it.changed.to_string());
    for of in [|sums: Sums| sums.commission, |sums: Sums| sums.counting] {
        cells.extend([decimal(currency, of(published)), decimal(currency, of(proposed))]);
        cells.push(decimal(currency, difference(of(published), of(proposed))));
    }
    cells
}

fn difference(published: Balance, proposed: Balance) -> Balance {
    Balance(proposed.0 - published.0)
}

fn decimal(currency: &str, sum: Balance) -> String {
    Currency::parse(currency).expect("an order is in a currency").format_sum(sum)
}

/// For machines: one object, with amounts as decimal strings.
pub(super) fn json(args: &WhatIfArgs, answer: &Answer) -> io::Result<()> {
    let accounts = answer.accounts.iter().map(|(account, it)| {
        let mut object = comparison(account.currency, it);
        object["merchantId"] = json!(account.merchant_id);
        object["affiliateId"] = json!(account.affiliate_id);
        object
    });
    let object = json!({
        "from": args.from.to_string(),
        "to": args.to.to_string(),
        "livemode": !args.test,
        "orders": answer.orders,
        "changed": answer.changed,
        "gained": answer.gained,
        "lost": answer.lost,
        "without": answer.without,
        "accounts": accounts.collect::<Vec<Value>>(),
        "totals": answer.totals().iter().map(|(currency, it)| comparison(currency, it)).collect::<Vec<Value>>(),
    });
    writeln!(io::stdout().lock(), "{object}")
}

fn comparison(currency: &str, it: &Comparison) -> Value {
    let sums = |of: fn(Sums) -> Balance| {
        json!({
            "published": decimal(currency, of(it.published)),
            "proposed": decimal(currency, of(it.proposed)),
            "difference": decimal(currency, difference(of(it.published), of(it.proposed))),
        })
    };
    json!({
        "currency": currency,
        "orders": {"published": it.published.orders, "proposed": it.proposed.orders, "changed": it.changed},
        "commission": sums(|sums| sums.commission),
        "counting": sums(|sums| sums.counting),
    })
}
