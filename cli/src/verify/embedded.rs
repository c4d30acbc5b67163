//! Reading an embedded log, whose records stand in the order in which they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use schemas::registry::Registry;
use schemas::topics::CATALOGUE;
use streams::embedded::LogView;
use streams::{Clock, SystemClock, Topic};
use verify::Verifier;

use super::{CONSUMERS, Outcome, VerifyArgs, progress};
use crate::error::CliError;
use crate::registry::file;

pub(super) fn verify(args: &VerifyArgs, data: &Path) -> Result<Outcome, CliError> {
    if args.registry.is_empty() && !args.demo {
        return Err(CliError::Usage(
            "an embedded log does not hold its registry: give --registry FILE, or --demo".to_owned(),
        ));
    }
    let cannot =
        |error: streams::LogError| CliError::Failed(format!("cannot read the log in {}: {error}", data.display()));
    let topics: Vec<Topic> = CATALOGUE.iter().map(processors::topic).collect();
    let mut view = LogView::open(&data.join("log"), &topics).map_err(cannot)?;
    let whole = view.first() == 0;
    let lost: BTreeSet<(u16, u32)> = CATALOGUE.iter().filter(|_| !whole).map(|spec| (spec.number, 0)).collect();
    let mut verifier = Verifier::new(args.options(&lost));
    registries(args, &mut verifier)?;
    let mut records = Vec::new();
    while view.next(&mut records).map_err(cannot)? {
        for record in records.drain(..) {
            verifier.take(record.topic, record.partition, record.offset, &record.key, &record.value);
        }
    }
    let consumers = view.consumers();
    let input = |name: &str| consumers.iter().find(|it| it.name == name).map_or(0, |it| it.input);
    let inputs = CONSUMERS.iter().flat_map(|(name, topics)| topics.iter().map(move |topic| (*name, topic.number)));
    let committed: BTreeMap<(u16, u32), u64> = inputs.map(|(name, topic)| ((topic, 0), input(name))).collect();
    let now = schemas::Timestamp(SystemClock.now_ms());
    let at = args.at.or(verifier.last_change()).unwrap_or(now);
    let report = verifier.finish(at, &committed);
    Ok(Outcome { progress: progress(&committed, &report.counts.ends), report, lost })
}

/// Tells the registries that were named.
pub(super) fn registries(args: &VerifyArgs, verifier: &mut Verifier) -> Result<(), CliError> {
    for path in &args.registry {
        verifier.registry(Arc::new(file::read(path, Registry::parse)?));
    }
    if args.demo {
        verifier.registry(Arc::new(Registry::demo()));
    }
    Ok(())
}
