//! What surrounds every request: its id, its measure, and the rendering of errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use store::{Claims, ReadModel};
use streams::Publisher;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::edge::{Edge, Inner};
use crate::error::{self, Error};
use crate::metrics::Metrics;
use crate::routes::Route;

const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_CHARACTERS_MAX: usize = 128;
/// What a request is counted as whose sender went away before the answer.
const SENDER_GONE: u16 = 499;

/// What a handler needs to know of its request besides what was sent.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Its id.
    pub(crate) request_id: Arc<str>,
    /// What it used up in being let in, once it is.
    pub(crate) admission: Arc<Admission>,
}

/// Counts a request when it is answered, or when it is dropped because its sender went away.
struct Measure<'a> {
    metrics: &'a Metrics,
    route: Route,
    started: Instant,
    answered: Option<(u16, &'static str)>,
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        let (status, code) = self.answered.unwrap_or((SENDER_GONE, "SENDER_GONE"));
        self.metrics.answered(self.route.label(), status, code, self.started.elapsed());
    }
}

/// The layer around all routes.
pub(crate) async fn surround<P: Publisher, C: Claims, R: ReadModel>(
    State(edge): State<Edge<P, C, R>>,
    mut request: Request,
    next: Next,
) -> Response {
    let edge = &*edge.0;
    let route = Route::of(request.method(), request.extensions().get::<MatchedPath>());
    let mut measure = Measure { metrics: &edge.metrics, route, started: Instant::now(), answered: None };
    let request_id = request_id(request.headers(), edge);
    let context = Context { request_id: Arc::clone(&request_id), admission: Arc::default() };
    let admission = Arc::clone(&context.admission);
    request.extensions_mut().insert(context);
    let mut response = without_panic(next.run(request)).await.unwrap_or_else(IntoResponse::into_response);
    let code = error::finish(&mut response, &request_id, route.label());
    admission.answered(&mut response);
    let header = HeaderValue::from_str(&request_id).expect("a request id is visible ASCII");
    response.headers_mut().insert(REQUEST_ID, header);
    measure.answered = Some((response.status().as_u16(), code.unwrap_or("")));
    response
}

/// The sender's request id if it is one, else a new one.
fn request_id<P, C, R>(headers: &HeaderMap, edge: &Inner<P, C, R>) -> Arc<str> {
    let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits = |id: &&str| {
        (1..=REQUEST_ID_CHARACTERS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    sent.filter(fits).map_or_else(|| edge.ids.next(edge.now()).simple().to_string().into(), Arc::from)
}

/// Turns a panic into an error, so that its sender gets a body like any other and the connection lives.
async fn without_panic(response: impl Future<Output = Response>) -> Result<Response, Error> {
    let mut response = pin!(response);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_panic) => Poll::Ready(Err(Error::Internal("a handler panicked".to_owned()))),
    })
    .await
}
