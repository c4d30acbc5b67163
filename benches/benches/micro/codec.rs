//! Avro by the project's codec, and by the reference implementation on the same records.

use std::hint::black_box;

use apache_avro::{Schema, from_avro_datum, from_value, to_avro_datum, to_value};
use criterion::Criterion;
use schemas::AvroRecord;
use schemas::codec::HEADER_BYTES;
use schemas::records::ConversionReported;

use crate::orders::{InTurn, records};

/// `schemas::codec`, which is serde_avro_fast.
pub(crate) fn ours(criterion: &mut Criterion) {
    let reports: Vec<ConversionReported> = records().into_iter().map(|(_, report)| report).collect();
    let mut encoded = InTurn::new(reports.iter().map(schemas::encode).collect());
    let mut reports = InTurn::new(reports);
    criterion.bench_function("codec/encode", |bencher| bencher.iter(|| schemas::encode(black_box(reports.next()))));
    criterion.bench_function("codec/decode", |bencher| {
        bencher.iter(|| schemas::decode::<ConversionReported>(black_box(encoded.next())).expect("a report"));
    });
}

/// The same with apache-avro.
pub(crate) fn apache(criterion: &mut Criterion) {
    let schema = Schema::parse_str(ConversionReported::SCHEMA).expect("a committed schema parses");
    let reports: Vec<ConversionReported> = records().into_iter().map(|(_, report)| report).collect();
    let encode = |report: &ConversionReported| {
        let value = to_value(report).and_then(|value| value.resolve(&schema)).expect("it fits its schema");
        to_avro_datum(&schema, value).expect("it fits its schema")
    };
    for report in &reports {
        assert_eq!(encode(report), schemas::encode(report)[HEADER_BYTES..], "both write the same bytes");
    }
    let mut encoded = InTurn::new(reports.iter().map(encode).collect::<Vec<_>>());
    let mut reports = InTurn::new(reports);
    criterion
        .bench_function("codec/encode by apache-avro", |bencher| bencher.iter(|| encode(black_box(reports.next()))));
    criterion.bench_function("codec/decode by apache-avro", |bencher| {
        bencher.iter(|| {
            let value = from_avro_datum(&schema, &mut black_box(encoded.next()).as_slice(), None).expect("a report");
            from_value::<ConversionReported>(&value).expect("a report")
        });
    });
}
