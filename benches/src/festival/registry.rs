//! The registry of a scenario: written with new secrets, and read back for its keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use schemas::Timestamp;
use serde::Deserialize;

use super::scenario::Scenario;
use super::terms::{CLICKS, Merchant, Money, PLATFORM_PPM, Pays, Product, RED_PPM};
use crate::sign::Signer;

/// The size that a registry may have.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const SECRET_BYTES: usize = 24;
/// How long a registry may be used after it is written: the longest look-back that there may be.
const LOOKBACK: &str = "365d";
const CLICKED_BEFORE_MS: i64 = 60_000;

/// A merchant's key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) signer: Signer,
}

/// Writes the registry of a scenario to a new file that nobody else reads.
pub(super) fn write(scenario: &Scenario, path: &Path, now: Timestamp) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write the registry to {}: {error}", path.display());
    let text = text(scenario, now, secret)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// The keys of a registry that was written for this scenario, by merchant.
pub(super) fn read(scenario: &Scenario, path: &Path) -> Result<Vec<Key>, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot read the registry {}: {error}", path.display()))?;
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read the registry {}: {error}", path.display()))?;
    keys(scenario, &text).map_err(|error| format!("the registry {}: {error}", path.display()))
}

/// What the file says it was written for.
fn title(scenario: &Scenario) -> String {
    let Scenario { merchants, registry, .. } = scenario;
    format!(
        "# Festival: {merchants} merchants, {} s of waiting for clicks, {} s of hold.",
        registry.click_wait_seconds, registry.hold_seconds
    )
}

fn keys(scenario: &Scenario, text: &str) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Read {
        keys: Vec<ReadKey>,
    }
    #[derive(Deserialize)]
    struct ReadKey {
        id: String,
        merchant: String,
        secret: String,
    }
    let expected = title(scenario);
    if !text.lines().any(|line| line == expected) {
        return Err(format!(
            "it is not that of this scenario, which has the line {expected:?}: write one with `festival registry`"
        ));
    }
    // The error of the parser would show the line, and with it a secret.
    let read: Read = toml::from_str(text).map_err(|_| "it is no TOML with keys".to_owned())?;
    let mut found: BTreeMap<String, ReadKey> = read.keys.into_iter().map(|key| (key.merchant.clone(), key)).collect();
    let key = |number| {
        let merchant = Merchant(number).id();
        let key = found.remove(&merchant).ok_or_else(|| format!("it has no key of the merchant {merchant}"))?;
        Ok(Key { id: key.id, signer: Signer::new(&key.secret) })
    };
    (0..scenario.merchants).map(key).collect()
}

/// Hexadecimal digits that nobody can guess.
pub(super) fn secret() -> Result<String, String> {
    let mut bytes = [0; SECRET_BYTES];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| format!("cannot make a secret: /dev/urandom: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn text(
    scenario: &Scenario,
    now: Timestamp,
    mut secret: impl FnMut() -> Result<String, String>,
) -> Result<String, String> {
    let mut text = title(scenario);
    let hold = scenario.registry.hold_seconds;
    let wait = scenario.registry.click_wait_seconds;
    let _ = write!(
        text,
        "\n# Its secrets are real: nobody else reads this file.\n\n[policies]\nclick_wait = \"{wait}s\"\n\
         lookback = \"{LOOKBACK}\"\nsettlement_window = \"{hold}s\"\nreturn_window = \"{hold}s\"\n\
         click_retention = \"366d\"\n\n[[rules]]\nid = \"festival-platform\"\nlevel = \"platform\"\npercent = \"{}\"\n\n\
         [[affiliates]]\nid = \"festival-affiliate\"\nname = \"Affiliate\"\n",
        percent(PLATFORM_PPM)
    );
    for number in 0..scenario.merchants {
        merchant(&mut text, Merchant(number), &secret()?, Timestamp(now.0 - CLICKED_BEFORE_MS));
    }
    Ok(text)
}

fn merchant(text: &mut String, merchant: Merchant, secret: &str, clicked_at: Timestamp) {
    let (id, number, currency) = (merchant.id(), merchant.0, merchant.money().code());
    let _ = write!(
        text,
        "\n[[merchants]]\nid = \"{id}\"\nname = \"Shop {number}\"\ncurrency = \"{currency}\"\n\n\
         [[keys]]\nid = \"live_pk_festival_{number}\"\nmerchant = \"{id}\"\nsecret = \"sk_live_{secret}\"\n\n\
         [[campaigns]]\nid = \"{id}-campaign\"\nmerchant = \"{id}\"\n\n\
         [[links]]\nid = \"{}\"\ncampaign = \"{id}-campaign\"\naffiliate = \"festival-affiliate\"\n\
         destination = \"https://shop-{number}.example/\"\n",
        merchant.link()
    );
    for click in 0..CLICKS {
        let _ = write!(
            text,
            "\n[[clicks]]\nid = \"{}\"\nlink = \"{}\"\nclicked_at = \"{clicked_at}\"\n",
            merchant.click(click),
            merchant.link()
        );
    }
    let mut rule = |name: &str, level: &str, of: &str, pays: Pays| {
        let pays = pays_text(pays, merchant.money());
        let _ = write!(text, "\n[[rules]]\nid = \"{id}-{name}\"\nlevel = \"{level}\"\n{of}\n{pays}\n");
    };
    let own = format!("merchant = \"{id}\"");
    let product = |product: Product| format!("{own}\nproduct = \"{}\"", product.id());
    rule("free", "product", &product(Product::Free), Pays::Ppm(0));
    if merchant.pays_more_for_red() {
        rule("red", "product", &product(Product::Red), Pays::Ppm(RED_PPM));
    }
    if let Some(pays) = merchant.campaign() {
        rule("weeks", "campaign", &format!("campaign = \"{id}-campaign\""), pays);
    }
    if let Some(ppm) = merchant.own_ppm() {
        rule("own", "merchant", &own, Pays::Ppm(ppm));
    }
}

fn pays_text(pays: Pays, money: Money) -> String {
    let decimal = |minor: i128| money.decimal(u64::try_from(minor).expect("no rule pays less than nothing"));
    let currency = money.code();
    match pays {
        Pays::Ppm(ppm) => format!("percent = \"{}\"", percent(ppm)),
        Pays::Between { ppm, minimum, cap } => format!(
            "percent = \"{}\"\nminimum = \"{}\"\ncap = \"{}\"\ncurrency = \"{currency}\"",
            percent(ppm),
            decimal(minimum),
            decimal(cap)
        ),
        Pays::Fixed(minor) => format!("fixed = \"{}\"\ncurrency = \"{currency}\"", decimal(minor)),
    }
}

/// Parts of a million as a percentage.
fn percent(ppm: i128) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_781_429_400_000);

    #[test]
    fn the_product_takes_it_and_the_keys_are_read_back() {
        let scenario = Scenario { merchants: 40, ..Scenario::example() };
        let mut number = 0;
        let numbered = || {
            number += 1;
            Ok(format!("{number:048}"))
        };
        let text = text(&scenario, NOW, numbered).expect("numbers are at hand");
        let parsed = schemas::registry::Registry::parse(&text).expect("the product takes it");
        assert_eq!(parsed.policies().click_wait.as_secs(), scenario.registry.click_wait_seconds);
        let keys = keys(&scenario, &text).expect("it has all keys");
        assert_eq!((keys.len(), keys[7].id.as_str()), (40, "live_pk_festival_7"));
        assert_eq!(keys[7].signer.sign(1, b"{}"), Signer::new(&format!("sk_live_{:048}", 8)).sign(1, b"{}"));
        assert!(!format!("{keys:?}").contains("sk_live"));
        let other = Scenario { merchants: 41, ..Scenario::example() };
        assert!(super::keys(&other, &text).expect_err("of another scenario").contains("festival registry"));
    }

    #[test]
    fn no_secret_in_an_error_and_none_twice() {
        let scenario = Scenario::example();
        let text = format!("{}\n[[keys]]\nid = \"a\"\nsecret = \"sk_live_hunter2\" x", title(&scenario));
        let error = keys(&scenario, &text).expect_err("no TOML");
        assert!(!error.contains("hunter2"), "{error}");
        assert_ne!(secret(), secret());
    }

    #[test]
    fn percentages() {
        assert_eq!([0, 40_000, 72_500, 1_000_000].map(percent), ["0", "4", "7.25", "100"]);
    }
}
