//! The registries of a run: whom there is, and under which windows and rules.

use std::fmt::Write as _;
use std::sync::Arc;

use schemas::Timestamp;
use schemas::registry::Registry;

use crate::random::Random;

/// An API key with what signs for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) key: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) merchant_id: &'static str,
    pub(crate) livemode: bool,
    /// The currency of orders that name none.
    pub(crate) currency: &'static str,
}

/// Who reports orders.
pub(crate) const SENDERS: [Sender; 3] = [
    Sender {
        key: "live_pk_one",
        secret: "sk_live_one_0000000000000000",
        merchant_id: "m1",
        livemode: true,
        currency: "NPR",
    },
    Sender {
        key: "test_pk_one",
        secret: "sk_test_one_0000000000000000",
        merchant_id: "m1",
        livemode: false,
        currency: "NPR",
    },
    Sender {
        key: "live_pk_two",
        secret: "sk_live_two_0000000000000000",
        merchant_id: "m2",
        livemode: true,
        currency: "JPY",
    },
];

/// Links, each with the merchant whose it is.
pub(crate) const LINKS: [(&str, &str); 4] = [("l1", "m1"), ("l2", "m1"), ("l3", "m1"), ("l4", "m2")];

/// Products that rules name, and one that none does.
pub(crate) const PRODUCTS: [&str; 3] = ["RED", "BLUE", "GREEN"];

const PARTIES: &str = r#"
[[merchants]]
id = "m1"
name = "One"
currency = "NPR"

[[merchants]]
id = "m2"
name = "Two"
currency = "JPY"

[[keys]]
id = "live_pk_one"
merchant = "m1"
secret = "sk_live_one_0000000000000000"

[[keys]]
id = "test_pk_one"
merchant = "m1"
secret = "sk_test_one_0000000000000000"

[[keys]]
id = "live_pk_two"
merchant = "m2"
secret = "sk_live_two_0000000000000000"

[[affiliates]]
id = "a1"
name = "A"

[[affiliates]]
id = "a2"
name = "B"

[[campaigns]]
id = "c2"
merchant = "m1"

[[campaigns]]
id = "c4"
merchant = "m2"

[[links]]
id = "l1"
campaign = "c1"
affiliate = "a1"
destination = "https://one.example/"

[[links]]
id = "l2"
campaign = "c2"
affiliate = "a2"
destination = "https://one.example/?p=2"

[[links]]
id = "l3"
campaign = "c1"
affiliate = "a2"
destination = "https://one.example/three?"

[[links]]
id = "l4"
campaign = "c4"
affiliate = "a1"
destination = "https://two.example/"
"#;

/// A click that is known from elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    pub(crate) click_id: String,
    pub(crate) link: &'static str,
    pub(crate) clicked_at: Timestamp,
}

/// Codes that orders come with: one in several cases, one that is over, and one that nobody ever had.
pub(crate) const COUPONS: [Option<&str>; 10] =
    [None, None, None, None, None, Some("TEN"), Some("ten"), Some("Ten"), Some("OLD"), Some("NEVER")];

/// The longest window of all registries, in hours: after so long nothing is held any more.
pub(crate) const WINDOW_HOURS_MAX: u64 = 72;

/// A registry with windows and rules of its own; `clicks` are in each of a run.
pub(crate) fn draw(seed: u64, version: u64, clicks: &[Elsewhere], epoch_ms: i64) -> Arc<Registry> {
    let mut random = Random::new(seed.wrapping_add(version), "terms");
    let mut soon = Random::new(seed.wrapping_add(version), "coupons");
    let wait = random.pick(&["0s", "5s", "60s", "10m"]);
    let lookback = random.pick(&["1h", "24h", "30d"]);
    let settlement = random.pick(&["10m", "6h", "24h", "72h"]);
    let returns = random.pick(&["5m", "2h", "48h"]);
    let mut payouts = Random::new(seed.wrapping_add(version), "payouts");
    let mut owners = Random::new(seed.wrapping_add(version), "own merchants");
    let mut text = format!(
        "[policies]\n{}click_wait = \"{wait}\"\nlookback = \"{lookback}\"\nsettlement_window = \"{settlement}\"\n\
         return_window = \"{returns}\"\nmin_click_to_order = \"{}\"\n{}\n[[campaigns]]\nid = \"c1\"\n\
         merchant = \"m1\"\nlookback = \"{}\"\nmin_click_to_order = \"{}\"\n",
        policy(&mut payouts, epoch_ms),
        soon.pick(&["0s", "0s", "1s", "2m"]),
        parties(&mut payouts, &mut owners),
        random.pick(&["30m", "12h", "7d"]),
        soon.pick(&["0s", "0s", "30s"]),
    );
    rules(&mut text, &mut random, version, epoch_ms);
    coupons(&mut text, &mut soon, epoch_ms);
    for Elsewhere { click_id, link, clicked_at } in clicks {
        let _ = write!(text, "\n[[clicks]]\nid = \"{click_id}\"\nlink = \"{link}\"\nclicked_at = \"{clicked_at}\"\n");
    }
    Arc::new(Registry::parse(&text).unwrap_or_else(|faults| panic!("the simulated registry parses: {faults}\n{text}")))
}

/// When there are payouts, and from which amount on; now and then there are none. The first cut-off comes while things go
/// wrong and merchants are at work, or in the days after that, in which one order after the other is payable.
fn policy(random: &mut Random, epoch_ms: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday"];
    if random.happens(1_000) {
        return String::new();
    }
    let (zone, offset_minutes) = random.pick(&[("UTC", 0), ("Asia/Kathmandu", 345)]);
    let within = random.pick(&[4, 4, (WINDOW_HOURS_MAX + 8) * 60]);
    let after = i64::try_from(random.below(within)).expect("some days of minutes");
    let minutes = epoch_ms / 60_000 + after + offset_minutes;
    // The first day of 1970 was a Thursday.
    let weekday = WEEKDAYS[usize::try_from((minutes / 1_440) % 7).expect("a day of the week")];
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    let minimum = random.pick(&["", "", "payout_minimum = \"NPR 20.00, JPY 400\"\n"]);
    format!("payout_cut_off = \"{weekday} {hour:02}:{minute:02} {zone}\"\n{minimum}")
}

/// [`PARTIES`], now and then with one of the affiliates on hold, and with shops that are an affiliate's own.
fn parties(payouts: &mut Random, owners: &mut Random) -> String {
    let hold = if payouts.happens(1_500) { "on_hold = true\n" } else { "" };
    let mut parties = PARTIES.to_owned();
    for (name, hold, own) in [("A", "", "m2"), ("B", hold, owners.pick(&["m1", "m2, m1"]))] {
        let own = if owners.happens(1_500) { format!("own_merchants = \"{own}\"\n") } else { String::new() };
        let name = format!("name = \"{name}\"\n");
        parties = parties.replacen(&name, &format!("{name}{hold}{own}"), 1);
    }
    parties
}

fn rules(text: &mut String, random: &mut Random, version: u64, epoch_ms: i64) {
    let percent =
        |random: &mut Random| format!("percent = \"{}.{}\"", random.below(40), random.pick(&["0", "25", "5", "3333"]));
    let mut rule = |name: &str, scope: &str, terms: &str| {
        let _ = write!(text, "\n[[rules]]\nid = \"{name}-{version}\"\n{scope}\n{terms}\n");
    };
    let of_product = percent(random);
    rule("red", "level = \"product\"\nmerchant = \"m1\"\nproduct = \"RED\"", &of_product);
    if random.happens(7_000) {
        let terms = format!("fixed = \"{}\"\ncurrency = \"JPY\"", random.below(500));
        rule("blue", "level = \"product\"\nmerchant = \"m2\"\nproduct = \"BLUE\"", &terms);
    }
    if random.happens(7_000) {
        let terms = format!("{}\nminimum = \"5.00\"\ncap = \"40.00\"\ncurrency = \"NPR\"", percent(random));
        rule("campaign", "level = \"campaign\"\ncampaign = \"c1\"", &terms);
    }
    if random.happens(5_000) {
        let from = Timestamp(epoch_ms + i64::try_from(random.below(600_000)).expect("ten minutes"));
        let terms = format!("{}\neffective_from = \"{from}\"", percent(random));
        rule("merchant", "level = \"merchant\"\nmerchant = \"m1\"", &terms);
    }
    if random.happens(8_000) {
        let of_all = percent(random);
        rule("platform", "level = \"platform\"", &of_all);
    }
}

/// A code that passes from one affiliate to another, one that is over, and the first one of another merchant too.
fn coupons(text: &mut String, random: &mut Random, epoch_ms: i64) {
    let passes = Timestamp(epoch_ms + i64::try_from(random.below(1_200_000)).expect("twenty minutes") - 600_000);
    let (from, until) = (format!("effective_from = \"{passes}\""), format!("effective_until = \"{passes}\""));
    let over = format!("effective_until = \"{}\"", Timestamp(epoch_ms - 3_600_000));
    let code = random.pick(&["TEN", "ten"]);
    for (id, code, of, hours) in [
        ("k-until", code, "campaign = \"c1\"\naffiliate = \"a1\"", &until),
        ("k-from", "Ten", "campaign = \"c2\"\naffiliate = \"a2\"", &from),
        ("k-over", "Old", "campaign = \"c1\"\naffiliate = \"a2\"", &over),
        ("k-other", "TEN", "campaign = \"c4\"\naffiliate = \"a1\"", &String::new()),
    ] {
        // Now and then it is not in the registry.
        if random.happens(8_000) {
            let _ = write!(text, "\n[[coupons]]\nid = \"{id}\"\ncode = \"{code}\"\n{of}\n{hours}\n");
        }
    }
}
