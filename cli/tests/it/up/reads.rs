//! What was answered can be read at once.

use crate::up::client::{CONVERSIONS, Client, ONE};
use crate::up::cluster::{Cluster, on_each_cluster};
use crate::up::orders::Order;

on_each_cluster!(an_answered_order_is_never_unknown);

fn an_answered_order_is_never_unknown<C: Cluster>() {
    let cluster = C::start();
    let (mut sender, mut reader) = (Client::new(&cluster.target(), &ONE), Client::new(&cluster.target(), &ONE));
    for number in 0..500 {
        let order = Order::new(&ONE, format!("READ-{number}"), 1_000 + number);
        let answer = sender.settle(CONVERSIONS, &order.body(), None);
        assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("RECEIVED")), "{order:?}: {answer:?}");
        let shown = reader.conversion(&order.id);
        let fault = order.fault(&shown);
        assert!(fault.is_none(), "{}", fault.unwrap_or_default());
        assert_eq!(shown.json()["eventId"], answer.json()["eventId"], "order {}: {shown:?}", order.id);
        assert_eq!(shown.json()["timeline"][0]["state"], "received", "order {}: {shown:?}", order.id);
    }
}
