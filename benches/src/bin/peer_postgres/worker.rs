//! Attributes, commissions and books what is due, many conversions in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use schemas::Timestamp;
use schemas::registry::Registry;
use tokio::sync::Notify;
use tokio_postgres::Statement;

use crate::Failure;
use crate::auth::now;
use crate::change::Change;
use crate::http::complain;

/// Conversions of one transaction at most.
const AT_ONCE_MAX: i64 = 500;
/// How long a worker without work waits, if nobody wakes it: what is due by time alone is not announced.
const IDLE: Duration = Duration::from_millis(50);

const TAKE: &str = "
    SELECT c.id, c.merchant_id, c.livemode, c.click_id, c.external_product_id, c.amount_minor, c.currency, c.order_status,
           c.ordered_at, c.received_at, c.state, c.affiliate_id, c.commission_minor, c.hold_until,
           k.merchant_id AS click_merchant_id, k.campaign_id AS click_campaign_id, k.affiliate_id AS click_affiliate_id, k.clicked_at
    FROM conversions c LEFT JOIN clicks k ON k.click_id = c.click_id
    WHERE c.due_at <= $1 ORDER BY c.due_at LIMIT $2 FOR UPDATE OF c SKIP LOCKED";

const UPDATE: &str = "
    UPDATE conversions c SET
        state = it.state, confidence = coalesce(it.confidence, c.confidence), confidence_reason = it.reason,
        affiliate_id = coalesce(it.affiliate_id, c.affiliate_id), campaign_id = coalesce(it.campaign_id, c.campaign_id),
        commission_minor = coalesce(it.commission, c.commission_minor), commission_level = coalesce(it.level, c.commission_level),
        rule_id = coalesce(it.rule_id, c.rule_id), rate = coalesce(it.rate, c.rate),
        hold_until = coalesce(it.hold_until, c.hold_until), due_at = it.due_at
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[],
                $10::text[], $11::bigint[], $12::bigint[])
        AS it (id, state, confidence, reason, affiliate_id, campaign_id, commission, level, rule_id, rate, hold_until, due_at)
    WHERE c.id = it.id";

const TRANSITIONS: &str = "
    INSERT INTO transitions
    SELECT id, revision, string_to_array(states, ' '), cause, $5
    FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[]) AS it (id, revision, states, cause)";

const ENTRIES: &str = "
    INSERT INTO ledger_entries
    SELECT *, $9 FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::bool[], $6::text[], $7::text[], $8::bigint[])";

/// In the order of the key, so that two workers never wait for each other.
const BALANCES: &str = "
    INSERT INTO balances
    SELECT affiliate_id, currency, livemode, account, change, entries
    FROM unnest($1::text[], $2::text[], $3::bool[], $4::text[], $5::bigint[], $6::bigint[])
        AS it (affiliate_id, currency, livemode, account, change, entries)
    ORDER BY affiliate_id, currency, livemode, account
    ON CONFLICT (affiliate_id, currency, livemode, account) DO UPDATE
        SET balance_minor = balances.balance_minor + excluded.balance_minor, entries = balances.entries + excluded.entries";

/// Works for ever; woken by new reports.
pub(crate) async fn run(pool: Pool, registry: Arc<Registry>, news: Arc<Notify>) {
    loop {
        match step(&pool, &registry).await {
            // More than one step may hold is there at once.
            Ok(taken) if taken > 0 => {}
            Ok(_) => {
                let _ = tokio::time::timeout(IDLE, news.notified()).await;
            }
            Err(error) => {
                complain("a step of the worker", &error);
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

async fn step(pool: &Pool, registry: &Registry) -> Result<usize, Failure> {
    let mut client = pool.get().await?;
    let take = client.prepare_cached(TAKE).await?;
    let update = client.prepare_cached(UPDATE).await?;
    let transitions = client.prepare_cached(TRANSITIONS).await?;
    let entries = client.prepare_cached(ENTRIES).await?;
    let balances = client.prepare_cached(BALANCES).await?;
    let transaction = client.transaction().await?;
    let at = now();
    let rows = transaction.query(&take, &[&at.0, &AT_ONCE_MAX]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let changes: Vec<Change> = rows.iter().map(|row| Change::of(row, registry, at)).collect();
    let news: Vec<&Change> = changes.iter().filter(|change| !change.waits).collect();
    let wrote = Written::of(&changes);
    // Sent one behind the other, and answered in that order: nobody waits in between.
    tokio::try_join!(
        update_conversions(&transaction, &update, &changes),
        insert_transitions(&transaction, &transitions, &news, at),
        insert_entries(&transaction, &entries, &wrote.entries, at),
        add_to_balances(&transaction, &balances, &wrote),
    )?;
    transaction.commit().await?;
    Ok(changes.len())
}

async fn update_conversions(
    transaction: &Transaction<'_>,
    statement: &Statement,
    changes: &[Change],
) -> Result<u64, tokio_postgres::Error> {
    let commission = |it: &'_ Change| it.commission.as_ref().map(|it| it.minor);
    transaction
        .execute(
            statement,
            &[
                &column(changes, |it| it.id),
                &column(changes, |it| it.state),
                &column(changes, |it| it.confidence),
                &column(changes, |it| it.reason),
                &column(changes, |it| it.affiliate_id.as_deref()),
                &column(changes, |it| it.campaign_id.as_deref()),
                &column(changes, commission),
                &column(changes, |it| it.commission.as_ref().map(|it| it.level)),
                &column(changes, |it| it.commission.as_ref().map(|it| it.rule_id.as_str())),
                &column(changes, |it| it.commission.as_ref().and_then(|it| it.rate.as_deref())),
                &column(changes, |it| it.hold_until),
                &column(changes, |it| it.due_at),
            ],
        )
        .await
}

async fn insert_transitions(
    transaction: &Transaction<'_>,
    statement: &Statement,
    news: &[&Change],
    at: Timestamp,
) -> Result<u64, tokio_postgres::Error> {
    transaction
        .execute(
            statement,
            &[
                &column(news, |it| it.id),
                &column(news, |it| it.revision),
                &column(news, |it| it.states),
                &column(news, |it| it.cause),
                &at.0,
            ],
        )
        .await
}

async fn insert_entries(
    transaction: &Transaction<'_>,
    statement: &Statement,
    entries: &[Entry<'_>],
    at: Timestamp,
) -> Result<u64, tokio_postgres::Error> {
    transaction
        .execute(
            statement,
            &[
                &column(entries, |it| it.id),
                &column(entries, |it| it.revision),
                &column(entries, |it| it.affiliate_id),
                &column(entries, |it| it.currency),
                &column(entries, |it| it.livemode),
                &column(entries, |it| it.debit),
                &column(entries, |it| it.credit),
                &column(entries, |it| it.minor),
                &at.0,
            ],
        )
        .await
}

async fn add_to_balances(
    transaction: &Transaction<'_>,
    statement: &Statement,
    written: &Written<'_>,
) -> Result<u64, tokio_postgres::Error> {
    let accounts: Vec<_> = written.balances.iter().collect();
    transaction
        .execute(
            statement,
            &[
                &column(&accounts, |(account, _)| account.0),
                &column(&accounts, |(account, _)| account.1),
                &column(&accounts, |(account, _)| account.2),
                &column(&accounts, |(account, _)| account.3),
                &column(&accounts, |(_, change)| change.0),
                &column(&accounts, |(_, change)| change.1),
            ],
        )
        .await
}

fn column<'a, T, V>(of: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    of.iter().map(value).collect()
}

/// What the ledger is written of changes.
struct Written<'a> {
    entries: Vec<Entry<'a>>,
    /// The change and the number of entries of each account: affiliate, currency, mode, account.
    balances: BTreeMap<(&'a str, &'a str, bool, &'static str), (i64, i64)>,
}

struct Entry<'a> {
    id: i64,
    revision: i32,
    affiliate_id: &'a str,
    currency: &'a str,
    livemode: bool,
    debit: &'static str,
    credit: &'static str,
    minor: i64,
}

impl<'a> Written<'a> {
    fn of(changes: &'a [Change]) -> Written<'a> {
        let mut written = Written { entries: Vec::new(), balances: BTreeMap::new() };
        for change in changes {
            let (Some((debit, credit, minor)), Some(affiliate_id)) = (change.booking, &change.affiliate_id) else {
                continue;
            };
            let Change { id, revision, livemode, .. } = *change;
            let currency = change.currency.as_str();
            written.entries.push(Entry { id, revision, affiliate_id, currency, livemode, debit, credit, minor });
            for (account, moved) in [(debit, -minor), (credit, minor)] {
                let balance = written.balances.entry((affiliate_id, currency, livemode, account)).or_default();
                *balance = (balance.0 + moved, balance.1 + 1);
            }
        }
        written
    }
}
