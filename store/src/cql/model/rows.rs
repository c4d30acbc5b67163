//! A row of any table: where it is, and how it is written.

use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;

use super::columns::{
    BalanceRow, BookingRow, BookingValues, CommissionRow, ConversionRow, EntryRow, IdentityRow, ListedRow, PositionRow,
    SlotRow, YearRow,
};
use super::payouts::{ListedPayoutRow, PayoutRow};

/// A row of any of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// Of `conversions`, with `seq` 0.
    Conversion(Box<ConversionRow>),
    /// Of `conversions`, with a higher `seq`.
    Entry(EntryRow),
    /// Of `conversions_by_time`.
    Listed(ListedRow),
    /// Of `list_years`.
    Year(YearRow),
    /// Of `list_slots`.
    Slot(SlotRow),
    /// Of `commissions`.
    Commission(CommissionRow),
    /// Of `ledger_entries`.
    Booking(BookingRow),
    /// Of `ledger_entries_by_conversion`.
    BookingOfConversion(BookingValues),
    /// Of `balances`.
    Balance(BalanceRow),
    /// Of `payouts`.
    Payout(Box<PayoutRow>),
    /// Of `payouts_by_time`.
    ListedPayout(ListedPayoutRow),
    /// Of `positions`.
    Position(PositionRow),
    /// Of `log_identity`.
    Identity(IdentityRow),
}

/// Which row it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The table, and the values of the partition key, one after the other, each after its length.
    pub(super) partition: Vec<u8>,
    /// The values of the clustering key in the same way. Within a conversion its timeline comes before the row that
    /// counts it, as it is to be written.
    pub(super) clustering: Vec<u8>,
}

impl Row {
    /// The table that it is of.
    pub(super) fn table(&self) -> &'static str {
        match self {
            Row::Conversion(_) | Row::Entry(_) => "conversions",
            Row::Listed(_) => "conversions_by_time",
            Row::Year(_) => "list_years",
            Row::Slot(_) => "list_slots",
            Row::Commission(_) => "commissions",
            Row::Booking(_) => "ledger_entries",
            Row::BookingOfConversion(_) => "ledger_entries_by_conversion",
            Row::Balance(_) => "balances",
            Row::Payout(_) => "payouts",
            Row::ListedPayout(_) => "payouts_by_time",
            Row::Position(_) => "positions",
            Row::Identity(_) => "log_identity",
        }
    }

    /// Whether it only says where rows of a list are.
    pub(super) fn is_of_directory(&self) -> bool {
        matches!(self, Row::Year(_) | Row::Slot(_))
    }

    /// The timestamp that it is written with.
    pub(super) fn written_at(&self) -> i64 {
        match self {
            Row::Conversion(row) => row.written_at,
            Row::Entry(row) => row.written_at,
            Row::Listed(row) => row.written_at,
            Row::Year(row) => row.written_at,
            Row::Slot(row) => row.written_at,
            Row::Commission(row) => row.written_at,
            Row::Booking(row) => row.booking.written_at,
            Row::BookingOfConversion(row) => row.written_at,
            Row::Balance(row) => row.written_at,
            Row::Payout(row) => row.written_at,
            Row::ListedPayout(row) => row.written_at,
            Row::Position(row) => row.written_at,
            Row::Identity(row) => row.written_at,
        }
    }

    /// Its primary key.
    pub(super) fn place(&self) -> Place {
        let place = |partition: &[&[u8]], clustering: &[&[u8]]| Place {
            partition: key(&[&[self.table().as_bytes()], partition].concat()),
            clustering: key(clustering),
        };
        match self {
            Row::Conversion(row) => place(&[&row.conversion_id], &[&[1], &[]]),
            Row::Entry(row) => place(&[&row.conversion_id], &[&[0], &row.seq.to_be_bytes()]),
            Row::Listed(row) => place(
                &[
                    row.merchant_id.as_bytes(),
                    &[u8::from(row.livemode)],
                    &row.slot.0.to_be_bytes(),
                    &row.shard.to_be_bytes(),
                ],
                &[&row.received_at.0.to_be_bytes(), &row.conversion_id],
            ),
            Row::Year(row) => place(&[row.list.as_bytes()], &[&row.year.to_be_bytes()]),
            Row::Slot(row) => place(
                &[row.list.as_bytes(), &row.year.to_be_bytes()],
                &[&row.slot.0.to_be_bytes(), &row.shard.to_be_bytes()],
            ),
            Row::Commission(row) => place(&[&row.conversion_id], &[&row.revision.to_be_bytes()]),
            Row::Booking(BookingRow { slot, shard, booking }) => place(
                &[
                    booking.affiliate_id.as_bytes(),
                    booking.currency.0.code().as_bytes(),
                    &[u8::from(booking.livemode)],
                    &slot.0.to_be_bytes(),
                    &shard.to_be_bytes(),
                ],
                &[&booking.at.0.to_be_bytes(), booking.entry_id.as_bytes()],
            ),
            Row::BookingOfConversion(row) => {
                place(&[&row.conversion_id], &[&row.revision.to_be_bytes(), row.entry_id.as_bytes()])
            }
            Row::Balance(row) => place(
                &[row.affiliate_id.as_bytes(), row.currency.0.code().as_bytes(), &[u8::from(row.livemode)]],
                &[row.account.to_string().as_bytes()],
            ),
            Row::Payout(row) => place(&[&row.payout_digest], &[&row.change.to_be_bytes()]),
            Row::ListedPayout(row) => place(
                &[&row.slot.0.to_be_bytes(), &row.shard.to_be_bytes()],
                &[&row.cut_off.0.to_be_bytes(), &row.payout_digest],
            ),
            Row::Position(row) => place(&[row.topic.as_bytes()], &[&row.partition.to_be_bytes()]),
            Row::Identity(row) => place(&[row.place.as_bytes()], &[row.identity.as_bytes()]),
        }
    }

    /// Bytes that it takes, roughly: those of its texts that a merchant chooses, and something for all others.
    pub(super) fn weight(&self) -> usize {
        const OTHERS: usize = 256;
        let chosen = match self {
            Row::Conversion(row) => row.conversion.weight(),
            Row::Entry(row) => row.fields.iter().map(String::len).sum(),
            Row::Commission(row) => row.external_order_id.len(),
            Row::Listed(_)
            | Row::Year(_)
            | Row::Slot(_)
            | Row::Booking(_)
            | Row::BookingOfConversion(_)
            | Row::Balance(_)
            | Row::Payout(_)
            | Row::ListedPayout(_)
            | Row::Position(_)
            | Row::Identity(_) => 0,
        };
        OTHERS + chosen
    }
}

fn key(parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        key.extend_from_slice(&u32::try_from(part.len()).expect("a record is far under 4 GiB").to_be_bytes());
        key.extend_from_slice(part);
    }
    key
}

impl SerializeRow for Row {
    fn serialize(
        &self,
        ctx: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Row::Conversion(row) => row.serialize(ctx, writer),
            Row::Entry(row) => row.serialize(ctx, writer),
            Row::Listed(row) => row.serialize(ctx, writer),
            Row::Year(row) => row.serialize(ctx, writer),
            Row::Slot(row) => row.serialize(ctx, writer),
            Row::Commission(row) => row.serialize(ctx, writer),
            Row::Booking(row) => row.serialize(ctx, writer),
            Row::BookingOfConversion(row) => row.serialize(ctx, writer),
            Row::Balance(row) => row.serialize(ctx, writer),
            Row::Payout(row) => row.serialize(ctx, writer),
            Row::ListedPayout(row) => row.serialize(ctx, writer),
            Row::Position(row) => row.serialize(ctx, writer),
            Row::Identity(row) => row.serialize(ctx, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}
