//! `/probe`: one target, fetched now.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;

use super::answer;
use super::request::{ProbeRequest, RequestError, budget};
use super::run::{Admission, Asked, run};
use super::state::App;
use super::story;
use crate::expose::expose;

/// Answers 400 for what the asker got wrong, 403 for a target that is not allowed, 503 when there is too much to
/// do; whatever goes wrong with the target is an answer with `goroutine_probe_success 0`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    // A request whose body is still under way hides that the scraper hung up.
    if !request.body().is_end_stream() {
        return RequestError::Body.into_response();
    }
    let live = app.live();
    let asked = match ProbeRequest::parse(request.uri().query().unwrap_or_default(), &live.config) {
        Ok(asked) => asked,
        Err(error) => {
            if matches!(error, RequestError::UnknownModule { .. }) {
                app.metrics.unknown_module();
            }
            return error.into_response();
        }
    };
    let module = &asked.modules.module;
    let budget = match budget(
        request.headers(),
        app.options.timeout_offset,
        module.timeout,
    ) {
        Ok(budget) => budget,
        Err(error) => return error.into_response(),
    };
    let wanted = Asked {
        app: Arc::clone(&app),
        live: Arc::clone(&live),
        target: asked.target,
        modules: asked.modules.clone(),
        budget,
        keep_body: false,
    };
    let admit = || {
        let request = Arc::clone(&app.requests).try_acquire_owned().ok()?;
        Some(Admission::Held(request, live.gate.enter()?))
    };
    let Some(outcome) = run(&wanted, admit).await else {
        app.metrics.probe_rejected(module.name.as_str());
        return answer::busy();
    };
    if let Some(refusal) = outcome.refused() {
        return answer::text(StatusCode::FORBIDDEN, &refusal.to_string());
    }
    match expose(&outcome) {
        Ok(metrics) if asked.debug => answer::text(
            StatusCode::OK,
            &story::tell(&outcome, budget, &metrics, &module.render()),
        ),
        Ok(metrics) => answer::exposition(request.headers(), metrics),
        Err(error) => answer::internal(&error),
    }
}
