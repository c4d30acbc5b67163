//! Where requests go.

use reqwest::Url;

use crate::error::CliError;

/// The server's base address.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    base: Url,
}

impl Target {
    /// Reads `--to`: an http or https address, which may have a path in front of `/api/v1`.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn parse(text: &str) -> Result<Target, CliError> {
        let usage = |what: &str| CliError::Usage(format!("--to {what}: give it as http://127.0.0.1:8080"));
        let base = Url::parse(text).map_err(|error| usage(&format!("is no address ({error})")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(usage("must begin with http:// or https://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(usage("must not hold a user or password"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(usage("must not hold ? or #"));
        }
        Ok(Target { base })
    }

    /// The address of a path under the base; each segment is percent-encoded.
    ///
    /// # Errors
    /// A segment is `.` or `..`, which no URL can carry, however it is encoded.
    pub(crate) fn at(&self, segments: &[&str]) -> Result<Url, CliError> {
        if let Some(segment) = segments.iter().find(|segment| matches!(**segment, "." | ".." | "")) {
            return Err(CliError::Usage(format!(
                "an address cannot carry the id {segment:?}: use the conversion's own id (cnv_…)"
            )));
        }
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Ok(url)
    }

    /// Whether the server is this machine, which no proxy can reach and nobody listens in on.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Whether bodies travel in the clear.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// The address as given, for messages.
    pub(crate) fn name(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded() {
        let target = Target::parse("http://127.0.0.1:8080").expect("an address");
        let url = target.at(&["api", "v1", "conversions", "a/b c?d#e%f\\g{ü}"]).expect("can be carried");
        assert_eq!(url.as_str(), "http://127.0.0.1:8080/api/v1/conversions/a%2Fb%20c%3Fd%23e%25f%5Cg%7B%C3%BC%7D");
        assert!(target.at(&["api", ".."]).is_err());
    }

    #[test]
    fn a_base_may_have_a_path() {
        for base in ["https://shop.example/affiliates", "https://shop.example/affiliates/"] {
            let url = Target::parse(base).expect("an address").at(&["api", "v1"]).expect("can be carried");
            assert_eq!(url.as_str(), "https://shop.example/affiliates/api/v1");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for bad in ["", "127.0.0.1:8080", "ftp://x", "http://u:p@x", "http://x/?a", "http://x/#a", "localhost:8080"] {
            assert!(matches!(Target::parse(bad), Err(CliError::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn loopback() {
        for (text, loopback) in [
            ("http://localhost:1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8080", true),
            ("https://shop.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Target::parse(text).expect("an address").is_loopback(), loopback, "{text}");
        }
    }
}
