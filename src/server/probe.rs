//! `/probe`: one target, fetched now.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;

use super::answer;
use super::live::Live;
use super::request::{ProbeRequest, RequestError, budget};
use super::run::{Admission, Asked, run};
use super::state::App;
use super::story;
use crate::expose::expose;
use crate::probe::ProbeOutcome;

/// Answers 400 for what the asker got wrong, 403 for a target that is not allowed, 503 when there is too much to
/// do; whatever goes wrong with the target is an answer with `goroutine_probe_success 0`.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let live = app.live();
    let (asked, debug) = match read(&app, &live, &request) {
        Ok(read) => read,
        Err(answer) => return answer,
    };
    let outcome = match look(&asked).await {
        Ok(outcome) => outcome,
        Err(answer) => return answer,
    };
    let metrics = expose(&outcome);
    if !debug {
        return answer::exposition(request.headers(), metrics);
    }
    let module = asked.modules.module.render();
    let story = story::tell(&outcome, asked.budget, &metrics, &module);
    answer::text(StatusCode::OK, &story)
}

/// The probe that a request asks for, and whether its story is wanted; otherwise the answer that says what is wrong.
pub(super) fn read(
    app: &Arc<App>,
    live: &Arc<Live>,
    request: &Request,
) -> Result<(Asked, bool), Response> {
    // A request whose body is still under way hides that the scraper hung up.
    if !request.body().is_end_stream() {
        return Err(RequestError::Body.into_response());
    }
    let query = request.uri().query().unwrap_or_default();
    let asked = ProbeRequest::parse(query, &live.config).map_err(|error| {
        if matches!(error, RequestError::UnknownModule { .. }) {
            app.metrics.unknown_module();
        }
        error.into_response()
    })?;
    let budget = budget(
        request.headers(),
        app.options.timeout_offset,
        asked.modules.module.timeout,
    )
    .map_err(RequestError::into_response)?;
    let wanted = Asked {
        app: Arc::clone(app),
        live: Arc::clone(live),
        target: asked.target,
        modules: asked.modules,
        budget,
        keep_body: false,
        by_hand: false,
    };
    Ok((wanted, asked.debug))
}

/// Runs it; otherwise the answer for a target that is not allowed, or when there is too much to do.
pub(super) async fn look(asked: &Asked) -> Result<Arc<ProbeOutcome>, Response> {
    let Asked { app, live, .. } = asked;
    let admit = || {
        let request = Arc::clone(&app.requests).try_acquire_owned().ok()?;
        Some(Admission::Held(request, live.gate.enter()?))
    };
    let Some(outcome) = run(asked, admit).await else {
        app.metrics
            .probe_rejected(asked.modules.module.name.as_str());
        return Err(answer::busy());
    };
    if let Some(refusal) = outcome.refused() {
        let sentence = refusal.to_string();
        return Err(answer::text(StatusCode::FORBIDDEN, &sentence));
    }
    Ok(outcome)
}
