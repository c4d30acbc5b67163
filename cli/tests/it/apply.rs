//! `conversions apply` against a real broker.

use std::fs;
use std::process::Output;

use schemas::registry::{KeyStatus, SEALED_KEY};
use schemas::topics::{CLICKS, REGISTRY};

use crate::installation::Installation;
use crate::support::{command, run, text};

pub(crate) const KEY: &str = "live_pk_everest_0001";
pub(crate) const SECRET: &str = "sk_live_5ca1ab1e5ca1ab1e5ca1ab1e";
/// A shop whose one key is [`KEY`].
pub(crate) const SHOP: &str = r#"
[[merchants]]
id = "everest"
name = "Everest Gear"

[[keys]]
id = "live_pk_everest_0001"
merchant = "everest"
secret = "sk_live_5ca1ab1e5ca1ab1e5ca1ab1e"

[[affiliates]]
id = "trek-blog"
name = "The Trek Blog"

[[campaigns]]
id = "spring"
merchant = "everest"

[[links]]
id = "spring-trek"
campaign = "spring"
affiliate = "trek-blog"
destination = "https://everest.example/spring"

[[rules]]
id = "all"
level = "platform"
percent = "5"

[[clicks]]
id = "clk_everest_1"
link = "spring-trek"
clicked_at = "2026-06-13T09:30:00Z"
"#;

/// Writes a registry file and applies it.
pub(crate) fn apply(installation: &Installation, registry: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("registry.toml");
    fs::write(&path, registry).expect("a file");
    let output = installation.run(&[&["apply", "--registry", path.to_str().expect("UTF-8")], more].concat());
    for printed in [&output.stdout, &output.stderr] {
        assert!(!text(printed).contains("5ca1ab1e"), "a secret is printed");
    }
    output
}

#[track_caller]
pub(crate) fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_the_file_says_is_the_registry() {
    let installation = Installation::new();
    let preview = printed(&apply(&installation, SHOP, &["--dry-run"]));
    assert!(preview.contains("+ merchants/everest\n") && preview.contains("nothing was written"), "{preview}");
    assert!(installation.read(&REGISTRY).is_empty() && installation.read(&CLICKS).is_empty());

    let first = printed(&apply(&installation, SHOP, &[]));
    assert!(
        first.contains("1 merchant added") && first.contains("version 1 (entries: 7, clicks recorded: 1)"),
        "{first}"
    );
    let (version, registry) = installation.registry();
    let registry = registry.expect("a registry");
    assert!(version == 1 && registry.key(KEY).is_some(), "{registry:?}");
    let clicks = installation.read(&CLICKS);
    assert_eq!(clicks.iter().map(|click| &*click.key).collect::<Vec<_>>(), [b"clk_everest_1"]);

    let records = installation.read(&REGISTRY).len();
    let same = format!("# the same in other words\n{}", SHOP.replace("id = \"all\"", "id    =   \"all\""));
    for more in [&[][..], &["--dry-run"]] {
        let again = printed(&apply(&installation, &same, more));
        assert!(again.contains("nothing changes: version 1 of the registry stands"), "{again}");
    }
    assert_eq!((installation.read(&REGISTRY).len(), installation.read(&CLICKS).len()), (records, 1));

    let revoked = SHOP.replace("5ca1ab1e\"\n", "5ca1ab1e\"\nstatus = \"revoked\"\n");
    let preview = printed(&apply(&installation, &revoked, &["--dry-run"]));
    assert!(preview.contains("~ keys/live_pk_everest_0001\n1 key changed: would be version 2"), "{preview}");
    let second = printed(&apply(&installation, &revoked, &[]));
    assert!(second.contains("1 key changed: version 2"), "{second}");
    let (_, registry) = installation.registry();
    let status = registry.and_then(|registry| registry.key(KEY).map(|key| key.status));
    assert_eq!(status, Some(KeyStatus::Revoked));

    let without = SHOP[..SHOP.find("[[clicks]]").expect("it has clicks")].to_owned();
    let third = printed(&apply(&installation, &without, &[]));
    assert!(third.contains("1 key changed, 1 click removed: version 3 (entries: 6, clicks recorded: 0)"), "{third}");
    let (version, registry) = installation.registry();
    assert!(version == 3 && registry.expect("a registry").clicks().is_empty());
}

#[test]
fn of_two_at_once_none_is_mixed_into_the_other() {
    let installation = Installation::new();
    let folder = tempfile::tempdir().expect("a folder");
    let paths: Vec<String> = (0..4)
        .map(|number| {
            let path = folder.path().join(format!("{number}.toml"));
            let registry = SHOP.replace("everest", &format!("everest-{number}")).replace("spring", &number.to_string());
            fs::write(&path, registry).expect("a file");
            path.to_str().expect("UTF-8").to_owned()
        })
        .collect();
    let started: Vec<_> = paths
        .iter()
        .map(|path| installation.command(&["apply", "--registry", path]).spawn().expect("the binary starts"))
        .collect();
    let mut applied = 0;
    for child in started {
        let output = child.wait_with_output().expect("the binary ends");
        let told = text(&output.stderr);
        match output.status.success() {
            true => applied += 1,
            false => assert!(told.contains("another conversions apply took over: nothing of this one"), "{told}"),
        }
    }
    let (version, registry) = installation.registry();
    let registry = registry.expect("the last seal made a registry");
    assert_eq!(version, applied, "each that succeeded made a version");
    let merchants = (0..4).filter(|number| registry.merchant(&format!("everest-{number}")).is_some()).count();
    assert_eq!(merchants, 1, "{registry:?}");
}

#[test]
fn what_another_hand_wrote_is_put_right() {
    let installation = Installation::new();
    printed(&apply(&installation, SHOP, &[]));
    installation.write(&REGISTRY, b"merchants/stray", b"not avro");
    let again = printed(&apply(&installation, SHOP, &[]));
    assert!(again.contains("sealed again (its last change was not sealed): version 2"), "{again}");
    installation.write(&REGISTRY, b"merchants/everest", b"not avro");
    let again = printed(&apply(&installation, SHOP, &[]));
    assert!(again.contains("1 merchant added: version 3"), "{again}");
    installation.write(&REGISTRY, SEALED_KEY, b"not avro");
    printed(&apply(&installation, SHOP, &[]));
    let (_, registry) = installation.registry();
    assert!(registry.expect("a registry").merchant("everest").is_some());
    assert!(printed(&apply(&installation, SHOP, &[])).contains("nothing changes"));
}

#[test]
fn nothing_is_written_of_what_is_wrong() {
    let nowhere = Installation::without_topics();
    let bad =
        SHOP.replace("merchant = \"everest\"", "merchant = \"everst\"").replace("percent = \"5\"", "percent = \"x\"");
    for (registry, expected) in [
        (&*bad, &["line 8: ", "line 17: ", "line 28: "][..]),
        ("", &["the registry has no entry"]),
        (SHOP, &["topic registry is missing: make it with conversions topics --create"]),
    ] {
        let output = apply(&nowhere, registry, &[]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        expected.iter().for_each(|expected| assert!(told.contains(expected), "{expected}: {told}"));
    }
    let neither = run(&mut command(&["apply"]), "");
    assert_eq!(neither.status.code(), Some(2), "{}", text(&neither.stderr));
}
