//! `GET /c/{link}`.

use axum::http::Method;
use schemas::Timestamp;
use schemas::decode;
use schemas::records::ClickRecorded;
use schemas::topics::CLICKS;
use std::time::Duration;
use tokio::time::sleep;

use crate::support::{Bench, Call, LogMode, NOW_S};

fn click() -> Call {
    Call::get("/c/lnk_one").unsigned()
}

#[tokio::test]
async fn a_click_is_recorded_and_sent_on() {
    let bench = Bench::new();
    let reply = bench.send(click()).await;
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (302, Some("no-store")));
    let message = bench.log.messages().remove(0);
    let record: ClickRecorded = decode(&message.value).unwrap();
    assert_eq!((message.topic.id, message.topic.name), (CLICKS.number, CLICKS.name));
    assert_eq!(message.key, record.click_id.as_bytes());
    assert_eq!(
        reply.header("location"),
        Some(&*format!("https://shop.example/p?colour=red&affiliate_click_id={}&aff_id=aff_one", record.click_id))
    );
    assert_eq!(i64::from_str_radix(&record.click_id["clk_".len()..][..12], 16).unwrap(), NOW_S * 1_000);
    assert_eq!(
        record,
        ClickRecorded {
            click_id: record.click_id.clone(),
            merchant_id: "mer_one".to_owned(),
            campaign_id: "cmp_one".to_owned(),
            affiliate_id: "aff_one".to_owned(),
            link_id: Some("lnk_one".to_owned()),
            clicked_at: Timestamp(NOW_S * 1_000),
        }
    );
    let other = bench.send(click()).await;
    assert_ne!(other.header("location"), reply.header("location"), "every click has an id of its own");
}

#[tokio::test]
async fn a_look_is_no_click() {
    let bench = Bench::new();
    let reply = bench.send(click().method(Method::HEAD)).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (302, Some("https://shop.example/p?colour=red")));
    assert_eq!((reply.header("cache-control"), reply.text.as_str()), (Some("no-store"), ""));
    assert_eq!(bench.log.count(), 0);
    bench.send(Call::get("/c/lnk_two").unsigned()).await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_shopper_never_waits_for_the_log() {
    for mode in [LogMode::Full, LogMode::Closed, LogMode::Fails, LogMode::Holds, LogMode::TooLarge] {
        let bench = Bench::with(|config| config.ack_deadline = Duration::from_millis(10));
        bench.log.set(mode);
        assert_eq!(bench.send(click()).await.status, 302, "{mode:?}");
        while !bench.metric("clicks_lost_total 1").await {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn a_flood_of_clicks_leaves_the_log_to_merchants() {
    let bench = Bench::with(|config| {
        config.clicks_in_flight_max = 2;
        config.ack_deadline = Duration::from_millis(10);
    });
    bench.log.set(LogMode::Holds);
    for _ in 0..5 {
        assert_eq!(bench.send(click()).await.status, 302);
    }
    assert_eq!(bench.log.count(), 2);
    assert!(bench.metric("clicks_recorded_total 2").await && bench.metric("clicks_lost_total 3").await);
    // What the log has not acknowledged in time is lost perhaps, and in flight still.
    while !bench.metric("clicks_lost_total 5").await {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.send(click()).await.status, 302);
    assert_eq!(bench.log.count(), 2);
    bench.log.release();
    bench.log.set(LogMode::Works);
    while bench.log.count() == 2 {
        assert_eq!(bench.send(click()).await.status, 302);
        sleep(Duration::from_millis(1)).await;
    }
}
