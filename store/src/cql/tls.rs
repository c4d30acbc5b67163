//! TLS to the server, in a build that has it.
//!
//! Nothing is spoken to a node whose certificate is not of the authorities given, or does not name the address that the node is
//! reached at: the driver, which learns nodes by their addresses, has each certificate checked for the address that it
//! connects to. A host's name in a certificate is of no use for that.

use std::path::PathBuf;

use scylla::client::session_builder::SessionBuilder;

use super::error::CqlError;

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates, as PEM, of the authorities that the nodes' certificates must be of.
    pub ca_file: PathBuf,
    /// What is shown to nodes that ask for a certificate of ours.
    pub identity: Option<Identity>,
}

/// A certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate as PEM, and after it those that lead to its authority.
    pub cert_file: PathBuf,
    /// Its private key as PEM, without a passphrase.
    pub key_file: PathBuf,
}

impl Tls {
    /// Sees whether these files can be used.
    #[cfg(feature = "tls")]
    pub(crate) fn check(&self) -> Result<(), CqlError> {
        self.context().map(drop)
    }

    /// Says that nothing can be.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn check(&self) -> Result<(), CqlError> {
        Err(CqlError::Permanent(format!(
            "TLS authorities {}: this program was built without TLS; build it with the feature `tls`",
            self.ca_file.display()
        )))
    }

    /// Has a session speak TLS. The files are read for each session anew, so that they may be renewed.
    #[cfg(feature = "tls")]
    pub(crate) fn with(&self, builder: SessionBuilder) -> Result<SessionBuilder, CqlError> {
        Ok(builder.tls_context(Some(self.context()?)))
    }

    /// Refuses: nothing may go unencrypted that is not meant to.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn with(&self, builder: SessionBuilder) -> Result<SessionBuilder, CqlError> {
        self.check().map(|()| builder)
    }

    #[cfg(feature = "tls")]
    fn context(&self) -> Result<scylla::client::session::OpenSsl010Config, CqlError> {
        use openssl::ssl::{SslConnector, SslMethod};

        let cannot = |error| CqlError::Permanent(format!("TLS: {error}"));
        let mut connector = SslConnector::builder(SslMethod::tls()).map_err(cannot)?;
        connector.set_cert_store(authorities(&self.ca_file)?);
        if let Some(identity) = &self.identity {
            identity.show(&mut connector)?;
        }
        Ok(scylla::client::session::OpenSsl010Config::new(connector))
    }
}

/// These authorities and no others: the machine's own say nothing about who may hold orders.
#[cfg(feature = "tls")]
fn authorities(file: &std::path::Path) -> Result<openssl::x509::store::X509Store, CqlError> {
    use openssl::x509::X509;
    use openssl::x509::store::X509StoreBuilder;

    let wrong = |error: &dyn std::fmt::Display| {
        CqlError::Permanent(format!("TLS authorities {}: {error}; give a file of certificates as PEM", file.display()))
    };
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    let authorities = X509::stack_from_pem(&pem).map_err(|error| wrong(&error))?;
    if authorities.is_empty() {
        return Err(wrong(&"there is no certificate in it"));
    }
    let mut store = X509StoreBuilder::new().map_err(|error| wrong(&error))?;
    authorities.into_iter().try_for_each(|authority| store.add_cert(authority)).map_err(|error| wrong(&error))?;
    Ok(store.build())
}

#[cfg(feature = "tls")]
impl Identity {
    fn show(&self, connector: &mut openssl::ssl::SslConnectorBuilder) -> Result<(), CqlError> {
        let Identity { cert_file, key_file } = self;
        let wrong = |what: &str, file: &PathBuf, error: &dyn std::fmt::Display, remedy: &str| {
            CqlError::Permanent(format!("TLS {what} {}: {error}; {remedy}", file.display()))
        };
        connector.set_certificate_chain_file(cert_file).map_err(|error| {
            wrong("certificate", cert_file, &error, "give our certificate as PEM, and after it those of its issuers")
        })?;
        let wrong_key = |error: &dyn std::fmt::Display| {
            wrong("key", key_file, error, "give the private key of our certificate as PEM, without a passphrase")
        };
        let pem = std::fs::read(key_file).map_err(|error| wrong_key(&error))?;
        // With a passphrase to try, OpenSSL does not ask the terminal for one.
        let key = openssl::pkey::PKey::private_key_from_pem_passphrase(&pem, b"");
        let key = key.map_err(|_| wrong_key(&"there is no key in it that can be read"))?;
        connector.set_private_key(&key).map_err(|error| wrong_key(&error))
    }
}
