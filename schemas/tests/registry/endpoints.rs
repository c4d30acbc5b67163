//! Endpoints of webhooks: what they may be, and their secrets on the topic.

use schemas::Timestamp;
use schemas::records::RegistryEntryChanged;
use schemas::registry::{Difference, Entries, Fold, Keep, MasterKeys, NONCE_BYTES, Registry, SEALED_KEY, Secrets};

use crate::faults::{BASE, BASE_LINES};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

fn endpoint(id: &str, lines: &str) -> String {
    format!("[[endpoints]]\nid = \"{id}\"\nmerchant = \"m\"\nurl = \"https://shop.example/hooks\"\n{lines}\n")
}

fn registry(tables: &str) -> Registry {
    Registry::parse(&format!("{BASE}{tables}")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Lines are counted from the first of `tables`.
#[track_caller]
fn check(tables: &str, expected: &[&str]) {
    let faults = Registry::parse(&format!("{BASE}{tables}")).expect_err(tables);
    let found: Vec<String> =
        faults.as_slice().iter().map(|fault| format!("{}: {}", fault.line - BASE_LINES, fault.message)).collect();
    assert_eq!(found, expected, "{tables}");
}

#[test]
fn what_an_endpoint_says() {
    let registry = registry(
        &[
            endpoint("one", &format!("secret = \"{SECRET}\"")),
            endpoint(
                "two",
                &format!(
                    "secret = \"{SECRET}\"\nprevious_secret = \"{PREVIOUS}\"\nlivemode = false\ndisabled = true\n\
                 enabled_at = \"2026-11-29T14:00:00Z\""
                ),
            ),
        ]
        .concat(),
    );
    let secrets = |id: &str| -> Vec<String> {
        let endpoint = registry.endpoints().get(id).expect(id);
        endpoint.secrets.iter().map(|secret| secret.expose().to_owned()).collect()
    };
    assert_eq!(
        (secrets("one"), secrets("two")),
        (vec![SECRET.to_owned()], vec![SECRET.to_owned(), PREVIOUS.to_owned()])
    );
    let [one, two] = ["one", "two"].map(|id| registry.endpoints().get(id).expect(id));
    assert_eq!((&*one.merchant_id, one.livemode, one.disabled, one.enabled_at), ("m", true, false, None));
    assert_eq!((&*one.url, two.livemode, two.disabled), ("https://shop.example/hooks", false, true));
    assert_eq!(two.enabled_at, Timestamp::parse("2026-11-29T14:00:00Z").ok());
    let of = |livemode| registry.endpoints().of("m", livemode).map(|it| &*it.id).collect::<Vec<_>>();
    assert_eq!((of(true), of(false)), (vec!["one"], vec!["two"]));
    assert_eq!(registry.endpoints().of("n", true).count(), 0);
    assert!(!format!("{registry:?}").contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
}

#[test]
fn every_fault_of_an_endpoint_is_told_without_its_secret() {
    let secret = format!("secret = \"{SECRET}\"");
    check(
        "[[endpoints]]",
        &[
            "1: endpoints.id must be given",
            "1: endpoints.merchant must be given",
            "1: endpoints.secret must be given",
            "1: endpoints.url must be given",
        ],
    );
    check(&endpoint("a b", &secret), &["2: endpoints.id (hidden) must be 1 to 64 letters, digits, '_' or '-'"]);
    let other = endpoint("x", &secret).replace("\"m\"", "\"n\"");
    check(&other, &["3: endpoints.merchant \"n\" must be the id of one of the [[merchants]]"]);
    let other = endpoint("x", &secret).replace("https://", "ftp://");
    check(
        &other,
        &["4: endpoints.url \"ftp://shop.example/hooks\" must be an absolute URL that begins with http:// or https://"],
    );
    let form = "must be whsec_ and the Base64 of 24 to 64 bytes, such as `openssl rand -base64 32` prints";
    for wrong in ["sk_live_0123456789abcdef", "whsec_", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY", "whsec_not Base64"] {
        check(&endpoint("x", &format!("secret = \"{wrong}\"")), &[&format!("5: endpoints.secret (hidden) {form}")]);
        let both = format!("{secret}\nprevious_secret = \"{wrong}\"");
        check(&endpoint("x", &both), &[&format!("6: endpoints.previous_secret (hidden) {form}")]);
    }
    check(
        &endpoint("x", &format!("{secret}\nenabled_at = \"now\"")),
        &[
            "6: endpoints.enabled_at \"now\" must be an ISO 8601 date and time with an offset, such as 2026-06-14T09:30:00Z or \
         2026-06-14T15:15:00+05:45",
        ],
    );
    let encrypted = "aes-256-gcm:0123456789abcdef:00";
    check(
        &endpoint("x", &format!("encrypted_secret = \"{encrypted}\"")),
        &[
            "5: endpoints.encrypted_secret must be left out: only what is applied has its secrets encrypted, and a file has them \
         as they are",
        ],
    );
    // What is put into another field by mistake is a secret all the same.
    let found = Registry::parse(&format!("{BASE}{}", endpoint("x", &format!("{secret}\nenabled_at = \"{SECRET}\""))));
    assert!(!found.expect_err("no instant").to_string().contains(SECRET));
}

#[test]
fn a_merchant_has_eight_endpoints_in_a_mode() {
    let tables = |count: usize| -> String {
        (0..count).map(|number| endpoint(&format!("e{number}"), &format!("secret = \"{SECRET}\""))).collect()
    };
    let test = endpoint("test", &format!("livemode = false\nsecret = \"{SECRET}\""));
    assert_eq!(registry(&(tables(8) + &test)).endpoints().iter().count(), 9);
    let line = 8 * endpoint("", "secret").lines().count() + 3;
    check(&tables(9), &[&format!("{line}: endpoints.merchant must not have more than 8 endpoints in one mode")]);
}

#[test]
fn secrets_are_bound_to_their_endpoint_and_field_and_left_by_who_needs_none() {
    let keys = MasterKeys::parse(&"a".repeat(64)).expect("a master key");
    let text = format!(
        "{BASE}{}{}",
        endpoint("one", &format!("secret = \"{SECRET}\"\nprevious_secret = \"{PREVIOUS}\"")),
        endpoint("two", &format!("secret = \"{SECRET}\""))
    );
    let mut nonce = 0;
    let nonces = || {
        nonce += 1;
        [nonce; NONCE_BYTES]
    };
    let plain = Entries::parse(&text).expect("entries");
    assert_eq!(plain.plain_secrets(), 4, "one of a key, three of endpoints");
    let encrypted = plain.encrypted(&keys, &Entries::default(), Keep::Readable, nonces).expect("encrypted");
    assert_eq!((nonce, encrypted.plain_secrets()), (4, 0));
    let written: String = encrypted.iter().map(|(_, definition)| definition.expose()).collect();
    assert!(!written.contains("whsec_"), "{written}");
    assert_eq!(encrypted.decrypted(&keys).expect("decrypted"), plain);
    let again = plain.encrypted(&keys, &encrypted, Keep::Readable, || [99; NONCE_BYTES]).expect("encrypted");
    assert_eq!(again, encrypted, "what is the same stays as it stands");

    let fold_of = |change: &dyn Fn(&str) -> String| {
        let mut fold = Fold::default();
        let seal = encrypted.seal(1, Timestamp(0));
        for (key, value) in Difference::between(&Entries::default(), &encrypted).records(&seal) {
            let value = value.expect("nothing is removed");
            let value = match schemas::decode::<RegistryEntryChanged>(&value) {
                Ok(entry) if entry.section == "endpoints" => {
                    let definition = change(entry.definition.expose());
                    let changed = serde_json::json!({
                        "section": entry.section, "id": entry.id, "definition": definition
                    });
                    schemas::encode(&serde_json::from_value::<RegistryEntryChanged>(changed).expect("an entry"))
                }
                Ok(_) | Err(_) => value,
            };
            if key == SEALED_KEY {
                let seal = fold.entries().seal(1, Timestamp(0));
                let _ = fold.apply(&key, Some(&schemas::encode(&seal))).expect("it folds");
            } else {
                let _ = fold.apply(&key, Some(&value)).expect("it folds");
            }
        }
        fold
    };
    let fold = fold_of(&str::to_owned);
    let left = fold.registry(Secrets::Leave).expect("a registry");
    let endpoint = left.endpoints().get("one").expect("it is there all the same");
    assert_eq!((endpoint.secrets.len(), &*endpoint.url), (0, "https://shop.example/hooks"));
    let decrypted = fold.registry(Secrets::Decrypt(&keys)).expect("a registry");
    assert_eq!(decrypted.endpoints().get("one").map(|it| it.secrets.len()), Some(2));

    // The two secrets of an endpoint change places.
    let swapped = fold_of(&|text| {
        text.replace("encrypted_previous_secret", "X")
            .replace("encrypted_secret", "encrypted_previous_secret")
            .replace('X', "encrypted_secret")
    });
    let error = swapped.registry(Secrets::Decrypt(&keys)).expect_err("they are bound to their fields").to_string();
    assert!(error.contains("the secret of endpoints/one cannot be decrypted"), "{error}");
}
