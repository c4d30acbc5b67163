//! Bodies read as the routes read them, for the fuzz target of requests. Only a build with `--cfg fuzzing` has this.

use schemas::records::{ClickRecorded, ConversionReported, OrderStatusReported, ReportedStatus};
use schemas::registry::Registry;
use schemas::{Currency, Timestamp};

use crate::auth::Caller;
use crate::fields::Reader;
use crate::json::Object;
use crate::{batch, clicks, conversion, order_status};

/// Why a body was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no JSON object.
    Malformed(String),
    /// What is wrong with its fields.
    Faults {
        /// The fields that the request may have.
        known: &'static [&'static str],
        /// Every fault.
        faults: Vec<String>,
    },
}

/// Reads the report of a conversion; the event `created`, if it came as that, decides its status.
///
/// # Errors
/// It is refused.
pub fn report(body: &[u8], now: Timestamp, created: Option<&str>) -> Result<ConversionReported, Refused> {
    let reader = reader(body, conversion::FIELDS)?;
    conversion::read(reader, &caller(), "cnvevt_1".to_owned(), now, created).map_err(faults(conversion::FIELDS))
}

/// Reads a status update; an event, if it came as one, decides its status.
///
/// # Errors
/// It is refused.
pub fn update(
    body: &[u8],
    now: Timestamp,
    event: Option<(&str, ReportedStatus)>,
) -> Result<OrderStatusReported, Refused> {
    let reader = reader(body, order_status::FIELDS)?;
    order_status::read(reader, &caller(), "osevt_1".to_owned(), now, event).map_err(faults(order_status::FIELDS))
}

/// Reads a click that a service tells of.
///
/// # Errors
/// It is refused.
pub fn click(body: &[u8], now: Timestamp, registry: &Registry) -> Result<ClickRecorded, Refused> {
    clicks::read(reader(body, clicks::FIELDS)?, registry, now).map_err(faults(clicks::FIELDS))
}

/// Reads a batch, and each of its items as the report that it is.
///
/// # Errors
/// The batch as a whole is refused.
pub fn batch(body: &[u8], now: Timestamp) -> Result<Vec<Result<ConversionReported, Refused>>, Refused> {
    let items = batch::read(reader(body, batch::FIELDS)?).map_err(faults(batch::FIELDS))?;
    Ok(items.into_iter().map(|item| report(item.get().as_bytes(), now, None)).collect())
}

fn reader<'a>(body: &'a [u8], fields: &'static [&'static str]) -> Result<Reader<'a>, Refused> {
    Object::parse(body, fields).map(Reader::new).map_err(Refused::Malformed)
}

fn faults(known: &'static [&'static str]) -> impl FnOnce(Vec<String>) -> Refused {
    move |faults| Refused::Faults { known, faults }
}

fn caller() -> Caller {
    Caller {
        merchant_id: "mer_one".to_owned(),
        livemode: true,
        currency: Currency::parse("NPR").expect("a currency in use"),
        key_id: "live_pk_xxxxxxxxxxxxxxxx".to_owned(),
        strict_replay: false,
        rate_limit: None,
    }
}
