//! Series of what programs say of themselves: on `/metrics` beside the exporter's own, and alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::admin;
use super::answer;
use super::state::App;
use crate::expose::Exposition;
use crate::follow::Stream;

/// Those of all configured sources, as text behind the exporter's own.
pub(super) fn exposition(app: &App) -> String {
    let mut exposition = Exposition::default();
    for (source, seen) in app.followers.snapshots() {
        exposition.godebug(&labels(&source.labels), &source.name, &seen);
    }
    exposition.render()
}

fn labels(configured: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let labels = configured.iter();
    labels.map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// `/metrics` of one stream and nothing else, `/-/healthy` aside.
pub fn metrics_of(source: String, stream: Arc<Stream>) -> Router {
    let show = |State(shown): State<Arc<(String, Arc<Stream>)>>, headers: HeaderMap| async move {
        shown_alone(&headers, &shown.0, &shown.1)
    };
    Router::new()
        .route("/metrics", get(show))
        .route("/-/healthy", get(admin::healthy))
        .with_state(Arc::new((source, stream)))
}

fn shown_alone(headers: &HeaderMap, source: &str, stream: &Stream) -> Response {
    let mut exposition = Exposition::default();
    exposition.godebug(&[], source, &stream.snapshot());
    answer::exposition(headers, exposition.render())
}
