//! Reports on their way into the table: all that come while a commit is under way go into the next one.

use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use crate::Failure;
use crate::request::Report;

/// Reports that one statement inserts at most.
const AT_ONCE_MAX: usize = 512;
/// Reports that wait for a writer at most.
const WAITING_MAX: usize = 8_192;

/// Of the reports of a statement those whose order is new, by their event. In the order of the key, so that two writers with the
/// same orders never wait for each other.
const INSERT: &str = "
    WITH new AS (
        INSERT INTO conversions (merchant_id, livemode, external_order_id, event_id, click_id, external_product_id, amount_minor,
                                 currency, order_status, ordered_at, received_at, coupon_code, metadata, due_at)
        SELECT *, received_at FROM unnest($1::text[], $2::bool[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                             $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::text[])
            AS it (merchant_id, livemode, external_order_id, event_id, click_id, external_product_id, amount_minor,
                   currency, order_status, ordered_at, received_at, coupon_code, metadata)
        ORDER BY merchant_id, livemode, external_order_id
        ON CONFLICT (merchant_id, livemode, external_order_id) DO NOTHING
        RETURNING id, event_id, received_at
    ), received AS (
        INSERT INTO transitions SELECT id, 1, '{received}', 'reported', received_at FROM new
    )
    SELECT event_id FROM new";

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Its order is new.
    Received,
    /// Its order was known.
    Duplicate,
}

type Waiting = (Report, oneshot::Sender<Taken>);

/// The way in.
pub(crate) struct Reports(mpsc::Sender<Waiting>);

impl Reports {
    /// Starts the writers; whoever waits for news hears of each commit.
    pub(crate) fn start(pool: &Pool, writers: usize, news: &Arc<Notify>) -> Reports {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..writers {
            tokio::spawn(write(pool.clone(), Arc::clone(&waiting), Arc::clone(news)));
        }
        Reports(sender)
    }

    /// What became of a report, once that is durable; none if it could not be written.
    pub(crate) async fn take(&self, report: Report) -> Option<Taken> {
        let (sender, taken) = oneshot::channel();
        // A queue that is full is as one that is away: the client comes again.
        self.0.try_send((report, sender)).ok()?;
        taken.await.ok()
    }
}

async fn write(pool: Pool, waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>, news: Arc<Notify>) {
    let mut batch = Vec::with_capacity(AT_ONCE_MAX);
    while waiting.lock().await.recv_many(&mut batch, AT_ONCE_MAX).await > 0 {
        match insert(&pool, &batch).await {
            Ok(new) => {
                news.notify_one();
                for (report, sender) in batch.drain(..) {
                    let taken = if new.contains(&report.event_id) { Taken::Received } else { Taken::Duplicate };
                    // Who has hung up asks again, and is told it is a duplicate.
                    let _ = sender.send(taken);
                }
            }
            Err(error) => {
                crate::http::complain("a batch of reports", &error);
                batch.clear();
            }
        }
    }
}

async fn insert(pool: &Pool, batch: &[Waiting]) -> Result<std::collections::HashSet<String>, Failure> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(INSERT).await?;
    let text = |of: fn(&Report) -> &str| batch.iter().map(|(report, _)| of(report)).collect::<Vec<&str>>();
    let maybe =
        |of: fn(&Report) -> Option<&str>| batch.iter().map(|(report, _)| of(report)).collect::<Vec<Option<&str>>>();
    let number = |of: fn(&Report) -> i64| batch.iter().map(|(report, _)| of(report)).collect::<Vec<i64>>();
    let livemode: Vec<bool> = batch.iter().map(|(report, _)| report.livemode).collect();
    let rows = client
        .query(
            &statement,
            &[
                &text(|it| &it.merchant_id),
                &livemode,
                &text(|it| &it.external_order_id),
                &text(|it| &it.event_id),
                &maybe(|it| it.click_id.as_deref()),
                &maybe(|it| it.external_product_id.as_deref()),
                &number(|it| it.amount_minor),
                &text(|it| it.currency),
                &text(|it| &it.order_status),
                &number(|it| it.ordered_at),
                &number(|it| it.received_at),
                &maybe(|it| it.coupon_code.as_deref()),
                &maybe(|it| it.metadata.as_deref()),
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
