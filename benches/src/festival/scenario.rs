//! What a rehearsal is: a file, or one of those that are shipped.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The scenarios that are shipped, by name.
const SHIPPED: [(&str, &str); 6] = [
    ("smoke", include_str!("../../scenarios/smoke.toml")),
    ("dashain", include_str!("../../scenarios/dashain.toml")),
    ("retry-storm", include_str!("../../scenarios/retry-storm.toml")),
    ("late-clicks", include_str!("../../scenarios/late-clicks.toml")),
    ("broker-loss", include_str!("../../scenarios/broker-loss.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
];
const MERCHANTS_MAX: u32 = 10_000;
const RATE_MAX: u32 = 1_000_000;
const SECONDS_MAX: u64 = 7 * DAY;
/// Four bytes are kept of each.
const ORDERS_MAX: u64 = 500_000_000;
const BATCH_MAX: u32 = 1_000;
const DELAY_MS_MAX: u64 = 3_600_000;
const DAY: u64 = 86_400;
/// Of a hold whose end a run waits for.
const HOLD_SHORT_MAX: u64 = 60;

/// A whole rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) name: String,
    /// Everything that is drawn follows from it.
    pub(super) seed: u64,
    pub(super) merchants: u32,
    /// The exponent of the merchants' skew, in hundredths: with 100 the second has half the orders of the first.
    pub(super) zipf_hundredths: u32,
    /// In a thousand: orders that are the first merchant's besides its part of the skew.
    pub(super) hot_per_mille: u32,
    /// Orders in a request; 1 is a request for each.
    pub(super) batch: u32,
    pub(super) phases: Vec<Phase>,
    pub(super) shares: Shares,
    pub(super) delays: Delays,
    pub(super) client: Client,
    pub(super) check: Check,
    pub(super) registry: Policies,
    #[serde(default)]
    pub(super) faults: Vec<Fault>,
}

/// A stretch in which the rate goes evenly from one to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) seconds: u64,
    /// Orders a second at its begin.
    pub(super) from: u32,
    /// And at its end.
    pub(super) to: u32,
}

/// Of a thousand orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shares {
    /// Sent once more, the same.
    pub(super) duplicate: u32,
    /// Sent once more with another amount.
    pub(super) conflict: u32,
    /// Without a click.
    pub(super) no_click: u32,
    /// With one that nobody ever records.
    pub(super) unknown_click: u32,
    /// With one that is recorded later.
    pub(super) late_click: u32,
    /// With status updates.
    pub(super) updates: u32,
    /// Wrongly signed: of requests.
    pub(super) bad_signature: u32,
}

/// Least and most, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delays {
    /// From the report to its duplicate or conflict.
    pub(super) resend_ms: [u64; 2],
    /// From the report to its click.
    pub(super) late_click_ms: [u64; 2],
    /// From the report to its first update, and from one to the next.
    pub(super) update_ms: [u64; 2],
}

/// How each process sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) connections: u32,
    /// Most requests that wait for a connection; those beyond are shed.
    pub(super) queue: u32,
    /// After which the server is not waited for.
    pub(super) timeout_ms: u64,
    /// Most times that a request is sent again after a time-out, a broken connection, a 5xx or a 429.
    pub(super) retries: u32,
    /// The wait before the first of them, which doubles, and the longest.
    pub(super) backoff_ms: [u64; 2],
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// Of so many orders that get a commission at once, one is followed from its 202 to it.
    pub(super) lag_one_in: u64,
    /// How long after the last request everything may take to be right.
    pub(super) settle_seconds: u64,
}

/// What the registry says of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policies {
    pub(super) click_wait_seconds: u64,
    /// After confirmation and after delivery.
    pub(super) hold_seconds: u64,
}

/// What is broken on purpose, and mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) what: What,
    /// From the beginning.
    pub(super) at_seconds: u64,
    /// How long it lasts.
    pub(super) seconds: u64,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// The broker is killed, and started again.
    KillBroker,
}

impl Scenario {
    /// A shipped one by its name, or else a file.
    pub(super) fn load(name: &str) -> Result<Scenario, String> {
        let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
        let text = match shipped {
            Some((_, text)) => (*text).to_owned(),
            None => fs::read_to_string(Path::new(name)).map_err(|error| {
                let names = SHIPPED.map(|(name, _)| name).join(", ");
                format!("no scenario {name:?} ({error}): give a file, or one of {names}")
            })?,
        };
        Scenario::parse(&text).map_err(|error| format!("scenario {name:?}: {error}"))
    }

    fn parse(text: &str) -> Result<Scenario, String> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string())?;
        let faults = scenario.faults_of_it();
        if faults.is_empty() { Ok(scenario) } else { Err(faults.join("; ")) }
    }

    /// Whether commissions are held for so short that a run sees the end.
    pub(super) fn holds_end(&self) -> bool {
        self.registry.hold_seconds <= HOLD_SHORT_MAX
    }

    /// How long after the last request everything may take to be right.
    pub(super) fn settle_seconds(&self) -> u64 {
        let hold = if self.holds_end() { self.registry.hold_seconds } else { 0 };
        self.check.settle_seconds + self.registry.click_wait_seconds + hold
    }

    fn faults_of_it(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut within = |name: &str, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                faults.push(format!("{name} must be from {least} to {most}, not {value}"));
            }
        };
        within("merchants", self.merchants.into(), 1, MERCHANTS_MAX.into());
        within("zipf_hundredths", self.zipf_hundredths.into(), 0, 300);
        within("hot_per_mille", self.hot_per_mille.into(), 0, 1_000);
        within("batch", self.batch.into(), 1, BATCH_MAX.into());
        within("the number of phases", self.phases.len().try_into().unwrap_or(u64::MAX), 1, 100);
        for phase in &self.phases {
            within(&format!("seconds of phase {:?}", phase.name), phase.seconds, 1, SECONDS_MAX);
            let fastest = phase.from.max(phase.to);
            within(&format!("rates of phase {:?}", phase.name), fastest.into(), 0, RATE_MAX.into());
        }
        let Shares { duplicate, conflict, no_click, unknown_click, late_click, updates, bad_signature } = self.shares;
        for (name, share) in
            [("duplicate", duplicate), ("conflict", conflict), ("updates", updates), ("bad_signature", bad_signature)]
        {
            within(&format!("shares.{name}"), share.into(), 0, 1_000);
        }
        let clicks = u64::from(no_click) + u64::from(unknown_click) + u64::from(late_click);
        within("the sum of shares.no_click, shares.unknown_click and shares.late_click", clicks, 0, 1_000);
        let Delays { resend_ms, late_click_ms, update_ms } = self.delays;
        for (name, [least, most]) in
            [("resend_ms", resend_ms), ("late_click_ms", late_click_ms), ("update_ms", update_ms)]
        {
            within(&format!("delays.{name}"), most, least, DELAY_MS_MAX);
        }
        within("client.connections", self.client.connections.into(), 1, 10_000);
        within("client.queue", self.client.queue.into(), 1, 1_000_000);
        within("client.timeout_ms", self.client.timeout_ms, 1, 600_000);
        within("client.retries", self.client.retries.into(), 0, 1_000);
        within("client.backoff_ms", self.client.backoff_ms[1], self.client.backoff_ms[0].max(1), DELAY_MS_MAX);
        within("check.lag_one_in", self.check.lag_one_in, 1, u64::MAX);
        within("check.settle_seconds", self.check.settle_seconds, 1, 3_600);
        within("registry.click_wait_seconds", self.registry.click_wait_seconds, 0, 3_600);
        within("registry.hold_seconds", self.registry.hold_seconds, 1, 365 * DAY);
        within("the number of faults", self.faults.len().try_into().unwrap_or(u64::MAX), 0, 100);
        if (HOLD_SHORT_MAX + 1..DAY).contains(&self.registry.hold_seconds) {
            faults.push(format!(
                "registry.hold_seconds must be at most {HOLD_SHORT_MAX}, so that its end is waited for, or at least {DAY}, \
                 so that it does not come"
            ));
        }
        self.faults_of_sums(&mut faults);
        faults
    }

    fn faults_of_sums(&self, faults: &mut Vec<String>) {
        let rates = |phase: &Phase| u128::from(phase.from) + u128::from(phase.to);
        let orders: u128 = self.phases.iter().map(|phase| rates(phase) * u128::from(phase.seconds) / 2).sum();
        let seconds: u64 = self.phases.iter().map(|phase| phase.seconds.min(SECONDS_MAX)).sum();
        if orders < u128::from(self.batch) || orders > u128::from(ORDERS_MAX) {
            faults.push(format!("the phases must make from {} to {ORDERS_MAX} orders, not {orders}", self.batch));
        }
        if seconds > SECONDS_MAX {
            faults.push(format!("the phases must be at most {SECONDS_MAX} s, not {seconds}"));
        }
        let mut free_from = 0;
        for fault in &self.faults {
            let end = fault.at_seconds.saturating_add(fault.seconds);
            if fault.seconds == 0 || fault.at_seconds < free_from || end > seconds {
                faults.push(format!(
                    "the fault at {} s must last at least a second, begin after the one before it, and end within the phases",
                    fault.at_seconds
                ));
            }
            free_from = end.saturating_add(1);
        }
    }
}

#[cfg(test)]
impl Scenario {
    /// One of which tests change what they are about.
    pub(super) fn example() -> Scenario {
        Scenario::load("smoke").expect("it is shipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_valid_and_has_its_name() {
        for (name, text) in SHIPPED {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, name);
        }
        let dashain = Scenario::load("dashain").expect("it is shipped");
        let rates = || dashain.phases.iter().map(|phase| phase.to);
        assert!(rates().max() >= Some(10 * rates().filter(|rate| *rate > 0).min().unwrap_or(0)));
        assert!(dashain.hot_per_mille > 0);
        assert!(Scenario::load("late-clicks").expect("it is shipped").shares.late_click > 0);
        assert!(!Scenario::load("broker-loss").expect("it is shipped").faults.is_empty());
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Scenario), expected: &str) {
        let mut scenario = Scenario::example();
        change(&mut scenario);
        let faults = scenario.faults_of_it();
        assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?}");
    }

    #[test]
    fn each_fault_names_its_field() {
        refused(|it| it.merchants = 0, "merchants must be from 1 to 10000, not 0");
        refused(|it| it.shares.no_click = 990, "the sum of shares.no_click");
        refused(|it| it.delays.update_ms = [5, 4], "delays.update_ms must be from 5");
        refused(|it| it.registry.hold_seconds = 3_600, "so that its end is waited for");
        refused(|it| it.phases.iter_mut().for_each(|phase| (phase.from, phase.to) = (0, 0)), "the phases must make");
        let fault = |at_seconds, seconds| Fault { what: What::KillBroker, at_seconds, seconds };
        refused(|it| it.faults = vec![fault(1, 1_000)], "end within the phases");
        refused(|it| it.faults = vec![fault(1, 3), fault(2, 3)], "begin after the one before it");
        let unknown = Scenario::load("no-such").expect_err("there is none");
        assert!(unknown.contains("dashain"), "{unknown}");
        let field = Scenario::parse("name = \"x\"\nspeed = 3\n").expect_err("there is no such field");
        assert!(field.contains("speed"), "{field}");
    }
}
