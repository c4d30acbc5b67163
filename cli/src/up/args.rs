//! The arguments of `conversions up`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::args::in_minutes;

/// Run everything in one process: the HTTP edge, the processors, the ledger and the read API.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("who").required(true).args(["registry", "demo"]))]
pub(crate) struct UpArgs {
    /// Where the log and what is derived from it are kept; made when it is not there.
    #[arg(long, value_name = "DIR", default_value = "./data", env = "CONVERSIONS_DATA")]
    pub(crate) data: PathBuf,
    /// Where to listen for HTTP.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", env = "CONVERSIONS_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Merchants, keys, affiliates, links, campaigns and rules, as one file.
    #[arg(long, value_name = "FILE", env = "CONVERSIONS_REGISTRY")]
    pub(crate) registry: Option<PathBuf>,
    /// Start with a built-in registry whose keys are public: only on a loopback address.
    #[arg(long, env = "CONVERSIONS_DEMO")]
    pub(crate) demo: bool,
    /// How long old segments of the log are kept once nothing needs them: a whole number with a unit, `90m`, `36h` or
    /// `30d`, from a minute to ten years.
    #[arg(long, value_name = "TIME", default_value = "365d", env = "CONVERSIONS_LOG_RETENTION", value_parser = parse_retention)]
    pub(crate) log_retention: Duration,
    /// Proxies in front that are trusted to append to `X-Forwarded-For` whom a request came from; with 0 the address of the
    /// connection is the sender's.
    #[arg(long, value_name = "N", default_value_t = 0, env = "CONVERSIONS_TRUSTED_PROXIES")]
    pub(crate) trusted_proxies: usize,
    /// A file that holds the token with which a service of yours records clicks, by `POST /internal/v1/clicks`, and nothing
    /// else; preferred to the variable `CONVERSIONS_SERVICE_TOKEN`. Without a token there is no such route.
    #[arg(long, value_name = "FILE", env = "CONVERSIONS_SERVICE_TOKEN_FILE")]
    pub(crate) service_token_file: Option<PathBuf>,
    /// A file with a line for each administrator: a name, a role (administrator, reviewer or auditor), the SHA-256 of a token
    /// and, if it ends, the instant. Without it there is no admin API.
    #[arg(long, value_name = "FILE", env = "CONVERSIONS_ADMIN_TOKENS_FILE")]
    pub(crate) admin_tokens_file: Option<PathBuf>,
    /// Send webhooks to addresses that are not the internet's too (loopback, private, link-local, a cloud's metadata), and to
    /// `http` URLs: for tests, and where all endpoints are in a network of your own.
    #[arg(long)]
    pub(crate) webhooks_allow_private_addresses: bool,
    /// Go on without what the read model lost: for when it says that neither it nor its snapshot reaches back to where
    /// the log begins.
    #[arg(long)]
    pub(crate) accept_loss: bool,
}

fn parse_retention(text: &str) -> Result<Duration, String> {
    const YEARS_10_MINUTES: u64 = 10 * 365 * 24 * 60;
    let unusable = || "must be a whole number with a unit, such as 90m, 36h or 30d, from 1m to 3650d".to_owned();
    let (number, minutes_each) = in_minutes::<u64>(text).ok_or_else(unusable)?;
    let minutes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(minutes_each));
    let minutes = minutes.filter(|minutes| (1..=YEARS_10_MINUTES).contains(minutes)).ok_or_else(unusable)?;
    Ok(Duration::from_secs(60 * minutes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Harness {
        #[command(flatten)]
        up: UpArgs,
    }

    #[test]
    fn one_registry_and_no_more() {
        assert!(Harness::try_parse_from(["up"]).is_err());
        assert!(Harness::try_parse_from(["up", "--demo", "--registry", "shop.toml"]).is_err());
        let demo = Harness::try_parse_from(["up", "--demo"]).expect("a registry is named").up;
        assert!(demo.demo && demo.registry.is_none());
        assert_eq!((demo.data, demo.listen), (PathBuf::from("./data"), SocketAddr::from(([127, 0, 0, 1], 8080))));
        let file = Harness::try_parse_from(["up", "--registry", "shop.toml"]).expect("a registry is named").up;
        assert_eq!(file.registry, Some(PathBuf::from("shop.toml")));
    }

    #[test]
    fn retention() {
        assert_eq!(parse_retention("90m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_retention("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for bad in ["", "d", "30", "0d", "-1d", "1.5h", "3651d", "30 d", "30é", "99999999999999999999d"] {
            assert!(parse_retention(bad).is_err(), "{bad}");
        }
    }
}
