//! How many answers may be in the making or on their way at once, whatever they are of.
//!
//! What costs much has narrower bounds of its own, probes above all. This one holds for what those do not count: askers
//! who wait for a probe that others began, pages, lists, and answers whose readers are slow.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::answer;
use super::state::App;

/// Answers at once, at most: more than connections by default, since one of HTTP/2 carries many.
pub(super) const MAX_ANSWERS: usize = 1024;

/// Gives the request a place until its answer has been handed over, or answers 503. Health needs none: who asks for it
/// must not learn that others ask for much.
pub(super) async fn bound(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/-/healthy" | "/-/ready") {
        return next.run(request).await;
    }
    let Ok(place) = Arc::clone(&app.answers).try_acquire_owned() else {
        return answer::crowded();
    };
    next.run(request).await.map(|body| {
        Body::new(Held {
            body,
            _place: place,
        })
    })
}

/// A body that holds its place until it is dropped.
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
