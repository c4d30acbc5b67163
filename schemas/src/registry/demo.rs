//! The registry to try the product with.

use super::{Entries, Registry};

/// The file, which is also what to read to see what the demo knows.
const DEMO: &str = include_str!("demo.toml");

/// What the secrets of `examples/registry.toml` begin with, each after its `sk_live_` or `sk_test_`.
const PLACEHOLDER: &str = "replace_me";

impl Registry {
    /// Two merchants with clicks and coupons, and windows of seconds.
    #[must_use]
    pub fn demo() -> Registry {
        Registry::parse(DEMO).expect("the committed demo parses, as a test shows")
    }

    /// Whether anybody can sign for one of the merchants: a key's id or secret is one of the demo's, or its secret is a
    /// placeholder of the example file. Such a registry must serve no other machine.
    #[must_use]
    pub fn has_demo_key(&self) -> bool {
        let demo = Registry::demo();
        self.keys().any(|key| {
            let placeholder = key.secret.expose().get("sk_live_".len()..);
            let published = demo.keys().any(|known| known.id == key.id || known.secret == key.secret);
            published || placeholder.is_some_and(|rest| rest.starts_with(PLACEHOLDER))
        })
    }
}

impl Entries {
    /// The entries of [`Registry::demo`].
    #[must_use]
    pub fn demo() -> Entries {
        Entries::parse(DEMO).expect("the committed demo parses, as a test shows")
    }
}
