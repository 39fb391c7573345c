//! The exporter's HTTP side: which path answers what. `listen` has the sockets; everything else works on a
//! router that needs none.
//!
//! Nothing of a target's body is ever shown here. A probe lives inside its request: when the scraper hangs up,
//! the request's future is dropped, and with it the connection to the target.

mod admin;
mod answer;
mod encoding;
mod evidence;
mod flights;
mod landing;
pub mod listen;
mod origin;
mod probe;
mod request;
mod run;
mod snapshots;
mod state;
mod story;
mod targets;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::{get, post};

pub use state::{App, ServeOptions, StartError};

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(admin::landing))
        .route("/probe", get(probe::handle))
        .route("/metrics", get(admin::metrics))
        .route("/targets/metrics", get(targets::handle))
        .route("/snapshots", get(snapshots::list).post(snapshots::take))
        .route(
            "/snapshots/{id}",
            get(snapshots::show).delete(snapshots::delete),
        )
        .route("/config", get(admin::config))
        .route("/-/healthy", get(admin::healthy))
        .route("/-/ready", get(admin::ready))
        .route("/-/reload", post(admin::reload))
        .fallback(admin::unknown)
        .method_not_allowed_fallback(admin::wrong_method)
        .layer(map_response(answer::harden))
        .with_state(app)
}
