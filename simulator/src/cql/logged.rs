//! What the log says of claims, and whether the rows and what edges were told agree with it.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::ConversionId;
use schemas::records::{ConversionReported, OrderStatusReported, TestClockAdvanced};
use schemas::topics::CONVERSIONS;
use store::{status_digest, test_clock_digest};
use streams::sim::Cluster;

use super::paxos::Asked;
use super::server::{Place, Server};
use super::{Told, What};
use crate::claims::conversion_id;

/// The events of `conversions`, as they become visible.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    next: BTreeMap<u32, u64>,
    /// The first report of each order: partition, offset, event.
    first: BTreeMap<ConversionId, (u32, u64, String)>,
    events: BTreeMap<Place, BTreeSet<String>>,
}

impl Logged {
    /// Reads on.
    pub(crate) fn look(&mut self, cluster: &Cluster, partitions: u32) {
        for partition in 0..partitions {
            let from = self.next.get(&partition).copied().unwrap_or(0);
            let next = cluster.read(CONVERSIONS.name, partition, from, &mut |offset, _, value| {
                self.one(partition, offset, value.unwrap_or_default());
            });
            self.next.insert(partition, next);
        }
    }

    fn one(&mut self, partition: u32, offset: u64, value: &[u8]) {
        if let Ok(report) = schemas::decode::<ConversionReported>(value) {
            let id = conversion_id(&report.merchant_id, report.livemode, &report.external_order_id);
            self.first.entry(id).or_insert_with(|| (partition, offset, report.event_id.clone()));
            self.events.entry(Place::Conversion(id)).or_default().insert(report.event_id);
        } else if let Ok(update) = schemas::decode::<OrderStatusReported>(value) {
            let id = conversion_id(&update.merchant_id, update.livemode, &update.external_order_id);
            self.events.entry(Place::Status(status_digest(id, &update))).or_default().insert(update.event_id);
        } else if let Ok(advanced) = schemas::decode::<TestClockAdvanced>(value) {
            let id = conversion_id(&advanced.merchant_id, advanced.livemode, &advanced.external_order_id);
            let place = Place::Status(test_clock_digest(id, advanced.advanced_to));
            self.events.entry(place).or_default().insert(advanced.event_id);
        }
    }

    /// What is wrong, once nothing moves any more: everything in the log has its row, which one of its events has made, an
    /// order's stands for the first report in the log, and edges were told what the rows say.
    pub(crate) fn check(&self, server: &Server, told: &[Told]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut state = server.state();
        let mut claimed_by = BTreeMap::new();
        for (place, events) in &self.events {
            let event = match place {
                Place::Conversion(id) => {
                    let row = state.conversions.get_mut(id).and_then(|row| row.read_serial(Asked::ALL));
                    if let (Some(row), Some((partition, offset, event_id))) = (&row, self.first.get(id)) {
                        let claim = &row.row.claim;
                        if (claim.partition, claim.offset, &claim.event_id) != (*partition, *offset, event_id) {
                            wrong.push(format!("{event_id} is first at {offset} of {partition}, and {claim:?} stands"));
                        }
                    }
                    row.map(|row| row.row.claimed_by)
                }
                Place::Status(digest) => {
                    let row = state.statuses.get_mut(digest).and_then(|row| row.read_serial(Asked::ALL));
                    row.map(|row| row.row)
                }
            };
            match event {
                Some(event) if events.contains(&event) => drop(claimed_by.insert(*place, event)),
                Some(event) => wrong.push(format!("{place:?} is claimed by {event}, which is none of {events:?}")),
                None => wrong.push(format!("{place:?} is in the log, and nobody has claimed it")),
            }
        }
        drop(state);
        for Told { edge, place, event_id, what } in told {
            let is_mine = claimed_by.get(place) == Some(event_id);
            match what {
                What::First if is_mine => {}
                What::Taken if !is_mine => {}
                What::Unknown { is_overlooked: false } => {}
                What::First | What::Taken | What::Unknown { is_overlooked: true } => {
                    let by = claimed_by.get(place);
                    wrong.push(format!("edge {edge} was told that {event_id} is {what:?}, and {by:?} has the claim"));
                }
            }
        }
        wrong
    }

    /// Of the writes whose answer told nothing, how many made their row, and how many did not.
    pub(crate) fn unknown(server: &Server) -> (usize, usize) {
        let mut state = server.state();
        let unknown = state.unknown.clone();
        let mut is_made = |(place, number): &(Place, u64)| match place {
            Place::Conversion(id) => {
                let row = state.conversions.get_mut(id).and_then(|row| row.read_serial(Asked::ALL));
                row.is_some_and(|row| row.by == *number)
            }
            Place::Status(digest) => {
                let row = state.statuses.get_mut(digest).and_then(|row| row.read_serial(Asked::ALL));
                row.is_some_and(|row| row.by == *number)
            }
        };
        let made = unknown.iter().filter(|one| is_made(one)).count();
        (made, unknown.len() - made)
    }
}
