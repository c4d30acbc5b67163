//! A shop's events, through the whole pipeline.

use std::time::Duration;

use serde_json::{Value, json};

use crate::up::attribution::assert_pays;
use crate::up::client::{Answer, Client, ONE, head};
use crate::up::cluster::{Cluster, Target, on_each_cluster};
use crate::up::orders::ORDERED_AT;
use crate::up::poll;

on_each_cluster!(an_order_lives_by_its_events);

/// A shop, which delivers each event with an id.
struct Shop(Client);

impl Shop {
    fn of(target: &Target) -> Shop {
        Shop(Client::new(target, &ONE))
    }

    fn deliver(&mut self, event: &str, id: Option<&str>, body: &Value) -> Answer {
        let body = body.to_string();
        let mut head = head(&ONE, &format!("POST /api/v1/webhooks/{event}"), &body);
        if let Some(id) = id {
            head += &format!("x-external-event-id: {id}\r\n");
        }
        self.0.send(&head, &body).expect("an answer")
    }

    #[track_caller]
    fn is_taken(&mut self, event: &str, id: &str, body: &Value, status: &str) {
        let answer = self.deliver(event, Some(id), body);
        assert_eq!((answer.status, &answer.json()["status"]), (202, &json!(status)), "{event} {id}: {answer:?}");
    }

    #[track_caller]
    fn is_refused(&mut self, event: &str, id: Option<&str>, body: &Value, status: u16, code: &str) {
        let answer = self.deliver(event, id, body);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{event} {id:?}: {answer:?}");
    }

    /// Waits until the order is as it has to become.
    #[track_caller]
    fn becomes(&mut self, order: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        poll(Duration::from_secs(20), || {
            let conversion = self.0.conversion(order).json();
            if is_right(&conversion) { Ok(conversion) } else { Err(conversion.to_string()) }
        })
    }
}

fn an_order_lives_by_its_events<C: Cluster>() {
    let mut cluster = C::start();
    let mut shop = Shop::of(&cluster.target());
    let created =
        json!({"externalOrderId": "EVENT-1", "orderAmount": "1000.00", "clickId": ONE.click, "orderedAt": ORDERED_AT});
    let update = json!({"externalOrderId": "EVENT-1"});
    // Paid before it was created, as shops deliver.
    shop.is_taken("order-paid", "evt-paid", &update, "ACCEPTED");
    shop.is_taken("order-created", "evt-created", &created, "RECEIVED");
    let conversion = shop.becomes("EVENT-1", |it| !it["commission"].is_null() && !it["holdUntil"].is_null());
    assert_pays(&conversion, "100.00", "campaign", "rul_campaign_one", "10");
    assert_eq!(conversion["orderStatus"], "paid", "{conversion}");

    // Deliveries again: of the same, and of a body that was made anew.
    shop.is_taken("order-created", "evt-created", &created, "DUPLICATE");
    shop.is_taken("order-paid", "evt-paid", &update, "DUPLICATE");
    let later = json!({"externalOrderId": "EVENT-1", "statusUpdatedAt": "2026-06-15T00:00:00Z"});
    shop.is_taken("order-paid", "evt-paid", &later, "DUPLICATE");

    let other = json!({"externalOrderId": "EVENT-2", "orderAmount": "1.00"});
    shop.is_refused("order-created", Some("evt-created"), &other, 422, "IDEMPOTENCY_KEY_REUSED");
    shop.is_refused("order-created", None, &other, 400, "VALIDATION_FAILED");
    shop.is_refused("order-shipped", Some("evt-shipped"), &update, 404, "NOT_FOUND");
    assert_eq!(shop.0.conversion("EVENT-2").status, 404, "nothing of it was recorded");

    let refund = json!({"externalOrderId": "EVENT-1", "refundedAmount": "400.00"});
    shop.is_taken("order-refunded", "evt-refund", &refund, "ACCEPTED");
    shop.becomes("EVENT-1", |it| it["commission"]["amount"] == "60.00");
    shop.is_taken("order-cancelled", "evt-cancelled", &update, "ACCEPTED");
    shop.becomes("EVENT-1", |it| it["state"] == "reversed");
    cluster.quiet("after the events");
    cluster.stop();
    let topics = cluster.topics();
    assert_eq!((topics.reports.len(), topics.statuses.len()), (1, 3), "what was known is no fact");
    assert!(topics.dead_letters.is_empty(), "{:?}", topics.dead_letters);
}
