//! `/target` and `/target/profile`: one service for a person, looked at now.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::Markup;
use tokio::task::spawn_blocking;

use super::answer;
use super::pages::profile::Profile;
use super::pages::target::TargetPage;
use super::pages::{Links, MAX_BLOCKING_WAIT};
use super::probe::{look, read};
use super::run::Asked;
use super::snapshots::{attachment, find, may_change, may_download};
use super::state::App;
use super::story;
use crate::config::Module;
use crate::expose::expose;
use crate::probe::ProbeOutcome;
use crate::snapshots::{Entry, Store};
use crate::tally::Tally;

/// `GET /target?target=&module=&against=`: answers as `/probe` does, with a page. `against` names a snapshot to compare with.
pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Response {
    let live = app.live();
    let mut asked = match read(&app, &live, &request) {
        Ok((asked, _)) => asked,
        Err(answer) => return answer,
    };
    asked.keep_body = true;
    let outcome = match look(&asked).await {
        Ok(outcome) => outcome,
        Err(answer) => return answer,
    };
    let query = request.uri().query().unwrap_or_default();
    let against = parameter(query, "against").filter(|id| !id.is_empty());
    let headers = request.headers().clone();
    let make = move || answer::large_page(&headers, page(&asked, &outcome, against.as_deref()));
    made(&app, make).await
}

/// `GET /target/profile?target=&module=`: the profile itself, as the target sends it now.
pub(super) async fn profile(State(app): State<Arc<App>>, request: Request) -> Response {
    if !may_download(&app) {
        let sentence = "profiles can hold personal data; to download them start the exporter with --web.enable-lifecycle, or have --web.config.file ask for passwords";
        return answer::text(StatusCode::FORBIDDEN, sentence);
    }
    let live = app.live();
    let mut asked = match read(&app, &live, &request) {
        Ok((asked, _)) => asked,
        Err(answer) => return answer,
    };
    asked.keep_body = true;
    let outcome = match look(&asked).await {
        Ok(outcome) => outcome,
        Err(answer) => return answer,
    };
    let body = match &outcome.result {
        Ok(report) => report.body.clone(),
        Err(error) => {
            let sentence = format!("the target could not be read: {error}");
            return answer::text(StatusCode::BAD_GATEWAY, &sentence);
        }
    };
    let Some(body) = body else {
        let sentence = "the target's profile was not read whole";
        return answer::text(StatusCode::BAD_GATEWAY, sentence);
    };
    let taken = humantime::format_rfc3339_seconds(outcome.started).to_string();
    attachment(&outcome.target, &taken, Body::from(body))
}

/// Makes an answer that can be large on a processor of its own, holding one of the places for requests meanwhile.
pub(super) async fn made(
    app: &Arc<App>,
    make: impl FnOnce() -> Response + Send + 'static,
) -> Response {
    let Ok(request) = Arc::clone(&app.requests).try_acquire_owned() else {
        return answer::busy();
    };
    let live = app.live();
    let bench = tokio::time::timeout(MAX_BLOCKING_WAIT, live.gate.bench()).await;
    let Ok(Some(bench)) = bench else {
        return answer::busy();
    };
    let making = spawn_blocking(move || {
        let answer = make();
        drop((bench, request));
        answer
    });
    making
        .await
        .unwrap_or_else(|error| answer::internal(&error))
}

fn page(asked: &Asked, outcome: &ProbeOutcome, against: Option<&str>) -> Markup {
    let module = &asked.modules.module;
    let metrics = expose(outcome);
    let story = story::tell(outcome, asked.budget, &metrics, &module.render());
    let body = outcome.result.as_ref().ok();
    let body = body.and_then(|report| report.body.as_ref());
    let profile = body.and_then(|body| Profile::read(body, module).ok());
    let store = asked.live.store.as_ref();
    let snapshots = store.map_or_else(Vec::new, |store| store.list());
    let (options, links) = (&asked.app.options, Links::new(&asked.app.options.base, 0));
    TargetPage {
        links: &links,
        target: &asked.target,
        label: &asked.modules.label,
        module,
        outcome,
        profile,
        story: &story,
        snapshots: snapshots
            .into_iter()
            .filter(|entry| entry.target == outcome.target)
            .collect(),
        against: against.map(|id| counted(store, id, &outcome.target, module)),
        downloads: may_download(&asked.app),
        keeps: store.is_some() && may_change(options),
        storage: store.is_some(),
        now: SystemTime::now(),
    }
    .render()
}

/// The counts of a snapshot of this target, or a sentence that says why there are none. Reads a file.
pub(super) fn counted(
    store: Option<&Arc<Store>>,
    id: &str,
    target: &str,
    module: &Module,
) -> Result<(Entry, Tally), String> {
    let gone = "The snapshot to compare with is not kept any more.";
    let store = store.ok_or(gone)?;
    let (id, entry) = find(store, id).ok_or(gone)?;
    if entry.target != target {
        return Err("The snapshot to compare with is of another target.".to_owned());
    }
    let unreadable = |error: &dyn std::error::Error| {
        format!("The snapshot to compare with cannot be read: {error}")
    };
    let (entry, content) = store.read(&id).map_err(|error| unreadable(&error))?;
    let profile = Profile::read(&content, module).map_err(|error| unreadable(&error))?;
    Ok((entry, profile.tally))
}

/// The first value of a parameter.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        assert_eq!(parameter("a=1&b=x%20y", "b").as_deref(), Some("x y"));
        assert_eq!(parameter("a=1", "b"), None);
    }
}
