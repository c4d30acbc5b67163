//! Clicks: where a shopper is sent on to, and how the click reaches the log without the shopper waiting for it; and clicks that
//! were made elsewhere, whose sender does wait.

use std::fmt::Display;
use std::sync::Arc;

use schemas::Timestamp;
use schemas::records::ClickRecorded;
use schemas::registry::{Link, Registry};
use schemas::topics::CLICKS;
use store::{Claims, ReadModel};
use streams::{Message, PublishError, Publisher};
use tokio::time::timeout;

use crate::conversion::CLICK_ID_CHARACTERS_MAX;
use crate::edge::{Inner, topic};
use crate::error::{Error, Shed};
use crate::fields::Reader;

/// The fields of a click that was made elsewhere.
pub(crate) const FIELDS: &[&str] = &["clickId", "linkId", "campaignId", "affiliateId", "clickedAt"];

/// Validates a click that was made elsewhere and is told of at `now`: on a link of the registry, or for one of its affiliates in
/// one of its campaigns.
///
/// Nothing has a default, so that a click that is told of again is the same record.
///
/// # Errors
/// Every fault.
pub(crate) fn read(mut reader: Reader<'_>, registry: &Registry, now: Timestamp) -> Result<ClickRecorded, Vec<String>> {
    let click_id = click_id(&mut reader);
    let origin = origin(&mut reader, registry).unwrap_or_default();
    if reader.raw("clickedAt").is_none() {
        reader.fault("clickedAt is required: ISO 8601 with offset, such as \"2026-06-14T09:30:00Z\"".to_owned());
    }
    let clicked_at = reader.instant("clickedAt", now);
    let record = ClickRecorded {
        click_id: click_id.unwrap_or_default(),
        merchant_id: origin.merchant_id,
        campaign_id: origin.campaign_id,
        affiliate_id: origin.affiliate_id,
        link_id: origin.link_id,
        clicked_at: clicked_at.unwrap_or(now),
    };
    reader.finish().map(|()| record)
}

/// Whose a click is.
#[derive(Default)]
struct Origin {
    merchant_id: String,
    campaign_id: String,
    affiliate_id: String,
    link_id: Option<String>,
}

fn click_id(reader: &mut Reader<'_>) -> Option<String> {
    const NAME: &str = "clickId";
    let id = reader.required_text(NAME, CLICK_ID_CHARACTERS_MAX)?;
    if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(id);
    }
    reader.refuse_given(NAME, "must have visible ASCII characters only");
    None
}

/// The campaign and affiliate of the link that is named, or those that are.
fn origin(reader: &mut Reader<'_>, registry: &Registry) -> Option<Origin> {
    const PARTS: [&str; 2] = ["campaignId", "affiliateId"];
    if reader.raw("linkId").is_some() {
        for name in PARTS {
            reader.refuse_given(name, "must be left out with linkId, which decides it");
        }
        let link = known(reader, "linkId", "link", |id| registry.link(id))?;
        let campaign = registry.campaign(&link.campaign_id).expect("every reference in a registry resolves");
        return Some(Origin {
            merchant_id: campaign.merchant_id.clone(),
            campaign_id: campaign.id.clone(),
            affiliate_id: link.affiliate_id.clone(),
            link_id: Some(link.id.clone()),
        });
    }
    for name in PARTS {
        if reader.raw(name).is_none() {
            reader.fault(format!("{name} is required without linkId: the id of one in the registry"));
        }
    }
    let campaign = known(reader, "campaignId", "campaign", |id| registry.campaign(id));
    let affiliate = known(reader, "affiliateId", "affiliate", |id| registry.affiliate(id));
    campaign.zip(affiliate).map(|(campaign, affiliate)| Origin {
        merchant_id: campaign.merchant_id.clone(),
        campaign_id: campaign.id.clone(),
        affiliate_id: affiliate.id.clone(),
        link_id: None,
    })
}

/// What the registry has under the id that a field gives.
pub(crate) fn known<T>(
    reader: &mut Reader<'_>,
    name: &'static str,
    what: &str,
    find: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let (id, _) = reader.string(name)?;
    let found = find(&id);
    if found.is_none() {
        reader.refuse_given(name, format_args!("must be the id of a {what} in the registry"));
    }
    found
}

fn message(record: &ClickRecorded) -> Message {
    Message { topic: topic(&CLICKS), key: record.click_id.as_bytes().to_vec(), value: schemas::encode(record) }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// Records a click whose sender waits until it is durable.
    ///
    /// # Errors
    /// It was not recorded, or is not known to be: its sender is to come again.
    pub(crate) async fn keep_click(&self, record: &ClickRecorded) -> Result<(), Error> {
        let permit = Arc::clone(&self.clicks_in_flight).try_acquire_owned().map_err(|_| self.shed(Shed::Clicks))?;
        let pending = self.publisher.publish(vec![message(record)]);
        let mut pending = pending.map_err(|error| self.publish_error(&error))?;
        let Ok(answer) = timeout(self.config.ack_deadline, &mut pending).await else {
            self.metrics.publish_failed("ack_deadline");
            // It is still in the log's queue, and so still in flight.
            tokio::spawn(async move {
                let _ = pending.await;
                drop(permit);
            });
            return Err(self.perhaps_recorded("the log did not acknowledge a click within its deadline".to_owned()));
        };
        answer.map_err(|error| self.publish_error(&error))?;
        self.metrics.clicks_recorded.inc();
        Ok(())
    }
}

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
        // A link is followed without a key: a flood of clicks must not fill the log's queue, which reports need.
        let Ok(permit) = Arc::clone(&self.clicks_in_flight).try_acquire_owned() else {
            return self.shed_click(click_id, &request_id, "clicks_in_flight_max is reached");
        };
        let mut pending = match self.publisher.publish(vec![message(&record)]) {
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
