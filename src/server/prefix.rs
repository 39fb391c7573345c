//! All paths under a prefix, as `--web.route-prefix` puts them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use tower::ServiceExt as _;

use super::answer;
use super::pages::Links;
use super::pages::landing::not_found;

/// Routes that know nothing of the prefix they are under.
#[derive(Clone, Debug)]
struct Under {
    /// With a slash at its start and none at its end.
    prefix: String,
    routes: Router,
}

/// The routes under `prefix`, which starts with a slash and does not end with one; as they are when it is empty. The start
/// page's address without the prefix leads to it, as in Prometheus.
pub(super) fn under(prefix: &str, routes: Router) -> Router {
    if prefix.is_empty() {
        return routes;
    }
    let under = Under {
        prefix: prefix.to_owned(),
        routes,
    };
    Router::new().fallback(handle).with_state(Arc::new(under))
}

async fn handle(State(under): State<Arc<Under>>, mut request: Request) -> Response {
    let Under { prefix, routes } = &*under;
    if let Some(uri) = without(prefix, request.uri()) {
        *request.uri_mut() = uri;
        return match routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    let home = format!("{prefix}/");
    if request.uri().path() == "/" || request.uri().path() == prefix {
        let mut response = answer::text(StatusCode::FOUND, &format!("the start page is {home}"));
        if let Ok(location) = HeaderValue::from_str(&home) {
            response.headers_mut().insert(LOCATION, location);
        }
        return response;
    }
    answer::page(StatusCode::NOT_FOUND, not_found(&Links::new(&home, 0)))
}

/// The address with the prefix cut off its path; `None` when it is not under it.
fn without(prefix: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    let rest = Some(rest).filter(|rest| rest.starts_with('/'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_cut_off_whole() {
        let check = |uri: &'static str, expected: Option<&str>| {
            let found = without("/a/b", &Uri::from_static(uri));
            assert_eq!(
                found.map(|uri| uri.to_string()).as_deref(),
                expected,
                "{uri}"
            );
        };
        check("/a/b/", Some("/"));
        check("/a/b/x?y=/a/b", Some("/x?y=/a/b"));
        check("/a/b//x", Some("//x"));
        check("http://h:1/a/b/x", Some("http://h:1/x"));
        check("/a/b", None);
        check("/a/b?x", None);
        check("/a/bc/", None);
        check("/A/b/", None);
        check("/x/a/b/", None);
        check("/", None);
        check("*", None);
    }
}
