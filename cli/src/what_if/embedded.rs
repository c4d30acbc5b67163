//! The rows of `orders` on an embedded log: those of its last snapshot, and the changes in the log since.

use std::path::Path;
use std::sync::Arc;

use processors::Orders;
use processors::what_if::WhatIf;
use schemas::registry::Registry;
use streams::embedded::LogView;
use streams::snapshot::Snapshot;
use streams::{Change, LogError, Processor};

use crate::error::CliError;

/// Shows it every row, in the order in which they were written.
pub(super) fn read(data: &Path, registry: Arc<Registry>, what_if: &mut WhatIf) -> Result<(), CliError> {
    let log = |error: LogError| CliError::Failed(format!("cannot read the log in {}: {error}", data.display()));
    let state = |error: streams::StoreError| CliError::Failed(format!("the data in {}: {error}", data.display()));
    let orders = Orders::new(registry);
    // The log first: a snapshot that is written meanwhile stands for a later position, never for an earlier one.
    let mut view = LogView::open(&data.join("log"), &[]).map_err(log)?;
    let dropped = view.consumers().into_iter().find(|it| it.name == orders.name()).map_or(0, |it| it.changes);
    let mut kept = None;
    if dropped > 0 {
        let snapshot = Snapshot::new(&data.join("snapshots"), &format!("{}-0", orders.name()), orders.state_version());
        kept = snapshot.read(&mut |rows| take(what_if, rows)).map_err(state)?;
        if kept.is_none_or(|position| position < dropped) {
            return Err(CliError::Failed(format!(
                "the log in {} begins at position {}, and no snapshot of this version has the orders before it: run it \
                 with the version that the data is of",
                data.display(),
                view.first()
            )));
        }
    }
    let mut changes = Vec::new();
    while let Some(end) = view.next_changes(orders.name(), &mut changes).map_err(log)? {
        // What a snapshot stands for is in it, in its last form.
        if kept.is_none_or(|position| position < end) {
            take(what_if, &changes).map_err(state)?;
        }
        changes.clear();
    }
    Ok(())
}

fn take(what_if: &mut WhatIf, changes: &[Change]) -> Result<(), streams::StoreError> {
    changes.iter().try_for_each(|change| what_if.take(&change.key, change.value.as_deref()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use processors::what_if::Range;
    use schemas::records::OrderStatus;
    use schemas::state::{OrderState, Published, ReportFact};
    use schemas::{Currency, Timestamp, encode};
    use streams::embedded::{EmbeddedLog, Options};
    use streams::log::Limits;
    use streams::{Commit, Session, Step};

    use super::*;

    /// The row of an order of which nothing is known but that it was published.
    fn row(number: u8) -> Change {
        let report = ReportFact {
            event_id: String::new(),
            click_id: None,
            external_product_id: None,
            amount_minor: 1,
            currency: Currency::parse("NPR").expect("a currency"),
            order_status: OrderStatus::Pending,
            ordered_at: None,
            received_at: Timestamp(0),
            coupon_code: None,
            metadata: None,
            set_aside: false,
            source: None,
        };
        let published = Published {
            state: schemas::records::ConversionState::Received,
            confidence: None,
            confidence_reason: None,
            commission_state: None,
            commission_minor: None,
            hold_until: None,
            order_status: OrderStatus::Pending,
            refunded_thousandths: None,
            pending_minor: 0,
            payable_minor: 0,
        };
        let state = OrderState {
            report: Some(report),
            published: Some(published),
            derived_at: Some(Timestamp(0)),
            ..processors::orders::empty_state()
        };
        Change { key: format!("sm/live/{number}").into(), value: Some(encode(&state).into()) }
    }

    /// How many orders are read, or why they are not.
    fn orders(data: &Path) -> Result<u64, String> {
        let registry = Arc::new(Registry::demo());
        let range = Range { from: Timestamp(0), to: Timestamp(1), livemode: true };
        let mut what_if = WhatIf::new(range, Arc::clone(&registry));
        read(data, registry, &mut what_if).map_err(|error| error.to_string())?;
        Ok(what_if.answer().orders)
    }

    #[test]
    fn what_retention_has_taken_is_in_the_snapshot() {
        let data = tempfile::tempdir().expect("a folder");
        let options = Options { segment_bytes_max: 300, ..Options::default() };
        let log = EmbeddedLog::open(data.path().join("log"), options).expect("a log");
        let mut session = log.session("orders", &[]);
        // Polled before each step, for the log keeps what its consumers have not passed.
        let mut commit = |number| {
            session.poll(&Limits::default(), Duration::ZERO).expect("its partition");
            match session.commit(&Step { outputs: vec![], changes: vec![(0, vec![row(number)])] }) {
                Commit::Committed(positions) => positions[0].1,
                other => panic!("{other:?}"),
            }
        };
        let ends: Vec<u64> = (0..60).map(&mut commit).collect();
        assert_eq!(orders(data.path()), Ok(60));

        // A snapshot of the first half, by which segments go.
        std::fs::create_dir(data.path().join("snapshots")).expect("a folder");
        let version = Orders::new(Arc::new(Registry::demo())).state_version();
        let snapshot = |version| Snapshot::new(&data.path().join("snapshots"), "orders-0", version);
        let first_half = |add: streams::snapshot::AddRow<'_>| {
            (0..30).map(row).try_for_each(|row| add(&row.key, row.value.as_deref().expect("a row")))
        };
        snapshot(version).write_rows(ends[29], first_half).expect("it is written");
        assert!(log.drop_before(ends[29]).expect("segments are dropped") > 0);
        assert_eq!(orders(data.path()), Ok(60), "half by the snapshot, half by the log");

        // One that is of other rows, or too old, is told and not passed over.
        snapshot(version ^ 1).write_rows(ends[29], first_half).expect("it is written");
        assert!(orders(data.path()).is_err_and(|why| why.contains("no snapshot of this version")));
        snapshot(version).write_rows(ends[0], first_half).expect("it is written");
        assert!(orders(data.path()).is_err_and(|why| why.contains("no snapshot of this version")));
    }
}
