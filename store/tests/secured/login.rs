//! A server that wants a login.

use store::cql::{Credentials, Options, Secret};

use crate::{is_kept_out, is_let_in, options, runtime};

fn credentials(username: &str, password: &str) -> Option<Credentials> {
    Some(Credentials { username: username.to_owned(), password: Secret::new(password) })
}

#[test]
fn who_logs_in_is_let_in() {
    let server = testkit::Cql::start_with("authenticator:\n  class_name: PasswordAuthenticator\n");
    runtime().block_on(async {
        let options = options(&server);
        // The role that a new server has.
        let known = Options { credentials: credentials("cassandra", "cassandra"), ..options.clone() };
        let _cql = is_let_in(&known).await;
        for (credentials, expected) in [
            (credentials("cassandra", "hunter2"), "password are incorrect"),
            (credentials("nobody", "hunter2"), "password are incorrect"),
            (None, "uthentication"),
        ] {
            let told = is_kept_out(&Options { credentials, ..options.clone() }, &[expected]).await;
            assert!(!told.contains("hunter2"), "{told}");
        }
    });
}
