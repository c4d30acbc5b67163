//! What is decided about claims, over tables whose answers get lost.

use schemas::ids::ConversionId;

use crate::claims::{ConversionClaim, Fingerprint};

mod campaign;
mod keeper;
mod lost;
mod table;

const ID: ConversionId = ConversionId([7; 16]);

fn claim(event_id: &str, offset: u64) -> ConversionClaim {
    let fingerprint = Fingerprint { whole: offset, fields: [1, 2, 3, 4, 5, 6, 7, 8] };
    ConversionClaim { event_id: event_id.to_owned(), fingerprint, partition: 0, offset }
}
