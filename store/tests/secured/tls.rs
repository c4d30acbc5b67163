//! A server that speaks TLS, and asks for the certificates of its clients.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use scylla::client::session_builder::SessionBuilder;
use store::cql::{Identity, Options, Tls};
use testkit::{Authority, Issued};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::{is_kept_out, is_let_in, options, runtime};

/// A node with this certificate, which takes those of this authority from its clients. What is not TLS it lets in too: by that
/// its start is waited for, and it is asked who came how.
fn start(node: &Issued, authority: &Authority) -> testkit::Cql {
    testkit::Cql::start_with(&format!(
        "client_encryption_options:\n  enabled: true\n  optional: true\n  require_client_auth: true\n  \
         ssl_context_factory:\n    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n  \
         keystore: {}\n  truststore: {}\n",
        node.both_file.display(),
        authority.ca_file().display()
    ))
}

fn shows(issued: &Issued) -> Option<Identity> {
    Some(Identity { cert_file: issued.cert_file.clone(), key_file: issued.key_file.clone() })
}

/// How many connections of others than this one the server has: those that speak TLS, and those that do not.
async fn connections(server: &testkit::Cql) -> [usize; 2] {
    let session = SessionBuilder::new().known_node(server.contact_point()).build().await.expect("a session");
    let rows = session.query_unpaged("SELECT ssl_enabled FROM system_views.clients", ()).await.expect("read");
    let rows = rows.into_rows_result().expect("rows");
    let flags: Vec<bool> = rows.rows::<(bool,)>().expect("flags").map(|row| row.expect("a flag").0).collect();
    [true, false].map(|flag| flags.iter().filter(|it| **it == flag).count())
}

/// Somebody in the middle, at another address of this machine, who passes everything on.
async fn forward(to: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.2:0").await.expect("an address of this machine");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&to).await.expect("the server listens");
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    address
}

#[test]
fn who_shows_the_right_certificate_is_spoken_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let [authority, other] = ["authority", "other"].map(|name| Authority::new(folder.path(), name));
    let node = authority.issue("node", "IP:127.0.0.1");
    let edge = authority.issue("edge", "DNS:edge");
    let server = start(&node, &authority);
    runtime().block_on(async {
        let options = options(&server);
        let with = |ca_file, identity| Options { tls: Some(Tls { ca_file, identity }), ..options.clone() };
        let right = with(authority.ca_file(), shows(&edge));
        let _cql = is_let_in(&right).await;
        let [over_tls, in_the_clear] = connections(&server).await;
        assert!(over_tls >= 2, "a session has a connection for control and one for each node: {over_tls}");
        assert!(in_the_clear > 0, "that of who asks");

        let verified = ["certificate verify failed"];
        // Another authority's, and one of another address.
        is_kept_out(&with(other.ca_file(), shows(&edge)), &verified).await;
        let forwarder = forward(server.contact_point().to_owned()).await;
        is_kept_out(&Options { contact_points: vec![forwarder.to_string()], ..right.clone() }, &verified).await;
        // The node hangs up after the handshake, and the driver does not always say why.
        for identity in [None, shows(&other.issue("edge", "DNS:edge"))] {
            is_kept_out(&with(authority.ca_file(), identity), &["alert", "Connection broken"]).await;
        }
    });
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let [ours, other] = ["ours", "other"].map(|name| authority.issue(name, "DNS:edge"));
    let [missing, no_pem, encrypted] = ["missing", "no.pem", "encrypted.key"].map(|name| folder.path().join(name));
    fs::write(&no_pem, "no certificate").expect("a file");
    let mut encrypt = Command::new("openssl");
    encrypt.args(["pkcs8", "-topk8", "-passout", "pass:s3cret", "-in"]).arg(&ours.key_file).arg("-out").arg(&encrypted);
    assert!(encrypt.status().expect("openssl runs").success());

    let check = |ca_file: &Path, identity: Option<(&PathBuf, &PathBuf)>| {
        let identity =
            identity.map(|(cert_file, key_file)| Identity { cert_file: cert_file.clone(), key_file: key_file.clone() });
        let tls = Some(Tls { ca_file: ca_file.to_owned(), identity });
        Options { contact_points: vec!["127.0.0.1:9042".to_owned()], tls, ..Options::default() }.check()
    };
    let ca_file = authority.ca_file();
    assert_eq!(check(&ca_file, None), Ok(()));
    assert_eq!(check(&ca_file, Some((&ours.cert_file, &ours.key_file))), Ok(()));
    let key_remedy = "give the private key of our certificate as PEM, without a passphrase";
    for (refused, file, remedy) in [
        (check(&missing, None), &missing, "give a file of certificates as PEM"),
        (check(&no_pem, None), &no_pem, "give a file of certificates as PEM"),
        (check(&ca_file, Some((&missing, &ours.key_file))), &missing, "give our certificate as PEM"),
        (check(&ca_file, Some((&no_pem, &ours.key_file))), &no_pem, "give our certificate as PEM"),
        (check(&ca_file, Some((&ours.cert_file, &missing))), &missing, key_remedy),
        (check(&ca_file, Some((&ours.cert_file, &no_pem))), &no_pem, key_remedy),
        (check(&ca_file, Some((&ours.cert_file, &encrypted))), &encrypted, key_remedy),
        (check(&ca_file, Some((&ours.cert_file, &other.key_file))), &other.key_file, key_remedy),
    ] {
        let error = refused.expect_err("it cannot be used").to_string();
        assert!(error.contains(&file.display().to_string()) && error.contains(remedy), "{error}");
    }
}
