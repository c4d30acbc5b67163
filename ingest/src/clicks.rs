//! Clicks: where a shopper is sent on to, and how the click reaches the log without the shopper waiting for it.

use std::fmt::Display;
use std::sync::Arc;

use schemas::Timestamp;
use schemas::records::ClickRecorded;
use schemas::registry::{Link, Registry};
use schemas::topics::CLICKS;
use streams::{Message, PublishError, Publisher};
use tokio::time::timeout;

use crate::edge::{Inner, topic};

impl<P: Publisher, C, R> Inner<P, C, R> {
    /// Hands a click on a link of `registry` to the log. A failure is counted and logged; the shopper never learns of it.
    pub(crate) fn record_click(
        &self,
        registry: &Registry,
        link: &Link,
        click_id: &str,
        now: Timestamp,
        request_id: Option<Arc<str>>,
    ) {
        let request_id = request_id.unwrap_or_else(|| Arc::from(""));
        let Some(campaign) = registry.campaign(&link.campaign_id) else {
            self.lost(click_id, &request_id, "its link names no campaign");
            return;
        };
        let record = ClickRecorded {
            click_id: click_id.to_owned(),
            merchant_id: campaign.merchant_id.clone(),
            campaign_id: campaign.id.clone(),
            affiliate_id: link.affiliate_id.clone(),
            link_id: Some(link.id.clone()),
            clicked_at: now,
        };
        let message =
            Message { topic: topic(&CLICKS), key: click_id.as_bytes().to_vec(), value: schemas::encode(&record) };
        // A link is followed without a key: a flood of clicks must not fill the log's queue, which reports need.
        let Ok(permit) = Arc::clone(&self.clicks_in_flight).try_acquire_owned() else {
            return self.shed_click(click_id, &request_id, "clicks_in_flight_max is reached");
        };
        let mut pending = match self.publisher.publish(vec![message]) {
            Ok(pending) => pending,
            Err(error @ PublishError::Full) => return self.shed_click(click_id, &request_id, error),
            Err(error) => return self.lost(click_id, &request_id, error),
        };
        self.metrics.clicks_recorded.inc();
        let (lost, deadline, click_id) = (self.metrics.clicks_lost.clone(), self.config.ack_deadline, record.click_id);
        tokio::spawn(async move {
            let late = timeout(deadline, &mut pending).await;
            let error = match &late {
                Ok(Ok(_ack)) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no acknowledgement within {deadline:?}"),
            };
            lost.inc();
            tracing::error!(request_id = &*request_id, click_id, error, "click perhaps lost");
            if late.is_err() {
                // It is still in the log's queue, and so still in flight.
                let _ = pending.await;
            }
            drop(permit);
        });
    }

    fn lost(&self, click_id: &str, request_id: &str, error: impl Display) {
        self.metrics.clicks_lost.inc();
        tracing::error!(request_id, click_id, %error, "click lost");
    }

    /// Anybody can make this happen as often as they like: no error line each.
    fn shed_click(&self, click_id: &str, request_id: &str, bound: impl Display) {
        self.metrics.clicks_lost.inc();
        tracing::debug!(request_id, click_id, %bound, "click shed");
    }
}

/// The destination with the click's id and the affiliate's appended to its query.
pub(crate) fn redirect(destination: &str, click_id: &str, affiliate_id: &str) -> String {
    let (address, fragment) = match destination.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (destination, None),
    };
    let separator = match address.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let mut location = format!("{address}{separator}affiliate_click_id={click_id}&aff_id={affiliate_id}");
    if let Some(fragment) = fragment {
        location.push('#');
        location.push_str(fragment);
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(destination: &str, expected: &str) {
        let added = "affiliate_click_id=clk_1&aff_id=aff_1";
        assert_eq!(redirect(destination, "clk_1", "aff_1"), expected.replace("{}", added), "{destination}");
    }

    #[test]
    fn query_and_fragment_are_kept() {
        check("https://shop.example", "https://shop.example?{}");
        check("https://shop.example/", "https://shop.example/?{}");
        check("https://shop.example/p?", "https://shop.example/p?{}");
        check("https://shop.example/p?a=1", "https://shop.example/p?a=1&{}");
        check("https://shop.example/p?a=1&", "https://shop.example/p?a=1&{}");
        check("https://shop.example/p?a=1&b=%20x#top", "https://shop.example/p?a=1&b=%20x&{}#top");
        check("https://shop.example/p#a?b", "https://shop.example/p?{}#a?b");
        check("https://shop.example/p?u=http://x/?y", "https://shop.example/p?u=http://x/?y&{}");
        check("https://shop.example/#", "https://shop.example/?{}#");
    }
}
