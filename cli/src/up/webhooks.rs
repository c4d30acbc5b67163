//! The sender of webhooks beside the edge.

use std::sync::Arc;

use prometheus_client::registry::Registry as MetricsRegistry;
use schemas::registry::Registry;
use streams::embedded::EmbeddedLog;
use tokio::runtime::Runtime;
use webhooks::{ClientOptions, Sender, SenderOptions};

use super::args::UpArgs;
use super::data::DataFolder;
use crate::error::CliError;
use crate::threads::Threads;
use crate::webhooks::{sender, stop};

/// The sender, and from where it reads.
pub(super) struct Webhooks {
    log: EmbeddedLog,
    from: u64,
    sender: Sender,
}

impl Webhooks {
    /// Makes the sender, if the registry has an endpoint: without one nothing needs the system's certificates.
    pub(super) fn open(
        args: &UpArgs,
        data: &DataFolder,
        registry: &Arc<Registry>,
        (metrics, runtime): (&mut MetricsRegistry, &Runtime),
    ) -> Result<Option<Webhooks>, CliError> {
        if registry.endpoints().iter().next().is_none() {
            return Ok(None);
        }
        let client = ClientOptions {
            allow_private_addresses: args.webhooks_allow_private_addresses,
            ..ClientOptions::default()
        };
        let options = (client, SenderOptions::default());
        let sender = sender(Arc::clone(registry), Arc::new(data.log.clone()), metrics, runtime.handle(), options)?;
        Ok(Some(Webhooks { log: data.log.clone(), from: data.log.durable(), sender }))
    }

    /// Starts reading.
    pub(super) fn start(&self, threads: &mut Threads) -> Result<(), CliError> {
        let (log, from, sender) = (self.log.clone(), self.from, self.sender.clone());
        threads.start("webhook-sender", move |stop| webhooks::run_embedded(&log, from, &sender, stop))
    }

    /// Ends the sender, whose reading has ended.
    pub(super) fn stop(&self) {
        stop(&self.sender);
    }
}
