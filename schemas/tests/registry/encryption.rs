//! Secrets on the topic: encrypted when they are written, decrypted by who has the master key, and encrypted anew.

use std::sync::Arc;

use schemas::Timestamp;
use schemas::registry::{
    Difference, EncryptionError, Entries, Fold, FoldError, Keep, MasterKeys, NONCE_BYTES, Registry, Secrets,
};

use super::entries::{entries, whole};
use super::faults::BASE;
use super::fold::Record;

const SECRET: &str = "0123456789abcdef";
/// [`BASE`] with a second key.
const SECOND: &str = "[[keys]]\nid = \"test_pk_second\"\nmerchant = \"m\"\nsecret = \"sk_test_fedcba9876543210\"\n";

fn master_keys(digits: &[char]) -> MasterKeys {
    let words: Vec<String> = digits.iter().map(|digit| digit.to_string().repeat(64)).collect();
    MasterKeys::parse(&words.join("\n")).expect("master keys")
}

fn id(digit: char) -> String {
    master_keys(&[digit]).ids().next().expect("one").to_owned()
}

/// A topic that is written as `conversions apply` writes it.
#[derive(Default)]
struct Topic {
    records: Vec<Record>,
    nonces: u8,
}

impl Topic {
    fn fold(&self) -> Fold {
        let mut fold = Fold::default();
        for (key, value) in &self.records {
            let _ = fold.apply(key, value.as_deref()).expect("it folds");
        }
        fold
    }

    /// Applies `wanted`, or what stands; the number of records that were written.
    fn apply(&mut self, wanted: Option<&str>, keys: &MasterKeys, keep: Keep) -> Result<usize, EncryptionError> {
        let fold = self.fold();
        let standing = fold.entries();
        let wanted = match wanted {
            Some(text) => entries(text),
            None => standing.decrypted(keys)?,
        };
        let nonces = || {
            self.nonces += 1;
            [self.nonces; NONCE_BYTES]
        };
        let wanted = wanted.encrypted(keys, standing, keep, nonces)?;
        let difference = Difference::between(standing, &wanted);
        let seal = wanted.seal(1, Timestamp(0));
        self.records.extend(difference.records(&seal));
        Ok(difference.iter().count())
    }

    fn registry(&self, digits: &[char]) -> Result<Arc<Registry>, FoldError> {
        self.fold().registry(Secrets::Decrypt(&master_keys(digits)))
    }

    /// Whether any record has the bytes of a secret in it.
    fn holds(&self, secret: &str) -> bool {
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        self.records.iter().any(|(key, value)| has(key) || value.as_deref().is_some_and(has))
    }
}

fn of_file(text: &str) -> String {
    whole(&Registry::parse(text).expect("valid"))
}

fn of_topic(topic: &Topic, digits: &[char]) -> String {
    whole(&topic.registry(digits).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn what_is_written_has_no_secret_and_is_read_with_the_master_key() {
    let text = format!("{BASE}{SECOND}");
    let mut topic = Topic::default();
    assert_eq!(topic.apply(Some(&text), &master_keys(&['a']), Keep::Readable), Ok(8));
    assert!(topic.holds("live_pk_base") && topic.holds(&id('a')), "ids are to be read");
    assert!(!topic.holds(SECRET) && !topic.holds("fedcba9876543210") && !topic.holds("sk_live"));
    assert_eq!(of_topic(&topic, &['a']), of_file(&text));
    assert_eq!(of_topic(&topic, &['b', 'a']), of_file(&text), "any of the master keys");
    assert_eq!(topic.fold().entries().plain_secrets(), 0);
    let nonces: Vec<usize> = topic.records.iter().filter_map(|(_, value)| value.as_ref().map(Vec::len)).collect();
    assert_eq!((topic.nonces, nonces.len()), (2, 9), "a nonce of its own for each secret");
}

#[test]
fn who_lets_nobody_in_needs_no_master_key() {
    let mut topic = Topic::default();
    topic.apply(Some(BASE), &master_keys(&['a']), Keep::Readable).expect("written");
    let registry = topic.fold().registry(Secrets::Leave).expect("a registry");
    assert_eq!((registry.keys().count(), registry.clicks().len()), (0, 1));
    assert!(
        registry.merchant("m").is_some() && !registry.rules().of(&schemas::registry::RuleScope::Platform).is_empty()
    );
}

#[test]
fn the_same_again_changes_nothing_until_it_is_encrypted_anew() {
    let text = format!("{BASE}{SECOND}");
    let mut topic = Topic::default();
    let (old, both, new) = (master_keys(&['a']), master_keys(&['b', 'a']), master_keys(&['b']));
    topic.apply(Some(&text), &old, Keep::Readable).expect("written");
    assert_eq!(topic.apply(Some(&text), &old, Keep::Readable), Ok(0));
    assert_eq!(topic.apply(Some(&text), &both, Keep::Readable), Ok(0), "what is readable stays");
    // Another field of a key, or another secret, is a change, and is written under the first master key.
    let disabled = text.replace(SECOND, &format!("{SECOND}status = \"disabled\"\n"));
    assert_eq!(topic.apply(Some(&disabled), &both, Keep::Readable), Ok(1));
    assert!(topic.holds(&id('b')));
    assert_eq!(topic.apply(None, &both, Keep::Current), Ok(1), "the other one");
    assert_eq!(topic.apply(None, &both, Keep::Current), Ok(0));
    assert_eq!(of_topic(&topic, &['b']), of_file(&disabled));
    assert_eq!(topic.apply(Some(&disabled), &new, Keep::Readable), Ok(0));
    assert_eq!(topic.apply(Some(&disabled.replace(SECRET, "another_secret_1")), &new, Keep::Readable), Ok(1));
}

#[test]
fn without_its_master_key_nothing_is_read_and_nothing_overwritten() {
    let mut topic = Topic::default();
    topic.apply(Some(BASE), &master_keys(&['a']), Keep::Readable).expect("written");
    let expected = format!(
        "version 1 of the registry cannot be read: the secret of keys/live_pk_base is encrypted under master key {}, and {} is \
         given",
        id('a'),
        id('b')
    );
    assert_eq!(topic.registry(&['b']).expect_err("another master key").to_string(), expected);
    let without =
        topic.fold().registry(Secrets::Decrypt(&MasterKeys::default())).expect_err("no master key").to_string();
    assert!(without.ends_with("and none is given"), "{without}");
    let records = topic.records.len();
    let refused = topic.apply(Some(BASE), &master_keys(&['b']), Keep::Readable).expect_err("not readable");
    assert!(matches!(refused, EncryptionError::Unreadable(_)), "{refused}");
    assert!(topic.apply(None, &master_keys(&['b']), Keep::Current).is_err());
    for wanted in [Some(BASE), None] {
        let refused = topic.apply(wanted, &MasterKeys::default(), Keep::Readable);
        assert!(matches!(refused, Err(EncryptionError::NoMasterKey | EncryptionError::Unreadable(_))), "{refused:?}");
    }
    assert_eq!(topic.apply(Some(""), &MasterKeys::default(), Keep::Nothing), Err(EncryptionError::NoMasterKey));
    assert_eq!(topic.records.len(), records);
    // With the file, and without the master key that is lost.
    assert_eq!(topic.apply(Some(BASE), &master_keys(&['b']), Keep::Nothing), Ok(1));
    assert_eq!(of_topic(&topic, &['b']), of_file(BASE));
}

#[test]
fn what_a_version_before_wrote_is_read_and_encrypted_with_the_next_change() {
    let mut topic = Topic::default();
    let plain = entries(BASE);
    topic.records.extend(Difference::between(&Entries::default(), &plain).records(&plain.seal(1, Timestamp(0))));
    assert!(topic.holds(SECRET));
    assert_eq!(topic.fold().entries().plain_secrets(), 1);
    assert_eq!(of_topic(&topic, &['a']), of_file(BASE));
    assert_eq!(topic.apply(Some(BASE), &master_keys(&['a']), Keep::Readable), Ok(1));
    assert_eq!(topic.fold().entries().plain_secrets(), 0);
    assert_eq!(of_topic(&topic, &['a']), of_file(BASE));
}

#[test]
fn a_secret_that_was_moved_to_another_key_opens_nothing() {
    let mut topic = Topic::default();
    topic.apply(Some(BASE), &master_keys(&['a']), Keep::Readable).expect("written");
    let stands = topic.fold();
    let (_, definition) = stands.entries().iter().find(|(key, _)| key.id == "live_pk_base").expect("the key");
    let stolen = definition.expose().replace("live_pk_base", "live_pk_mine");
    let section = "keys".to_owned();
    let record = serde_json::json!({ "section": section, "id": "live_pk_mine", "definition": stolen });
    let record: schemas::records::RegistryEntryChanged = serde_json::from_value(record).expect("a record");
    topic.records.pop();
    topic.records.push((b"keys/live_pk_mine".to_vec(), Some(schemas::encode(&record))));
    let seal = topic.fold().entries().seal(1, Timestamp(0));
    topic.records.push((schemas::registry::SEALED_KEY.to_vec(), Some(schemas::encode(&seal))));
    let error = topic.registry(&['a']).expect_err("it is bound to its key").to_string();
    let expected = format!("the secret of keys/live_pk_mine cannot be decrypted with master key {}: ", id('a'));
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_file_has_its_secrets_as_they_are() {
    let text = format!(
        "{BASE}[[keys]]\nid = \"live_pk_x\"\nmerchant = \"m\"\nencrypted_secret = \"aes-256-gcm:{SECRET}:00\"\n"
    );
    let faults = Registry::parse(&text).expect_err("encrypted").to_string();
    assert!(faults.starts_with("line 30: keys.encrypted_secret must be left out: "), "{faults}");
    assert!(!faults.contains(SECRET), "{faults}");
    assert_eq!(Entries::parse(&text).expect_err("encrypted").to_string(), faults);
}
