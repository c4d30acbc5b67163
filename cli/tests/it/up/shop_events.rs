//! Events of a shop that are delivered twice: the id of each tells them apart, whatever became of the edge in between.

use serde_json::json;

use crate::up::client::{Answer, CONVERSIONS, Client, ONE, head};
use crate::up::cluster::{Cluster, on_each_cluster};
use crate::up::orders::Order;

on_each_cluster!(a_refund_that_is_told_twice_counts_once);

const REFUNDED: &str = "/api/v1/webhooks/order-refunded";

fn refund(client: &mut Client, order: &Order, id: &str, at: &str) -> Answer {
    let body = json!({ "externalOrderId": order.id, "refundedAmount": "10.00", "statusUpdatedAt": at }).to_string();
    let head = head(&ONE, &format!("POST {REFUNDED}"), &body) + &format!("x-external-event-id: {id}\r\n");
    client.send(&head, &body).expect("an answer")
}

/// A shop makes the body of a second delivery anew, so that nothing but the id says that it is one: the log has to know it,
/// since all else that an edge keeps may be gone.
fn a_refund_that_is_told_twice_counts_once<C: Cluster>() {
    let mut cluster = C::start();
    let order = Order::new(&ONE, "SHOP-1", 299_900);
    let mut client = Client::new(&cluster.target(), &ONE);
    let reported = client.settle(CONVERSIONS, &order.body(), None);
    assert_eq!(reported.json()["status"], "RECEIVED", "{reported:?}");
    let (first, later) = ("2026-06-14T09:00:00Z", "2026-06-14T09:00:01Z");
    let answer = refund(&mut client, &order, "evt-1", first);
    assert_eq!(answer.json()["status"], "ACCEPTED", "{answer:?}");

    cluster.kill();
    cluster.delete_state();
    cluster.restart();
    let mut client = Client::new(&cluster.target(), &ONE);
    let again = refund(&mut client, &order, "evt-1", later);
    assert_eq!(again.json()["status"], "DUPLICATE", "{again:?}");
    let other = Order::new(&ONE, "SHOP-2", 299_900);
    let reused = refund(&mut client, &other, "evt-1", first);
    assert_eq!((reused.status, &reused.json()["code"]), (422, &json!("IDEMPOTENCY_KEY_REUSED")), "{reused:?}");
    // Another event is another refund, of the same amount too.
    let second = refund(&mut client, &order, "evt-2", later);
    assert_eq!(second.json()["status"], "ACCEPTED", "{second:?}");
}
