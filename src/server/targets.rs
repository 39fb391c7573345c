//! `/targets/metrics`: the static targets and those found, fetched now, at the same time, each within its own bound.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use hyper::body::Body as _;
use tokio::task::spawn_blocking;

use super::answer;
use super::request::{ModuleSet, RequestError, budget, echo};
use super::run::{Admission, Asked, run};
use super::state::App;
use crate::config::StaticTarget;
use crate::expose::Exposition;
use crate::target::Target;

/// Static targets in all answers being made, at most: what came of each is held until its answer is written. Two requests
/// for as many as can be configured.
pub(super) const MAX_SWEPT: usize = 20_000;

/// Answers with the series of every target, each carrying `target` and the target's configured labels. A target
/// that fails has `goroutine_probe_success 0`; the others are not touched by it.
pub(super) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    if !request.body().is_end_stream() {
        return RequestError::Body.into_response();
    }
    let live = app.live();
    let asked = match choose(request.uri().query().unwrap_or_default(), &live.targets) {
        Ok(asked) => asked,
        Err(error) => return error.into_response(),
    };
    // One request for all of them; their probes take their places among all probes one by one.
    let Ok(request_place) = Arc::clone(&app.requests).try_acquire_owned() else {
        return answer::busy();
    };
    let swept = u32::try_from(asked.len()).unwrap_or(u32::MAX);
    let Ok(swept) = Arc::clone(&app.swept).try_acquire_many_owned(swept) else {
        return answer::all_targets();
    };
    let mut jobs = Vec::with_capacity(asked.len());
    for target in asked {
        let modules = ModuleSet::find(&[target.module.to_string()], &live.config);
        let job = modules.and_then(|modules| {
            let budget = budget(
                request.headers(),
                app.options.timeout_offset,
                modules.module.timeout,
            )?;
            Ok((target, modules, budget))
        });
        match job {
            Ok(job) => jobs.push(job),
            Err(error) => return error.into_response(),
        }
    }
    let wanted: Vec<Asked> = jobs
        .iter()
        .map(|(target, modules, budget)| Asked {
            app: Arc::clone(&app),
            live: Arc::clone(&live),
            target: target.target.clone(),
            modules: modules.clone(),
            budget: *budget,
            keep_body: false,
            by_hand: false,
        })
        .collect();
    let probes = wanted
        .iter()
        .map(|asked| run(asked, || Some(Admission::Waits)));
    let outcomes = join_all(probes).await;
    let labels = jobs.iter().map(|(target, ..)| labels(target));
    let probed: Vec<_> = labels
        .zip(outcomes)
        .filter_map(|(labels, outcome)| Some((labels, outcome?)))
        .collect();
    let headers = request.headers().clone();
    // A second and more for thousands of targets. Their number is bounded by the places that it holds until it is done.
    let writing = spawn_blocking(move || {
        let _places = (request_place, swept);
        let mut exposition = Exposition::default();
        for (labels, outcome) in &probed {
            exposition.probe(labels, outcome);
        }
        answer::exposition(&headers, exposition.render())
    });
    writing
        .await
        .unwrap_or_else(|error| answer::internal(&error))
}

/// The targets asked for: all of them, or the one of the parameter `target`, in any spelling.
fn choose<'a>(
    query: &str,
    targets: &'a [StaticTarget],
) -> Result<Vec<&'a StaticTarget>, RequestError> {
    let mut asked =
        url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "target");
    let Some((_, text)) = asked.next() else {
        return Ok(targets.iter().collect());
    };
    if asked.next().is_some() {
        return Err(RequestError::TwoTargets);
    }
    let target: Target = text.parse()?;
    let found: Vec<_> = targets
        .iter()
        .filter(|known| known.target == target)
        .collect();
    if found.is_empty() {
        return Err(RequestError::UnknownTarget { name: echo(&text) });
    }
    Ok(found)
}

/// `target` first, then the configured ones; a configured `target` would hide which one it is.
fn labels(target: &StaticTarget) -> Vec<(String, String)> {
    let configured = target.labels.iter().filter(|(name, _)| *name != "target");
    let configured = configured.map(|(name, value)| (name.clone(), value.clone()));
    std::iter::once(("target".to_owned(), target.target.to_string()))
        .chain(configured)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn which_targets_are_asked_for() {
        let config =
            Config::from_yaml("targets: [{ url: \"a:1\" }, { url: \"http://b:2/x\" }]").unwrap();
        let check = |query: &str, expected: &[&str]| {
            let found = choose(query, config.targets()).unwrap();
            let found: Vec<_> = found.iter().map(|found| found.target.to_string()).collect();
            assert_eq!(found, expected, "{query}");
        };
        check("", &["http://a:1", "http://b:2/x"]);
        check("other=1", &["http://a:1", "http://b:2/x"]);
        check("target=a:1", &["http://a:1"]);
        check("target=http%3A%2F%2FB:2/x/", &["http://b:2/x"]);
        let refused = |query: &str| choose(query, config.targets()).unwrap_err().to_string();
        assert_eq!(
            refused("target=c:3"),
            "no target \"c:3\" is configured, nor was one found"
        );
        assert!(refused("target=").contains("empty"));
        assert!(refused("target=a:1&target=a:1").contains("once"));
    }

    #[test]
    fn the_target_is_a_label() {
        let config =
            Config::from_yaml("targets: [{ url: \"a:1\", labels: { env: prod, team: core } }]")
                .unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("target", "http://a:1"),
            pair("env", "prod"),
            pair("team", "core"),
        ];
        assert_eq!(labels(&config.targets()[0]), expected);
    }
}
