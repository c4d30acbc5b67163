//! What was found, for people and for machines.

use std::io::{self, Write};

use schemas::topics::CATALOGUE;
use serde_json::{Value, json};
use verify::{Difference, Subject};

use super::Outcome;

/// For people.
pub(super) fn text(outcome: &Outcome, clean: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (report, counts) = (&outcome.report, &outcome.report.counts);
    writeln!(
        out,
        "{} orders, {} conversions, {} clicks, {} ledger entries, {} accounts, {} payouts; judged as of {}",
        counts.orders, counts.conversions, counts.clicks, counts.entries, counts.accounts, counts.payouts, report.at
    )?;
    for it in outcome.progress.iter().filter(|it| it.committed < it.end) {
        let (topic, partition) = (it.topic, it.partition);
        writeln!(out, "{} has processed {topic}/{partition} up to {} of {}", it.consumer, it.committed, it.end)?;
    }
    let notes = [
        (counts.pending, "orders are pending: not all of their facts are processed yet"),
        (counts.entries_pending, "ledger entries are pending: their balances are not written yet"),
        (counts.unreported, "orders have updates and no report yet"),
        (counts.begun_before, "orders are judged in part only: the log no longer has all of them"),
        (
            counts.terms_unknown,
            "conversions were attributed under a registry that is not known any more: see --registry",
        ),
        (counts.dead_letters, "records could not be processed and were set aside: see conversions dead-letters"),
    ];
    for (count, what) in notes.iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{count} {what}")?;
    }
    if !outcome.lost.is_empty() {
        writeln!(out, "retention has taken the beginning of: {}", lost(outcome).join(", "))?;
    }
    for difference in &report.differences {
        difference_lines(&mut out, difference)?;
    }
    let fields: Vec<String> = report.by_field.iter().map(|(field, count)| format!("{field} {count}")).collect();
    match (report.differences_total, clean) {
        (0, true) => writeln!(out, "no differences"),
        (0, false) => writeln!(out, "no differences but dead letters"),
        (total, _) => {
            writeln!(out, "{total} differences, {} of them listed: {}", report.differences.len(), fields.join(", "))
        }
    }
}

fn difference_lines(out: &mut impl Write, difference: &Difference) -> io::Result<()> {
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect::<String>();
    writeln!(out, "{}: {}", plain(&difference.subject.to_string()), difference.field)?;
    writeln!(out, "  expected {}", plain(&difference.expected))?;
    writeln!(out, "  found    {}", plain(&difference.found))?;
    let places: Vec<String> = difference.places.iter().map(ToString::to_string).collect();
    writeln!(out, "  in       {}", places.join(" "))
}

fn lost(outcome: &Outcome) -> Vec<String> {
    let name = |number: u16| CATALOGUE.iter().find(|spec| spec.number == number).map_or("unknown", |spec| spec.name);
    outcome.lost.iter().map(|(topic, partition)| format!("{}/{partition}", name(*topic))).collect()
}

/// For machines: one object.
pub(super) fn json(outcome: &Outcome, clean: bool) -> io::Result<()> {
    let (report, counts) = (&outcome.report, &outcome.report.counts);
    let name = |number: u16| CATALOGUE.iter().find(|spec| spec.number == number).map_or("unknown", |spec| spec.name);
    let records: serde_json::Map<String, Value> =
        counts.records.iter().map(|(topic, count)| (name(*topic).to_owned(), json!(count))).collect();
    let progress: Vec<Value> = outcome
        .progress
        .iter()
        .map(|it| {
            json!({
                "consumer": it.consumer, "topic": it.topic, "partition": it.partition, "committed": it.committed,
                "end": it.end,
            })
        })
        .collect();
    let object = json!({
        "clean": clean,
        "at": report.at.to_string(),
        "records": records,
        "orders": counts.orders,
        "judged": counts.judged,
        "pending": counts.pending,
        "unreported": counts.unreported,
        "begunBefore": counts.begun_before,
        "termsUnknown": counts.terms_unknown,
        "conversions": counts.conversions,
        "clicks": counts.clicks,
        "ledgerEntries": counts.entries,
        "ledgerEntriesPending": counts.entries_pending,
        "accounts": counts.accounts,
        "payouts": counts.payouts,
        "deadLetters": counts.dead_letters,
        "progress": progress,
        "lost": lost(outcome),
        "differencesTotal": report.differences_total,
        "differencesByField": report.by_field,
        "differences": report.differences.iter().map(difference_object).collect::<Vec<_>>(),
    });
    writeln!(io::stdout().lock(), "{object}")
}

fn difference_object(difference: &Difference) -> Value {
    let places: Vec<Value> = difference
        .places
        .iter()
        .map(|place| json!({"topic": place.topic_name(), "partition": place.partition, "offset": place.offset}))
        .collect();
    let mut object = json!({
        "field": difference.field, "expected": difference.expected, "found": difference.found, "places": places,
    });
    let subject = match &difference.subject {
        Subject::Order { merchant_id, livemode, external_order_id } => {
            json!({"merchant": merchant_id, "livemode": livemode, "order": external_order_id})
        }
        Subject::Account(account) => json!({"account": account}),
        Subject::Click(click) => json!({"click": click}),
        Subject::Record => json!({}),
    };
    if let (Some(object), Value::Object(subject)) = (object.as_object_mut(), subject) {
        object.extend(subject);
    }
    object
}
