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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A server that answers, or does not, in so much time.
    #[derive(Debug)]
    struct Server {
        began: Instant,
        up: watch::Sender<bool>,
        /// What the session that there is finds, and what a new one would.
        finds: Mutex<(Probed, Found)>,
        takes: Duration,
        /// What was done, and when in milliseconds.
        done: Mutex<Vec<(&'static str, u128)>>,
        asking: AtomicBool,
    }

    impl Server {
        fn new(probed: Probed, found: Found, takes: Duration) -> Server {
            Server {
                began: Instant::now(),
                up: watch::Sender::new(false),
                finds: Mutex::new((probed, found)),
                takes,
                done: Mutex::default(),
                asking: AtomicBool::new(false),
            }
        }

        fn note(&self, what: &'static str) {
            self.done.lock().expect("whole").push((what, self.began.elapsed().as_millis()));
        }

        async fn ask<T: Copy>(&self, what: &'static str, answer: impl Fn(&(Probed, Found)) -> T) -> T {
            self.note(what);
            assert!(!self.asking.swap(true, Ordering::Relaxed), "one at a time");
            sleep(self.takes).await;
            self.asking.store(false, Ordering::Relaxed);
            answer(&self.finds.lock().expect("whole"))
        }

        fn done(&self) -> Vec<(&'static str, u128)> {
            std::mem::take(&mut *self.done.lock().expect("whole"))
        }
    }

    impl Tended for Server {
        async fn wait_down(&self) {
            let mut up = self.up.subscribe();
            let _ = up.wait_for(|up| !*up).await;
        }

        async fn probe(&self) -> Probed {
            self.ask("probe", |finds| finds.0).await
        }

        async fn renew(&self) -> Found {
            self.ask("renew", |finds| finds.1).await
        }

        fn found(&self, lasted: Duration) {
            assert!(lasted <= self.began.elapsed());
            self.note("found");
            self.up.send_replace(true);
        }
    }

    /// Tends a server for so long, and says what was done.
    async fn tend_for(server: &Server, time: Duration) -> Vec<(&'static str, u128)> {
        let _ = timeout(time, tend(server)).await;
        server.done()
    }

    #[tokio::test(start_paused = true)]
    async fn the_pauses_grow_up_to_a_second_and_a_new_session_comes_after_two() {
        let server = Server::new(Probed::Away, Found::Away, Duration::ZERO);
        let probes = |times: &[u128]| times.iter().map(|at| ("probe", *at)).collect::<Vec<_>>();
        assert_eq!(tend_for(&server, 2 * SECOND).await, probes(&[0, 100, 300, 700, 1_500]));
        let server = Server::new(Probed::Away, Found::Away, Duration::ZERO);
        let done = tend_for(&server, Duration::from_millis(4_600)).await;
        assert_eq!(
            done[5..],
            [
                ("probe", 2_500),
                ("renew", 2_500),
                ("probe", 3_500),
                ("renew", 3_500),
                ("probe", 4_500),
                ("renew", 4_500)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_session_one_is_made_at_once() {
        let server = Server::new(Probed::Useless, Found::Up, Duration::from_millis(300));
        assert_eq!(tend_for(&server, 60 * SECOND).await, [("probe", 0), ("renew", 300), ("found", 600)]);
    }

    #[tokio::test(start_paused = true)]
    async fn tables_that_are_missing_are_looked_for_seldom() {
        let server = Server::new(Probed::Useless, Found::Unfit, Duration::ZERO);
        let renewals = tend_for(&server, 10 * SECOND).await.iter().filter(|(what, _)| *what == "renew").count();
        assert_eq!(renewals, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_found_again_each_time_that_it_goes_away() {
        let server = Server::new(Probed::Up, Found::Away, Duration::ZERO);
        let meanwhile = async {
            sleep(5 * SECOND).await;
            *server.finds.lock().expect("whole") = (Probed::Away, Found::Away);
            server.up.send_replace(false);
            sleep(SECOND / 4).await;
            server.finds.lock().expect("whole").0 = Probed::Up;
            sleep(SECOND).await;
        };
        tokio::select! {
            () = tend(&server) => {}
            () = meanwhile => {}
        }
        let expected =
            [("probe", 0), ("found", 0), ("probe", 5_000), ("probe", 5_100), ("probe", 5_300), ("found", 5_300)];
        assert_eq!(server.done(), expected);
    }
}
