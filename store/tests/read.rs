//! What a reader of the embedded store sees, besides what `model/reads.rs` has of both stores.

mod common;

use common::{World, id, message, publish, report, wait};
use schemas::topics::CONVERSIONS;
use store::ReadModel;

#[test]
fn a_report_can_be_read_wherever_it_is_in_its_frame() {
    let world = World::new();
    let mut process = world.start();
    let orders: Vec<String> = (0..40).map(|number| format!("A-{number}")).collect();
    publish(&process.log, vec![message(CONVERSIONS, &report("B", "cnvevt_0"))]);
    publish(&process.log, orders.iter().map(|order| message(CONVERSIONS, &report(order, "cnvevt_1"))).collect());
    process.catch_up();
    for order in &orders {
        let found = wait(ReadModel::conversion(&process.store, id(order))).expect("read");
        assert_eq!(&found.unwrap_or_else(|| panic!("{order}")).conversion.external_order_id, order);
    }
}
