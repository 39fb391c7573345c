//! The exporter's HTTP side: which path answers what. `listen` has the sockets; everything else works on a
//! router that needs none.
//!
//! Of a target's body only counts and functions are shown; the whole of it goes to those who may have it. A probe lives inside its request: when the scraper hangs up,
//! the request's future is dropped, and with it the connection to the target.

mod admin;
mod answer;
mod crowd;
mod discover;
mod encoding;
mod evidence;
mod flights;
mod godebug;
pub mod listen;
mod live;
mod origin;
mod pages;
mod prefix;
mod probe;
mod quiet;
mod reloads;
mod request;
mod run;
mod snapshots;
mod state;
mod story;
mod target;
mod targets;
#[cfg(test)]
mod tests;
pub mod web;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

pub use discover::discover;
pub use godebug::metrics_of;
pub use reloads::{ReloadError, Reloaded};
pub use state::{App, Facts, ReloadStep, ServeOptions, StartError};

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    let prefix = app.options.prefix.clone();
    let routes = Router::new()
        .route("/", get(admin::landing))
        .route("/probe", get(probe::handle))
        .route("/metrics", get(admin::metrics))
        .route("/targets/metrics", get(targets::handle))
        .route("/target", get(target::show))
        .route("/target/profile", get(target::profile))
        .route("/snapshots", get(snapshots::list).post(snapshots::take))
        .route(
            "/snapshots/{id}",
            get(snapshots::show).delete(snapshots::delete),
        )
        .route("/snapshots/{id}/delete", post(snapshots::delete_by_form))
        .route("/config", get(admin::config))
        .route("/-/healthy", get(admin::healthy))
        .route("/-/ready", get(admin::ready))
        .route("/-/reload", post(admin::reload))
        .fallback(admin::unknown)
        .method_not_allowed_fallback(admin::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), crowd::bound))
        .with_state(Arc::clone(&app));
    prefix::under(&prefix, routes)
        // Outermost: nothing is answered to those who may not ask.
        .layer(from_fn_with_state(app, web::guard))
}
