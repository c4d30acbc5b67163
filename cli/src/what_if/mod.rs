//! `conversions what-if`: what past orders would have paid under other rules.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use processors::what_if::{Answer, Range, WhatIf};
use schemas::Timestamp;
use schemas::registry::Registry;

use crate::error::CliError;
use crate::registry::file;
use crate::settings::ConfigArg;

mod embedded;
mod kafka;
mod print;

/// Work a past range of orders out under other rules, and print the difference to what was published, by merchant,
/// affiliate and currency. Writes nothing, and joins no group; what it reads may be in use.
///
/// The range is of the times at which orders were placed, `orderedAt`. Each order in it is derived anew, from its facts as
/// the processors keep them, under the proposed registry in the place of the terms that it has pinned: rules, lookback
/// windows and the least time from click to order; and compared with what was published of it last. Facts that are not
/// processed yet are not counted, and none is lost by retention. Amounts are rounded order by order, as commissions are,
/// and those of two currencies are never added. The commission of a reversed order stays and is not paid: it is in
/// `commission`, and not in `counting`.
///
/// Under the rules that an order was attributed under it does not differ. So under the registry as it stands, what
/// differs are orders that were attributed before it stood.
///
/// The code is 0 if there is an answer, whatever it is, and 2 if the log could not be read or the rules have faults. It
/// takes about 100 bytes of memory an order in the range, and none for others.
#[derive(Args, Debug)]
pub(crate) struct WhatIfArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Read the embedded log of `conversions up` in this folder, instead of a topic on Kafka. It may be running.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// A registry file with the proposed rules and policies, which has to be as good as one that is applied.
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// Orders that were placed at or after this instant, such as 2026-06-14T09:30:00Z.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    from: Timestamp,
    /// Orders that were placed before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    to: Timestamp,
    /// Orders of test mode, instead of live ones.
    #[arg(long)]
    test: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs to the end.
pub(crate) fn run(args: &WhatIfArgs) -> Result<ExitCode, CliError> {
    if args.from >= args.to {
        return Err(CliError::Usage(format!("--from {} must be before --to {}", args.from, args.to)));
    }
    let answer = answer(args).map_err(|error| match error {
        CliError::Failed(why) => CliError::Unread(why),
        other => other,
    })?;
    // Whoever reads it has gone: as with any pipe, that is how it ends.
    let _ = if args.json { print::json(args, &answer) } else { print::text(args, &answer) };
    Ok(ExitCode::SUCCESS)
}

fn answer(args: &WhatIfArgs) -> Result<Answer, CliError> {
    // The file first: its faults are told whether the log is there or not.
    let registry = Arc::new(file::read(&args.rules, Registry::parse)?);
    let range = Range { from: args.from, to: args.to, livemode: !args.test };
    let mut what_if = WhatIf::new(range, Arc::clone(&registry));
    match &args.data {
        Some(data) => embedded::read(data, registry, &mut what_if)?,
        None => kafka::read(&args.config, &mut what_if)?,
    }
    Ok(what_if.answer())
}

fn parse_instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|error| error.to_string())
}
