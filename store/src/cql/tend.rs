//! Finding the server, and finding it again.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The pause after the first try in vain; each next is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The pause while the tables are not there, which somebody has to make.
const PAUSE_UNFIT: Duration = Duration::from_secs(3);
/// A server that has been away for this long is looked for with a session of its own: the driver waits up to 10 s between
/// two tries to connect, and there is no telling it that the server is back.
const RENEW_AFTER: Duration = Duration::from_secs(2);

/// What a new session found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The server, which answers.
    Up,
    /// Nothing.
    Away,
    /// The server, without the tables that this program needs.
    Unfit,
}

/// What is tended.
pub(crate) trait Tended {
    /// Waits until the server counts as away.
    fn wait_down(&self) -> impl Future<Output = ()> + Send;
    /// Asks through the session that there is, if there is one, whether the server answers.
    fn probe(&self) -> impl Future<Output = Probed> + Send;
    /// Makes another session, and takes it if it is any good.
    fn renew(&self) -> impl Future<Output = Found> + Send;
    /// The server was found after so long.
    fn found(&self, lasted: Duration);
}

/// What the session that there is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    /// The server answers.
    Up,
    /// It does not.
    Away,
    /// There is no session, or the server says that its statements are no good.
    Useless,
}

/// Finds the server, and whenever it goes away finds it again, one question at a time. It never ends.
pub(crate) async fn tend(server: &impl Tended) {
    loop {
        find(server).await;
        server.wait_down().await;
    }
}

async fn find(server: &impl Tended) {
    let began = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        let found = match server.probe().await {
            Probed::Up => Found::Up,
            Probed::Away if began.elapsed() < RENEW_AFTER => Found::Away,
            Probed::Away | Probed::Useless => server.renew().await,
        };
        match found {
            Found::Up => return server.found(began.elapsed()),
            Found::Away => sleep(pause).await,
            Found::Unfit => sleep(PAUSE_UNFIT).await,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
