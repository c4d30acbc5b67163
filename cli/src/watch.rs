//! `conversions watch`: polls the read API for one order and prints what is new.

mod view;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use reqwest::StatusCode;

use crate::args::{Connect, parse_duration};
use crate::client::{Answer, Client, Request, monotonic};
use crate::error::CliError;
use crate::send::{error_of, remedy};
use view::{Printer, View};

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    connect: Connect,
    /// Stop at this state; may be given more than once. Without it: payable, paid, rejected or reversed.
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',')]
    until: Vec<State>,
    /// How long an order that is not known yet is waited for.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    wait: Duration,
    /// How often the order is asked for.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = parse_duration)]
    interval: Duration,
    /// The order's `externalOrderId` or its `conversionId`.
    order: String,
}

/// The states of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum State {
    /// Recorded.
    Received,
    /// Belongs to an affiliate.
    Attributed,
    /// Has a commission.
    CommissionCreated,
    /// Waits for its windows.
    Hold,
    /// May be paid out.
    Payable,
    /// Was paid out.
    Paid,
    /// Will have no commission.
    Rejected,
    /// Had one and lost it.
    Reversed,
}

impl State {
    /// The state of this name on the wire.
    fn of(name: &str) -> Option<State> {
        State::from_str(name, false).ok()
    }

    /// Whether a conversion ends here as far as a watcher is concerned.
    fn is_rest(self) -> bool {
        match self {
            State::Payable | State::Paid | State::Rejected | State::Reversed => true,
            State::Received | State::Attributed | State::CommissionCreated | State::Hold => false,
        }
    }

    /// Whether nothing follows by itself, so that no other state needs to be waited for.
    fn is_end(self) -> bool {
        match self {
            State::Paid | State::Rejected | State::Reversed => true,
            State::Received | State::Attributed | State::CommissionCreated | State::Hold | State::Payable => false,
        }
    }
}

/// Runs `watch`. The exit code is 0 when the order came to a state that was waited for.
///
/// # Errors
/// The order is not known, the server refuses to show it, or it ended in another state.
pub(crate) async fn run(args: WatchArgs) -> Result<ExitCode, CliError> {
    let client = Client::new(&args.connect, 1)?;
    let request = Request::get(client.url(&["api", "v1", "conversions", &args.order])?);
    let begun = monotonic();
    let mut was_told = false;
    let mut printer = Printer::default();
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = client.call(&request).await.map_err(|unanswered| {
            CliError::Failed(format!("{unanswered}: check that the server runs and that --to is its address"))
        })?;
        if answer.status == StatusCode::NOT_FOUND && !printer.has_begun() {
            not_known(&args, &client, begun.elapsed(), &mut was_told)?;
            continue;
        }
        let view = view_of(&answer)?;
        if printer.print(&view, &mut io::stdout().lock()).is_err() {
            // Whoever read the timeline has gone: as with any pipe, that is how it ends.
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(code) = ending(&view, &args)? {
            return Ok(code);
        }
    }
}

/// Says once that the order is waited for, and when waiting is over, that it is not known.
fn not_known(args: &WatchArgs, client: &Client, waited: Duration, was_told: &mut bool) -> Result<(), CliError> {
    let (order, key, server) = (&args.order, &args.connect.key, client.server());
    if waited >= args.wait {
        return Err(CliError::Failed(format!(
            "{server} knows no order {order:?} of key {key}: check the id, and that it was sent with a key of the same merchant and mode"
        )));
    }
    if !*was_told {
        let wait = args.wait.as_secs();
        let _ = writeln!(io::stderr().lock(), "order {order:?} is not known yet; asking for up to {wait} s (--wait)");
    }
    *was_told = true;
    Ok(())
}

fn view_of(answer: &Answer) -> Result<View, CliError> {
    if !answer.status.is_success() {
        let (code, message) = error_of(answer.status, &answer.body);
        let remedy = remedy(&code).map(|remedy| format!(": {remedy}")).unwrap_or_default();
        return Err(CliError::Failed(format!("{code}: {message}{remedy}")));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| CliError::Failed(format!("the server's answer is no conversion ({error}): check --to")))
}

/// The exit code when the order has come to where the user wants it, `None` when it has not yet.
fn ending(view: &View, args: &WatchArgs) -> Result<Option<ExitCode>, CliError> {
    let now = State::of(&view.state);
    if args.until.is_empty() {
        return Ok(now.filter(|state| state.is_rest()).map(|_| ExitCode::SUCCESS));
    }
    // A state may have come and gone between two polls; the timeline has it.
    let was_reached = view.states().filter_map(State::of).any(|state| args.until.contains(&state));
    if was_reached {
        return Ok(Some(ExitCode::SUCCESS));
    }
    match now {
        Some(state) if state.is_end() => Err(CliError::Failed(format!(
            "the order ended as {} without the state waited for: see its timeline above",
            view.state
        ))),
        Some(_) | None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(until: &[State]) -> WatchArgs {
        let connect = Connect {
            to: "http://127.0.0.1:1".to_owned(),
            key: "live_pk_x".to_owned(),
            secret_file: None,
            retries: 0,
            timeout: Duration::from_secs(1),
        };
        let (wait, interval) = (Duration::from_secs(1), Duration::from_millis(250));
        WatchArgs { connect, until: until.to_vec(), wait, interval, order: "A1".to_owned() }
    }

    fn view(state: &str, passed: &[&str]) -> View {
        let timeline: Vec<_> =
            (1..).zip(passed).map(|(seq, state)| serde_json::json!({"seq": seq, "state": state})).collect();
        serde_json::from_value(serde_json::json!({"state": state, "timeline": timeline})).expect("a view")
    }

    #[test]
    fn rests_without_until() {
        for (state, ends) in
            [("received", false), ("hold", false), ("payable", true), ("reversed", true), ("new", false)]
        {
            let code = ending(&view(state, &[]), &args(&[])).expect("no fault");
            assert_eq!(code.is_some(), ends, "{state}");
        }
    }

    #[test]
    fn until_a_state_that_has_passed() {
        let passed = view("payable", &["received", "attributed", "hold", "payable"]);
        assert!(ending(&passed, &args(&[State::Hold])).expect("no fault").is_some());
        assert!(ending(&passed, &args(&[State::Paid])).expect("no fault").is_none());
        assert!(ending(&view("reversed", &["hold", "reversed"]), &args(&[State::Paid])).is_err());
    }

    #[test]
    fn states_have_their_names_on_the_wire() {
        assert_eq!(State::of("commission_created"), Some(State::CommissionCreated));
        assert_eq!(State::of("commission-created"), None);
    }
}
