//! The limit that the edge on Kafka is measured against: a handler that reads a body and awaits its delivery, with the
//! settings of the edge's own producer, and does nothing else. No signature, no parsing, no claim.
//!
//! `cargo run --release -p benches --bin peer_limit -- --bootstrap 127.0.0.1:19092 --topic limit`

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use clap::Parser;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use streams::kafka::PublisherOptions;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BODY_BYTES_MAX: usize = 64 << 10;

#[derive(Parser)]
#[command(about = "A bare handler that produces each body to Kafka")]
struct Args {
    /// The brokers.
    #[arg(long)]
    bootstrap: String,
    /// A topic that is there.
    #[arg(long)]
    topic: String,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Tells each waiter whether its record is acknowledged, on the producer's own thread.
struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<bool>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiter: Box<oneshot::Sender<bool>>) {
        // Who has hung up does not want to know.
        let _ = waiter.send(result.is_ok());
    }
}

struct Limit {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    /// Makes each key another, so that all partitions are written.
    next: AtomicU64,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve(args));
}

async fn serve(args: Args) {
    let producer = producer(&args.bootstrap);
    let limit = Arc::new(Limit { producer, topic: args.topic, next: AtomicU64::new(0) });
    let router = Router::new()
        .route("/api/v1/conversions", post(take))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(limit);
    let listener = TcpListener::bind(args.listen).await.expect("the address is free");
    let address = listener.local_addr().expect("it is bound");
    writeln!(io::stdout(), "listening on http://{address}").expect("somebody listens");
    let app = router.into_make_service();
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), app)
        .await
        .expect("it serves");
}

/// With what `streams::kafka::KafkaPublisher` sets.
fn producer(bootstrap: &str) -> ThreadedProducer<Deliveries> {
    let options = PublisherOptions::default();
    let millis = |time: Duration| time.as_millis().to_string();
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "limit")
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.type", options.compression.name())
        .set("linger.ms", millis(options.linger))
        .set("message.timeout.ms", millis(options.delivery_timeout))
        .set("queue.buffering.max.messages", "0")
        .set("queue.buffering.max.kbytes", "2147483647")
        .set("statistics.interval.ms", "1000")
        .create_with_context(Deliveries)
        .expect("librdkafka takes the settings")
}

async fn take(State(limit): State<Arc<Limit>>, body: Bytes) -> Response {
    let number = limit.next.fetch_add(1, Ordering::Relaxed);
    let key = format!("shop-0/live/order-{number}");
    let (waiter, delivered) = oneshot::channel();
    let record = BaseRecord::with_opaque_to(&limit.topic, Box::new(waiter)).key(&key).payload(&body[..]);
    if limit.producer.send(record).is_ok() && delivered.await == Ok(true) {
        let answer = format!(r#"{{"eventId":"cnvevt_{number:032x}","status":"RECEIVED","duplicate":false}}"#);
        return (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], answer).into_response();
    }
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
