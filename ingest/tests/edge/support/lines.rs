use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

/// What is logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What all tests log at any level: a subscriber of one thread is not asked about what another thread logs first.
    pub(crate) fn of_all_tests() -> Lines {
        static ALL: OnceLock<Lines> = OnceLock::new();
        let start = || {
            let lines = Lines::default();
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines.clone());
            tracing::subscriber::set_global_default(subscriber.with_ansi(false).finish()).unwrap();
            lines
        };
        ALL.get_or_init(start).clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines about one request.
    pub(crate) fn about(&self, request_id: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(request_id)).map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}
