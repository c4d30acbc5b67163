//! The obvious alternative to the product: its contract for reporting and reading a conversion as a web service on
//! PostgreSQL, with a unique constraint that makes reports idempotent, and a worker that attributes, commissions and books.
//!
//! Written for speed as one would: reports that come together are one statement and one commit, statements are prepared, the
//! worker takes many rows at once and skips what another has, and what it writes goes in four statements without waiting in
//! between. `synchronous_commit` is the server's, which is on.
//!
//! Clicks come with the registry. Status updates, coupons, late clicks, conflicts and the other routes are left out, which is to its
//! advantage: its rows are fewer and its worker does less.
//!
//! `cargo run --release -p benches --bin peer_postgres -- --database URL --registry FILE`, on an empty database.

mod auth;
mod change;
mod http;
mod reports;
mod request;
mod worker;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use clap::Parser;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use schemas::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_postgres::NoTls;

use auth::Keys;
use reports::Reports;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCHEMA: &str = include_str!("schema.sql");
const BODY_BYTES_MAX: usize = 64 << 10;
/// Clicks that are inserted by one statement.
const CLICKS_AT_ONCE: usize = 1_000;

/// Any error of the service's own.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "The contract on PostgreSQL")]
struct Args {
    /// An empty database.
    #[arg(long)]
    database: String,
    /// The product's registry file.
    #[arg(long)]
    registry: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Connections to the database.
    #[arg(long, default_value_t = 16)]
    pool: usize,
    /// Tasks that insert reports, each as many as have come since it last did.
    #[arg(long, default_value_t = 4)]
    writers: usize,
    /// Tasks that attribute and book.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// What every request needs.
struct Service {
    keys: Keys,
    registry: Arc<Registry>,
    pool: Pool,
    reports: Reports,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(args))
}

async fn serve(args: Args) -> Result<(), Failure> {
    let registry =
        Arc::new(Registry::parse(&std::fs::read_to_string(&args.registry)?).map_err(|faults| faults.to_string())?);
    let config = args.database.parse::<tokio_postgres::Config>()?;
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let pool = Pool::builder(manager).max_size(args.pool).runtime(Runtime::Tokio1).build()?;
    prepare(&pool, &registry).await?;
    let news = Arc::new(Notify::new());
    let reports = Reports::start(&pool, args.writers, &news);
    for _ in 0..args.workers {
        tokio::spawn(worker::run(pool.clone(), Arc::clone(&registry), Arc::clone(&news)));
    }
    let service = Arc::new(Service { keys: Keys::of(&registry), registry, pool, reports });
    let router = Router::new()
        .route("/api/v1/conversions", post(http::report))
        .route("/api/v1/conversions/{id}", get(http::conversion))
        .route("/health/ready", get(async || "ok"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service);
    let listener = TcpListener::bind(args.listen).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

/// Makes the tables, and inserts the clicks that the registry knows.
async fn prepare(pool: &Pool, registry: &Registry) -> Result<(), Failure> {
    let client = pool.get().await?;
    client.batch_execute(SCHEMA).await?;
    for clicks in registry.clicks().chunks(CLICKS_AT_ONCE) {
        let column = |of: fn(&schemas::records::ClickRecorded) -> &str| clicks.iter().map(of).collect::<Vec<&str>>();
        let at: Vec<i64> = clicks.iter().map(|click| click.clicked_at.0).collect();
        let insert =
            "INSERT INTO clicks SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])";
        client
            .execute(
                insert,
                &[
                    &column(|it| &it.click_id),
                    &column(|it| &it.merchant_id),
                    &column(|it| &it.campaign_id),
                    &column(|it| &it.affiliate_id),
                    &at,
                ],
            )
            .await?;
    }
    client.batch_execute("ANALYZE").await?;
    Ok(())
}
