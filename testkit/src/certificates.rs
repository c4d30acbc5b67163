//! Certificates for the time of a test, by the program `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::script;

/// An authority that nobody but a test trusts.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    name: String,
}

/// A certificate with its key, each a file of PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert_file: PathBuf,
    /// Its key, without a passphrase.
    pub key_file: PathBuf,
    /// Key and certificate in one, as servers in Java take them.
    pub both_file: PathBuf,
}

impl Authority {
    /// Makes one. Its files and those of what it issues are in this folder, under names that begin with its own.
    ///
    /// # Panics
    /// If `openssl` is missing or fails.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Authority {
        let authority = Authority { folder: folder.to_owned(), name: name.to_owned() };
        authority.request("ca", "basicConstraints = critical,CA:TRUE");
        authority.sign("ca", &[("-signkey", "ca.key")]);
        authority
    }

    /// The authority's own certificate, by which whoever trusts it knows what it issued.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// Issues a certificate, of a server or a client, for these names: such as `IP:127.0.0.1` or `DNS:localhost`, several with
    /// commas.
    ///
    /// # Panics
    /// As [`Authority::new`].
    #[must_use]
    pub fn issue(&self, name: &str, names: &str) -> Issued {
        self.request(name, &format!("basicConstraints = CA:FALSE\nsubjectAltName = {names}"));
        self.sign(name, &[("-CA", "ca.pem"), ("-CAkey", "ca.key")]);
        let [cert_file, key_file, both_file] = ["pem", "key", "both"].map(|kind| self.file(&format!("{name}.{kind}")));
        let both = [&key_file, &cert_file].map(|file| fs::read_to_string(file).expect("it was just written"));
        fs::write(&both_file, both.concat()).expect("the folder can be written to");
        Issued { cert_file, key_file, both_file }
    }

    /// Makes a key, and a request with what the certificate is to say.
    fn request(&self, name: &str, extensions: &str) {
        let [config, key, request] = ["cnf", "key", "csr"].map(|kind| format!("{name}.{kind}"));
        let text = format!(
            "[req]\ndistinguished_name = subject\nprompt = no\n[subject]\nCN = {}-{name}\n[extensions]\n{extensions}\n",
            self.name
        );
        fs::write(self.file(&config), text).expect("the folder can be written to");
        let new_key = ["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        self.openssl(&new_key, &[("-config", &config), ("-keyout", &key), ("-out", &request)]);
    }

    fn sign(&self, name: &str, by: &[(&str, &str)]) {
        let [config, request, cert] = ["cnf", "csr", "pem"].map(|kind| format!("{name}.{kind}"));
        // A serial number of its own: some clients take two certificates of one authority with one number for a forgery.
        let serial = format!("0x{}", name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
        let files = [by, &[("-extfile", config.as_str()), ("-in", &request), ("-out", &cert)]].concat();
        self.openssl(&["x509", "-req", "-days", "2", "-extensions", "extensions", "-set_serial", &serial], &files);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}-{name}", self.name))
    }

    fn openssl(&self, arguments: &[&str], files: &[(&str, &str)]) {
        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::null());
        for (option, name) in files {
            command.arg(option).arg(self.file(name));
        }
        script::output(&mut command).unwrap_or_else(|message| panic!("{message}"));
    }
}
