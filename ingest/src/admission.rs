//! Letting a request in: who sent it, from where, whether it may again, and what of that it gives back when it fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use axum::response::Response;
use schemas::Timestamp;
use store::{Claims, ReadModel};
use streams::Publisher;

use crate::auth::{AuthError, Caller, Verified};
use crate::client;
use crate::edge::Inner;
use crate::error::{Error, Shed};
use crate::places::Place;
use crate::rates::Rate;
use crate::replays::{NotTaken, Taken};

/// What a request used up in being let in, kept until it is answered. One that is never answered, since its sender has
/// gone, gives nothing back: it may have been recorded.
#[derive(Debug, Default)]
pub(crate) struct Admission(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    signature: Option<Taken>,
    rate: Option<Rate>,
}

impl Admission {
    /// Tells the sender what is left, and gives the signature of a failed request back.
    pub(crate) fn answered(&self, response: &mut Response) {
        let mut used = self.used();
        if let Some(rate) = &used.rate {
            rate.write(response.headers_mut());
        }
        let is_failed = response.status().is_client_error() || response.status().is_server_error();
        if let Some(signature) = used.signature.take().filter(|_| is_failed) {
            signature.give_back();
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Publisher, C: Claims, R: ReadModel> Inner<P, C, R> {
    /// Checks who sent a request, and takes its place among those in flight. Key, merchant and share are of one
    /// registry, and nothing after this asks for another.
    pub(crate) fn admit(
        &self,
        head: &Parts,
        body: &[u8],
        now: Timestamp,
        admission: &Admission,
    ) -> Result<(Arc<Caller>, Place), Error> {
        let live = self.live.load();
        let address = client::address(head, self.config.trusted_proxies);
        let verified = live.auth.verify(&head.headers, body, now, address).map_err(Error::from);
        let let_in = verified.and_then(|verified| {
            self.take_signature(&verified, now, admission)?;
            Ok(verified.caller)
        });
        let caller = let_in.inspect_err(|error| {
            if let Error::Auth(error) = error {
                self.metrics.not_let_in(error.code());
            }
        })?;
        self.take_token(&caller, now, admission)?;
        let place = self.place(&live, &caller)?;
        Ok((caller, place))
    }

    fn take_signature(&self, verified: &Verified, now: Timestamp, admission: &Admission) -> Result<(), Error> {
        let Verified { caller, signature, signed_at_s } = verified;
        if !caller.strict_replay {
            return Ok(());
        }
        match self.replays.take(&caller.key_id, *signature, *signed_at_s, now) {
            Ok(taken) => {
                admission.used().signature = Some(taken);
                Ok(())
            }
            Err(NotTaken::Seen) => Err(AuthError::ReplayDetected.into()),
            Err(NotTaken::Full) => Err(self.shed(Shed::Replays)),
        }
    }

    fn take_token(&self, caller: &Caller, now: Timestamp, admission: &Admission) -> Result<(), Error> {
        let Some(limit) = caller.rate_limit else { return Ok(()) };
        let rate = self.rates.take(&caller.key_id, limit, now);
        admission.used().rate = Some(rate);
        if rate.is_allowed { Ok(()) } else { Err(Error::RateLimited { retry_after: rate.retry_after() }) }
    }

    /// Takes the tokens of the items of a batch but one, which it took when it was let in.
    pub(crate) fn take_tokens_of_items(&self, caller: &Caller, items: usize, admission: &Admission) {
        let mut used = admission.used();
        if let Some(rate) = used.rate {
            used.rate = Some(self.rates.take_more(&caller.key_id, rate, items.saturating_sub(1)));
        }
    }
}
