//! Values of every record: whatever comes after a record's header is refused, or is a value that encodes and decodes to
//! itself.
//!
//! The first byte chooses the record, whose header is put before the rest.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use schemas::codec::HEADER_BYTES;
use schemas::records::{
    BalanceChanged, ClickLookupRequested, ClickMatched, ClickRecorded, CommissionChanged, ConversionReported,
    ConversionTransitioned, DeadLetter, LedgerEntry, OrderStatusReported, RegistryEntryChanged, RegistrySealed,
    ReviewDecided,
};
use schemas::state::{AccountState, OrderState};
use schemas::{AvroRecord, DecodeError, decode, encode};

/// Every record, in an order that the seeds are named by: a new one is the last.
const RECORDS: [fn(&[u8]); 15] = [
    check::<ConversionReported>,
    check::<OrderStatusReported>,
    check::<ClickRecorded>,
    check::<ClickLookupRequested>,
    check::<ClickMatched>,
    check::<ConversionTransitioned>,
    check::<CommissionChanged>,
    check::<LedgerEntry>,
    check::<BalanceChanged>,
    check::<DeadLetter>,
    check::<RegistryEntryChanged>,
    check::<RegistrySealed>,
    check::<OrderState>,
    check::<AccountState>,
    check::<ReviewDecided>,
];

fuzz_target!(|data: &[u8]| {
    let Some((first, datum)) = data.split_first() else { return };
    RECORDS[usize::from(first.wrapping_sub(b'0')) % RECORDS.len()](datum);
});

fn check<R: AvroRecord + PartialEq + Debug>(datum: &[u8]) {
    let fingerprint = R::schema().rabin_fingerprint();
    let value = [&[0xC3, 0x01], &fingerprint[..], datum].concat();
    let record = match decode::<R>(&value) {
        Ok(record) => record,
        // The header is right, so it is the datum that is refused.
        Err(DecodeError::Invalid { record, message }) => {
            assert_eq!(record, R::NAME);
            assert!(!message.is_empty());
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let encoded = encode(&record);
    assert_eq!(encoded[..HEADER_BYTES], value[..HEADER_BYTES]);
    assert_eq!(decode::<R>(&encoded).as_ref(), Ok(&record));
    // One value has one form of ours, whatever form it came in.
    assert_eq!(encode(&decode::<R>(&encoded).expect("it has just been decoded")), encoded);
}
