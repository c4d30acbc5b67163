//! What was sent and what was answered, as `../check/check.py` reads it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A file with one JSON object a line, in the order in which the facts were answered.
#[derive(Debug)]
pub(crate) struct Facts {
    path: PathBuf,
    lines: Mutex<BufWriter<File>>,
}

/// When something was first sent, and when it was answered; milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Before the first attempt.
    pub(crate) sent_ms: i64,
    /// After the answer; `None` if it was given up.
    pub(crate) acked_ms: Option<i64>,
}

impl Facts {
    /// An empty file in this folder.
    pub(crate) fn create(folder: &Path) -> Facts {
        let path = folder.join("facts.jsonl");
        let lines = Mutex::new(BufWriter::new(File::create(&path).expect("a file")));
        Facts { path, lines }
    }

    /// A registry that was applied: its file's text.
    pub(crate) fn registry(&self, text: &str) {
        let registry: toml::Table = toml::from_str(text).expect("the registry is TOML");
        self.write(&json!({"fact": "registry", "registry": registry}));
    }

    /// A `report` or a `status` of a merchant.
    pub(crate) fn sent(&self, kind: &str, merchant: &str, body: &Value, span: Span, answer: &Value) {
        self.write(&json!({
            "fact": kind, "merchant": merchant, "body": body, "sent_ms": span.sent_ms, "acked_ms": span.acked_ms,
            "answer": answer,
        }));
    }

    /// A click on a link; without an id if the redirect did not come.
    pub(crate) fn click(&self, link: &str, span: Span, click_id: Option<&str>) {
        self.write(&json!({
            "fact": "click", "link": link, "sent_ms": span.sent_ms, "acked_ms": span.acked_ms, "click_id": click_id,
        }));
    }

    /// Where the file is, with everything written so far in it.
    pub(crate) fn file(&self) -> &Path {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).flush().expect("written");
        &self.path
    }

    fn write(&self, fact: &Value) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(lines, "{fact}").expect("written");
    }
}

/// The wall clock in milliseconds since 1970: the edges' own, since they run on this machine.
#[allow(clippy::disallowed_methods, reason = "a merchant notes when it sent something by its own clock")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292,278,994")
}
