//! What the edge does with a report before it is published.

use std::hint::black_box;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use criterion::{Criterion, Throughput};
use ingest::{AuthTable, measured};

use crate::orders::{InTurn, NOW, ORDERS, registry, shops};

/// Signed requests: headers and bodies.
fn requests() -> Vec<(HeaderMap, String)> {
    let request = |number| {
        let order = shops().order("order", number);
        let body = order.body();
        let headers = order.signed(&body, NOW).into_iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::try_from(value).expect("it is visible ASCII"))
        });
        (headers.collect(), body)
    };
    (0..ORDERS).map(request).collect()
}

/// Key, timestamp, and HMAC over the body.
pub(crate) fn signature(criterion: &mut Criterion) {
    let (keys, mut requests) = (AuthTable::new(&registry()), InTurn::new(requests()));
    let bytes = requests.next().1.len();
    let mut group = criterion.benchmark_group("edge");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("signature", |bencher| {
        bencher.iter(|| {
            let (headers, body) = requests.next();
            assert!(
                measured::signature(&keys, black_box(headers), black_box(body.as_bytes()), NOW),
                "it is signed rightly"
            );
        });
    });
    group.finish();
}

/// From the body to a record.
pub(crate) fn parse(criterion: &mut Criterion) {
    let (keys, mut requests) = (AuthTable::new(&registry()), InTurn::new(requests()));
    criterion.bench_function("edge/parse and validate", |bencher| {
        bencher.iter(|| {
            let (headers, body) = requests.next();
            let report = measured::report(
                &keys,
                headers,
                black_box(body.as_bytes()),
                "cnvevt_0123456789abcdef0123456789abcdef",
                NOW,
            );
            black_box(report.expect("nothing is wrong with it"))
        });
    });
}
