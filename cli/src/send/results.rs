//! `--output`: what became of each line, as NDJSON, in the order in which it became known.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::verdict::{Done, Verdict};
use crate::error::CliError;

/// A file of results.
#[derive(Debug)]
pub(super) struct Results {
    path: PathBuf,
    file: BufWriter<File>,
    fault: Option<io::Error>,
}

/// One line of the file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    line: u64,
    external_order_id: Option<&'a str>,
    status: Option<u16>,
    response: Response<'a>,
    error: Option<&'a str>,
}

/// An answer: JSON as it came, or else as text.
#[derive(Serialize)]
#[serde(untagged)]
enum Response<'a> {
    Json(&'a RawValue),
    Other(Value),
}

impl Results {
    /// Makes the file, replacing one that is there.
    ///
    /// # Errors
    /// It cannot be written, or it is the input itself.
    pub(super) fn create(path: &Path, input: &Path) -> Result<Results, CliError> {
        let is_input = matches!((path.canonicalize(), input.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if is_input {
            return Err(CliError::Usage("--output is the input itself: name another file".to_owned()));
        }
        let file = File::create(path).map_err(|error| {
            CliError::Failed(format!("cannot write {} ({error}): name another --output", path.display()))
        })?;
        Ok(Results { path: path.to_owned(), file: BufWriter::new(file), fault: None })
    }

    /// Writes what became of one object. A fault is kept for the end: it is no reason to stop sending.
    pub(super) fn write(&mut self, done: &Done) {
        let error = match &done.verdict {
            Verdict::Received | Verdict::Duplicate => None,
            Verdict::Refused { message, .. } | Verdict::Failed { message } => Some(message.as_str()),
        };
        let response = done.answer.as_ref().map_or(Response::Other(Value::Null), |answer| response(&answer.body));
        let row = Row {
            line: done.line,
            external_order_id: done.order.as_deref(),
            status: done.answer.as_ref().map(|answer| answer.status.as_u16()),
            response,
            error,
        };
        let written = serde_json::to_writer(&mut self.file, &row).map_err(io::Error::from);
        if let Err(fault) = written.and_then(|()| self.file.write_all(b"\n")) {
            self.fault.get_or_insert(fault);
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Something was not written.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        let fault = self.fault.take().or_else(|| self.file.flush().err());
        let path = self.path.display();
        fault.map_or(Ok(()), |fault| {
            Err(CliError::Failed(format!("{path} is incomplete ({fault}): make room and send the input again")))
        })
    }
}

fn response(body: &[u8]) -> Response<'_> {
    match serde_json::from_slice::<&RawValue>(body) {
        // A line break inside would make two lines of one.
        Ok(json) if !json.get().contains('\n') => Response::Json(json),
        Ok(json) => Response::Other(serde_json::from_str(json.get()).unwrap_or(Value::Null)),
        Err(_) => Response::Other(Value::String(String::from_utf8_lossy(body).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Answer;
    use std::time::Duration;

    #[test]
    fn rows() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("results.ndjson");
        let mut results = Results::create(&path, Path::new("-")).expect("can be made");
        let mut done = Done { line: 3, bytes: 9, order: Some("A\"1".into()), verdict: Verdict::Received, answer: None };
        for body in ["{\"z\":1,\"a\":2}", "{\n\"z\":1}", "oops"] {
            let status = reqwest::StatusCode::ACCEPTED;
            done.answer = Some(Answer { status, body: body.into(), latency: Duration::ZERO });
            results.write(&done);
        }
        done.answer = None;
        done.verdict = Verdict::Failed { message: "gone".into() };
        results.write(&done);
        results.finish().expect("written");
        let expected = "\
{\"line\":3,\"externalOrderId\":\"A\\\"1\",\"status\":202,\"response\":{\"z\":1,\"a\":2},\"error\":null}
{\"line\":3,\"externalOrderId\":\"A\\\"1\",\"status\":202,\"response\":{\"z\":1},\"error\":null}
{\"line\":3,\"externalOrderId\":\"A\\\"1\",\"status\":202,\"response\":\"oops\",\"error\":null}
{\"line\":3,\"externalOrderId\":\"A\\\"1\",\"status\":null,\"response\":null,\"error\":\"gone\"}
";
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), expected);
    }

    #[test]
    fn the_input_is_not_overwritten() {
        let input = tempfile::NamedTempFile::new().expect("a file");
        assert!(matches!(Results::create(input.path(), input.path()), Err(CliError::Usage(_))));
    }
}
