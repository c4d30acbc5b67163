//! TLS to the server, in a build that has it: nothing is spoken to a node whose certificate is not of the authorities given.
//! The names in certificates are not compared with anything: the driver learns nodes by their addresses.

use std::path::Path;

use scylla::client::session_builder::SessionBuilder;

use super::error::CqlError;

/// Sees whether these authorities can be used.
#[cfg(feature = "tls")]
pub(crate) fn check(ca_file: &Path) -> Result<(), CqlError> {
    context(ca_file).map(drop)
}

/// Says that nothing can be.
#[cfg(not(feature = "tls"))]
pub(crate) fn check(ca_file: &Path) -> Result<(), CqlError> {
    Err(CqlError::Permanent(format!(
        "TLS authorities {}: this program was built without TLS; build it with the feature `tls`",
        ca_file.display()
    )))
}

/// Has a session speak TLS.
#[cfg(feature = "tls")]
pub(crate) fn with(builder: SessionBuilder, ca_file: &Path) -> Result<SessionBuilder, CqlError> {
    Ok(builder.tls_context(Some(context(ca_file)?)))
}

/// Refuses: nothing may go unencrypted that is not meant to.
#[cfg(not(feature = "tls"))]
pub(crate) fn with(builder: SessionBuilder, ca_file: &Path) -> Result<SessionBuilder, CqlError> {
    check(ca_file).map(|()| builder)
}

#[cfg(feature = "tls")]
fn context(ca_file: &Path) -> Result<scylla::client::session::OpenSsl010Config, CqlError> {
    use openssl::ssl::{SslConnector, SslMethod};
    use openssl::x509::X509;
    use openssl::x509::store::X509StoreBuilder;

    let failed = |error: &dyn std::fmt::Display| {
        CqlError::Permanent(format!(
            "TLS authorities {}: {error}; give a file of certificates as PEM",
            ca_file.display()
        ))
    };
    let pem = std::fs::read(ca_file).map_err(|error| failed(&error))?;
    let authorities = X509::stack_from_pem(&pem).map_err(|error| failed(&error))?;
    if authorities.is_empty() {
        return Err(failed(&"there is no certificate in it"));
    }
    // These and no others: the machine's own say nothing about who may hold orders.
    let store = || {
        let mut store = X509StoreBuilder::new()?;
        authorities.into_iter().try_for_each(|authority| store.add_cert(authority))?;
        let mut connector = SslConnector::builder(SslMethod::tls())?;
        connector.set_cert_store(store.build());
        Ok::<_, openssl::error::ErrorStack>(connector)
    };
    let connector = store().map_err(|error| failed(&error))?;
    Ok(scylla::client::session::OpenSsl010Config::new(connector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_cannot_be_used_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (missing, no_pem) = (folder.path().join("missing"), folder.path().join("no.pem"));
        std::fs::write(&no_pem, "no certificate").expect("a file");
        for file in [missing, no_pem] {
            let error = check(&file).expect_err("it is of no use").to_string();
            assert!(error.contains(&file.display().to_string()), "{error}");
            let expected = if cfg!(feature = "tls") { "PEM" } else { "built without TLS" };
            assert!(error.contains(expected), "{error}");
        }
    }
}
