//! The statements of the read model. Each binds a partition key as a whole.

use scylla::statement::prepared::PreparedStatement;

use super::super::error::CqlError;
use super::super::session::{Kind, Preparing};
use super::rows::Row;

/// The read model's statements, prepared on one session.
#[derive(Debug)]
pub(crate) struct Statements {
    put_conversion: PreparedStatement,
    put_entry: PreparedStatement,
    put_listed: PreparedStatement,
    put_year: PreparedStatement,
    put_slot: PreparedStatement,
    put_commission: PreparedStatement,
    put_booking: PreparedStatement,
    put_booking_of_conversion: PreparedStatement,
    put_balance: PreparedStatement,
    put_payout: PreparedStatement,
    put_listed_payout: PreparedStatement,
    put_position: PreparedStatement,
    put_identity: PreparedStatement,
    /// A conversion and its timeline.
    pub(super) conversion: PreparedStatement,
    /// A conversion without it.
    pub(super) head: PreparedStatement,
    pub(super) years: PreparedStatement,
    pub(super) slots: PreparedStatement,
    pub(super) listed: PreparedStatement,
    /// A payout and what became of it.
    pub(super) payout: PreparedStatement,
    pub(super) listed_payouts: PreparedStatement,
    pub(super) positions: PreparedStatement,
    pub(super) identity: PreparedStatement,
}

impl Statements {
    /// Prepares them.
    pub(crate) async fn prepare(preparing: &Preparing<'_>) -> Result<Statements, CqlError> {
        let keyspace = &preparing.options().keyspace;
        let put = async |table: &str, columns: &str, fixed: &[(&str, &str)]| {
            let columns: Vec<&str> = columns.split_whitespace().collect();
            let (names, values): (Vec<&str>, Vec<&str>) = fixed.iter().copied().unzip();
            let names = [names, columns.clone()].concat().join(", ");
            let values = [values, vec!["?"; columns.len()]].concat().join(", ");
            let text = format!("INSERT INTO {keyspace}.{table} ({names}) VALUES ({values}) USING TIMESTAMP ?");
            preparing.prepare(Kind::Upsert, text).await
        };
        let read = async |text: &str| preparing.prepare(Kind::Read, text.replace("{keyspace}", keyspace)).await;
        const PAYOUT: &str = "payout_id number affiliate_id currency livemode state amount_minor cut_off entries_to retries \
                              debit debit_entries credit credit_entries reference at";
        const BOOKING: &str =
            "entry_id conversion_id revision merchant_id affiliate_id livemode debit credit amount_minor currency at";
        Ok(Statements {
            put_conversion: put("conversions", "conversion_id conversion", &[("seq", "0")]).await?,
            put_entry: put(
                "conversions",
                "conversion_id seq state at cause event_id order_status refunded_thousandths applied fields \
                 review",
                &[],
            )
            .await?,
            put_listed: put(
                "conversions_by_time",
                "merchant_id livemode slot shard received_at conversion_id state confidence",
                &[],
            )
            .await?,
            put_year: put("list_years", "list year", &[]).await?,
            put_slot: put("list_slots", "list year slot shard", &[]).await?,
            put_commission: put(
                "commissions",
                "conversion_id revision merchant_id livemode external_order_id affiliate_id campaign_id state \
                 amount_minor currency level rule_id rate order_amount_minor refunded_thousandths \
                 hold_until at",
                &[],
            )
            .await?,
            put_booking: put("ledger_entries", &format!("slot shard {BOOKING}"), &[]).await?,
            put_booking_of_conversion: put("ledger_entries_by_conversion", BOOKING, &[]).await?,
            put_balance: put(
                "balances",
                "affiliate_id currency livemode account balance_minor entry_count entry_id at",
                &[],
            )
            .await?,
            put_payout: put("payouts", &format!("payout_digest change {PAYOUT}"), &[]).await?,
            put_listed_payout: put("payouts_by_time", "slot shard cut_off payout_digest payout_id state", &[]).await?,
            put_position: put("positions", "topic partition next_offset", &[]).await?,
            put_identity: put("log_identity", "place identity", &[]).await?,
            conversion: read(
                "SELECT seq, conversion, state, at, cause, event_id, order_status, refunded_thousandths, applied, \
                 fields, review \
                 FROM {keyspace}.conversions WHERE conversion_id = ?",
            )
            .await?,
            head: read("SELECT conversion FROM {keyspace}.conversions WHERE conversion_id = ? AND seq = 0").await?,
            years: read("SELECT year FROM {keyspace}.list_years WHERE list = ?").await?,
            slots: read(
                "SELECT slot, shard FROM {keyspace}.list_slots \
                 WHERE list = ? AND year = ? AND slot >= ? AND slot <= ? LIMIT ?",
            )
            .await?,
            listed: read(
                "SELECT received_at, conversion_id, state, confidence FROM {keyspace}.conversions_by_time \
                 WHERE merchant_id = ? AND livemode = ? AND slot = ? AND shard = ? \
                 AND (received_at, conversion_id) < (?, ?) AND (received_at, conversion_id) >= (?, ?) LIMIT ?",
            )
            .await?,
            payout: read(&format!(
                "SELECT {} FROM {{keyspace}}.payouts WHERE payout_digest = ?",
                PAYOUT.replace(' ', ", ")
            ))
            .await?,
            listed_payouts: read(
                "SELECT cut_off, payout_digest, state FROM {keyspace}.payouts_by_time \
                 WHERE slot = ? AND shard = ? \
                 AND (cut_off, payout_digest) < (?, ?) AND (cut_off, payout_digest) >= (?, ?) LIMIT ?",
            )
            .await?,
            positions: read("SELECT partition, next_offset FROM {keyspace}.positions WHERE topic = ?").await?,
            identity: read("SELECT identity FROM {keyspace}.log_identity WHERE place = ?").await?,
        })
    }

    /// The statement that writes a row.
    pub(super) fn put(&self, row: &Row) -> &PreparedStatement {
        match row {
            Row::Conversion(_) => &self.put_conversion,
            Row::Entry(_) => &self.put_entry,
            Row::Listed(_) => &self.put_listed,
            Row::Year(_) => &self.put_year,
            Row::Slot(_) => &self.put_slot,
            Row::Commission(_) => &self.put_commission,
            Row::Booking(_) => &self.put_booking,
            Row::BookingOfConversion(_) => &self.put_booking_of_conversion,
            Row::Balance(_) => &self.put_balance,
            Row::Payout(_) => &self.put_payout,
            Row::ListedPayout(_) => &self.put_listed_payout,
            Row::Position(_) => &self.put_position,
            Row::Identity(_) => &self.put_identity,
        }
    }
}
