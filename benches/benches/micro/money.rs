//! Amounts: read, written, and a part of one.

use std::hint::black_box;

use criterion::Criterion;
use schemas::{Currency, Rate};

use crate::orders::{InTurn, ORDERS, shops};

fn currency() -> Currency {
    Currency::parse("NPR").expect("a currency")
}

/// Decimal strings, both ways.
pub(crate) fn amounts(criterion: &mut Criterion) {
    let minor: Vec<i64> =
        (0..ORDERS).map(|number| i64::try_from(shops().order("a", number).amount_minor).expect("small")).collect();
    let mut texts = InTurn::new(minor.iter().map(|minor| currency().format_amount(*minor)).collect());
    let mut minor = InTurn::new(minor);
    criterion.bench_function("money/parse", |bencher| {
        bencher.iter(|| currency().parse_amount(black_box(texts.next())).expect("an amount"));
    });
    criterion
        .bench_function("money/format", |bencher| bencher.iter(|| currency().format_amount(black_box(*minor.next()))));
}

/// A percentage, rounded half to even.
pub(crate) fn shares(criterion: &mut Criterion) {
    let thousandths =
        |number| currency().thousandths(i64::try_from(shops().order("a", number).amount_minor).expect("small"));
    let mut amounts = InTurn::new((0..ORDERS).map(thousandths).collect());
    let mut rates =
        InTurn::new(["5", "7.25", "10", "12", "33.3333"].map(|rate| Rate::parse(rate).expect("a rate")).to_vec());
    criterion.bench_function("money/percentage", |bencher| {
        bencher.iter(|| black_box(rates.next()).of(black_box(*amounts.next()), currency()));
    });
}
