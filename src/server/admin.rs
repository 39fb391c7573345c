//! What operators and orchestrators ask for: the exporter's own metrics, its configuration, its health, a reload.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::answer;
use super::evidence;
use super::godebug;
use super::origin::refuse_cross_site;
use super::pages::Links;
use super::pages::landing::{Landing, MAX_SNAPSHOTS, MAX_STATIC, StaticRow, not_found};
use super::reloads::ReloadError;
use super::state::App;
use crate::config::ModuleName;
use crate::snapshots::Store;

/// `/metrics`: the exporter's own, never a fetch.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.metrics
        .set_tracked_targets(app.tracker.count(Instant::now()));
    let runtime = tokio::runtime::Handle::current();
    app.metrics.set_tasks(runtime.metrics().num_alive_tasks());
    let store = app.live().store.clone();
    let stored = store.map_or((0, 0), |store| (store.bytes(), store.skipped()));
    app.metrics.set_storage(stored.0, stored.1);
    let web = app.web.state();
    app.metrics.set_web_reload(web.successful, web.succeeded_at);
    app.count_targets();
    evidence::tidy(&app);
    match app.metrics.encode() {
        Ok(text) => answer::exposition(&headers, text + &godebug::exposition(&app)),
        Err(error) => answer::internal(&error),
    }
}

/// `/config`: the configuration in force, secrets hidden.
pub(super) async fn config(State(app): State<Arc<App>>) -> Response {
    answer::text(StatusCode::OK, &app.live().config.render())
}

/// `/-/healthy`: answers as long as the process does.
pub(super) async fn healthy() -> Response {
    answer::text(StatusCode::OK, "goroutine_exporter is healthy.")
}

/// `/-/ready`: a configuration is in force from before the first connection on, until the end is asked for.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_stopping() {
        return answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "goroutine_exporter is stopping.",
        );
    }
    answer::text(StatusCode::OK, "goroutine_exporter is ready.")
}

/// `POST /-/reload`.
pub(super) async fn reload(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    if !app.options.enable_lifecycle {
        let sentence = "reloading over HTTP is off; start the exporter with --web.enable-lifecycle, or send it SIGHUP";
        return answer::text(StatusCode::FORBIDDEN, sentence);
    }
    if let Some(refusal) = refuse_cross_site(&headers, &uri, app.options.origin.as_deref()) {
        return refusal;
    }
    match &*app.ask_reload().await {
        Ok(()) => answer::text(StatusCode::OK, "configuration reloaded"),
        Err(error @ ReloadError::Start(_)) => answer::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("configuration not reloaded, the old one stays in force: {error}"),
        ),
        Err(error @ ReloadError::BrokeOff { .. }) => answer::internal(error),
    }
}

/// `/`.
pub(super) async fn landing(State(app): State<Arc<App>>) -> Response {
    let live = app.live();
    let all = live.targets.as_slice();
    let shown = all.get(..MAX_STATIC).unwrap_or(all);
    let names: Vec<String> = shown
        .iter()
        .map(|target| target.target.to_string())
        .collect();
    let last = app.history.latest(names.iter().map(String::as_str));
    let rows = shown.iter().zip(&names).zip(last);
    let newest = |store: &Arc<Store>| {
        let mut entries = store.list();
        entries.truncate(MAX_SNAPSHOTS);
        entries
    };
    let links = Links::new(&app.options.base, 0);
    let page = Landing {
        links: &links,
        modules: live
            .config
            .modules()
            .keys()
            .map(ModuleName::as_str)
            .collect(),
        targets: rows
            .map(|((target, name), last)| StaticRow {
                target: name,
                module: target.module.as_str(),
                last,
            })
            .collect(),
        more_targets: all.len() - shown.len(),
        recent: app.history.entries(),
        snapshots: live.store.as_ref().map(newest),
        now: SystemTime::now(),
    };
    answer::page(StatusCode::OK, page.render())
}

/// Every other path.
pub(super) async fn unknown(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let depth = uri.path().matches('/').count().saturating_sub(1);
    let links = Links::new(&app.options.base, depth);
    answer::page(StatusCode::NOT_FOUND, not_found(&links))
}

/// A known path with another method.
pub(super) async fn wrong_method() -> Response {
    answer::text(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path is not served with this method",
    )
}
