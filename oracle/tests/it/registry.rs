//! Two registries that differ in every window and rate.

/// Whom both have in common, and the rules that neither changes.
macro_rules! registry {
    ($windows:literal, $hold:literal, $rates:literal) => {
        concat!(
            "[policies]\n",
            $windows,
            r#"
[[merchants]]
id = "m1"
name = "One"

[[merchants]]
id = "m2"
name = "Two"
currency = "JPY"

[[affiliates]]
id = "a1"
name = "A"

[[affiliates]]
id = "a2"
name = "B"
"#,
            $hold,
            r#"
[[campaigns]]
id = "c1"
merchant = "m1"

[[campaigns]]
id = "c1-short"
merchant = "m1"
lookback = "2d"

[[campaigns]]
id = "c2"
merchant = "m2"

[[links]]
id = "l1"
campaign = "c1"
affiliate = "a1"
destination = "https://shop.example/"

[[links]]
id = "l1-short"
campaign = "c1-short"
affiliate = "a2"
destination = "https://shop.example/"

[[links]]
id = "l2"
campaign = "c2"
affiliate = "a1"
destination = "https://tea.example/"

[[coupons]]
id = "k-until"
code = "TEN"
campaign = "c1"
affiliate = "a1"
effective_until = "2026-06-15T09:30:00Z"

[[coupons]]
id = "k-from"
code = "Ten"
campaign = "c1-short"
affiliate = "a2"
effective_from = "2026-06-15T09:30:00Z"
effective_until = "2026-06-25T00:00:00Z"

[[coupons]]
id = "k-other"
code = "TEA"
campaign = "c2"
affiliate = "a2"

[[clicks]]
id = "clk_old"
link = "l1"
clicked_at = "2026-06-10T00:00:00Z"

[[rules]]
id = "r-tea"
level = "merchant"
merchant = "m2"
fixed = "300"
currency = "JPY"

"#,
            $rates
        )
    };
}

pub(crate) const FIRST: &str = registry!(
    r#"click_wait = "60s"
min_click_to_order = "5s"
payout_cut_off = "friday 18:00 Asia/Kathmandu"
payout_minimum = "NPR 20.00"
"#,
    "own_merchants = \"m2\"\n",
    r#"[[rules]]
id = "r-red"
level = "product"
merchant = "m1"
product = "RED"
percent = "12.5"

[[rules]]
id = "r-blue"
level = "product"
merchant = "m1"
product = "BLUE"
percent = "10"
minimum = "5.00"
cap = "50.00"
currency = "NPR"

[[rules]]
id = "r-campaign"
level = "campaign"
campaign = "c1"
percent = "7.25"
effective_until = "2026-06-20T00:00:00Z"

[[rules]]
id = "r-campaign-later"
level = "campaign"
campaign = "c1"
percent = "3"
effective_from = "2026-06-16T00:00:00Z"

[[rules]]
id = "r-platform"
level = "platform"
percent = "5"
effective_until = "2026-06-30T00:00:00Z"
"#
);

pub(crate) const SECOND: &str = registry!(
    r#"click_wait = "600s"
lookback = "1d"
settlement_window = "10d"
return_window = "5d"
payout_cut_off = "sunday 02:30 Europe/Berlin"
"#,
    "on_hold = true\nown_merchants = \"m1\"\n",
    r#"[[rules]]
id = "r-red"
level = "product"
merchant = "m1"
product = "RED"
percent = "0"

[[rules]]
id = "r-campaign"
level = "campaign"
campaign = "c1"
percent = "33.3333"

[[rules]]
id = "r-merchant"
level = "merchant"
merchant = "m1"
fixed = "7.77"
currency = "NPR"
"#
);
