//! Runs the fuzz targets of `fuzz/`, each from the inputs that are kept and from those that it found before.
//!
//! They need cargo-fuzz and a nightly compiler, and so are no part of `ci`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Failure, run as run_command, say};

/// What is fuzzed, and the feature of `fuzz` that it takes.
const TARGETS: [(&str, Option<&str>); 4] =
    [("decimal", None), ("registry", None), ("avro", None), ("requests", Some("edge"))];
const SECONDS: u32 = 600;
/// One input takes microseconds.
const INPUT_SECONDS_MAX: u32 = 10;
const INPUT_BYTES_MAX: u32 = 8_192;

/// Runs the targets with these names, or all: `[TARGET…] [--seconds N]`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let (names, seconds) = parse(args)?;
    for (target, feature) in TARGETS.iter().filter(|(target, _)| names.is_empty() || names.contains(target)) {
        run_target(root, target, *feature, seconds)?;
        say(&format!("{target}: nothing found in {seconds} s"));
    }
    Ok(())
}

fn run_target(root: &Path, target: &str, feature: Option<&str>, seconds: u32) -> Result<(), Failure> {
    let folder = root.join("fuzz");
    let (corpus, seeds) = (folder.join("corpus").join(target), folder.join("corpus-seeds").join(target));
    fs::create_dir_all(&corpus).map_err(|error| format!("{} cannot be made: {error}", corpus.display()))?;
    // Through rustup, because the cargo that runs this chore is the stable one.
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz", "run", "--fuzz-dir"]).arg(&folder);
    command.args(feature.map(|feature| format!("--features={feature}")));
    // What is new goes to the first folder.
    command.arg(target).args([&corpus, &seeds]).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
    let dictionary = folder.join("dictionaries").join(format!("{target}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    run_command(command.current_dir(root), &format!("cargo +nightly fuzz run {target}"))
        .map_err(|failure| format!("{failure}. An input that was found is in fuzz/artifacts/{target}/"))
}

fn parse(args: &[String]) -> Result<(Vec<&'static str>, u32), Failure> {
    let (mut names, mut seconds) = (Vec::new(), SECONDS);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let number = args.next().and_then(|number| number.parse::<u32>().ok()).filter(|number| *number > 0);
            seconds = number.ok_or("--seconds takes a number of at least 1")?;
            continue;
        }
        let target = TARGETS.iter().find(|(target, _)| target == arg);
        let known = TARGETS.map(|(target, _)| target).join(", ");
        names.push(target.ok_or_else(|| format!("there is no fuzz target {arg}: there are {known}"))?.0);
    }
    Ok((names, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_seconds() {
        let parse = |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok((vec![], 600)));
        assert_eq!(parse(&["avro", "--seconds", "5", "decimal"]), Ok((vec!["avro", "decimal"], 5)));
        for args in [&["json"][..], &["--seconds"], &["--seconds", "0"], &["--seconds", "x"], &["--second", "1"]] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn every_target_is_one_of_the_manifest_and_has_seeds() {
        let folder = crate::root().join("fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("the manifest");
        let bins = manifest.split("[[bin]]\nname = \"").skip(1);
        let built: Vec<&str> = bins.filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(built, TARGETS.map(|(target, _)| target));
        for target in built {
            let seeds = fs::read_dir(folder.join("corpus-seeds").join(target)).expect("seeds");
            assert!(seeds.count() > 0, "{target}");
        }
    }
}
