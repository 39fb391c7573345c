//! The pages for people: what is asked wrongly, what is not allowed, and what a look comes to.

use super::*;

async fn html(exporter: &Exporter, uri: &str) -> Answer {
    let request = Request::get(uri).header("accept", "text/html,*/*");
    exporter.send(request.body(Body::empty()).unwrap()).await
}

async fn post(exporter: &Exporter, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(uri).header("accept", "text/html");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    exporter.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_look_answers_as_a_probe_does() {
    let exporter = Exporter::new("allow: [{ cidr: 127.0.0.0/8 }]");
    let check = async |uri: &str, status: StatusCode, part: &str| {
        exporter.get(uri).await.is(status, part);
    };
    check("/target", StatusCode::BAD_REQUEST, "target is missing").await;
    check(
        "/target?target=127.0.0.1:1&module=x",
        StatusCode::BAD_REQUEST,
        "no module",
    )
    .await;
    check("/target?target=10.0.0.1:1", StatusCode::FORBIDDEN, "allow").await;
    check("/target?target=127.0.0.1:1", StatusCode::OK, "connect").await;
    let full = Exporter::with(
        "",
        ServeOptions {
            max_requests: 1,
            ..options()
        },
    );
    let held = Arc::clone(&full.app.requests).try_acquire_owned().unwrap();
    let answer = full.get("/target?target=127.0.0.1:1").await;
    answer.is(StatusCode::SERVICE_UNAVAILABLE, "too many");
    drop(held);
}

#[tokio::test]
async fn the_second_look_tells_what_has_changed() {
    let exporter = Exporter::new("");
    let target = target(PROFILE).await;
    let uri = format!("/target?target={target}");
    let first = exporter.get(&uri).await;
    first.is(StatusCode::OK, "Changes show from the next look on.");
    assert_eq!(first.headers["content-type"], "text/html; charset=utf-8");
    let second = exporter.get(&uri).await;
    second.is(StatusCode::OK, "Changes are since the look before this one");
    // Both looks saw the same, and a look that failed is no look.
    second.is(StatusCode::OK, "±0");
    // A probe is a look, too.
    exporter.get(&format!("/probe?target={target}")).await;
    let state = exporter.app.tracker.state(
        crate::tracker::TrackKey {
            target: format!("http://{target}"),
            path: "/debug/pprof".to_owned(),
        },
        std::time::Instant::now(),
    );
    let last = state.lock().unwrap().view("default").last_look.clone();
    assert!(last.unwrap().total > 100);
}

#[tokio::test]
async fn links_stay_below_the_path_users_reach_it_by() {
    let exporter = Exporter::with(
        "",
        ServeOptions {
            base: "/ge/".to_owned(),
            ..options()
        },
    );
    let target = target(PROFILE).await;
    for uri in [
        "/",
        "/snapshots",
        "/nowhere",
        &format!("/target?target={target}"),
    ] {
        let page = html(&exporter, uri).await.text();
        let links = page.split(" href=\"").chain(page.split(" action=\""));
        let links: Vec<&str> = links
            .filter_map(|rest| rest.split_once('"'))
            .map(|(link, _)| link)
            .filter(|link| !link.starts_with('<'))
            .collect();
        assert!(links.len() > 4, "{uri}");
        for link in links {
            let inside = ["/ge/", "#", "data:"]
                .iter()
                .any(|start| link.starts_with(start));
            assert!(inside, "{uri}: {link}");
        }
    }
}

#[tokio::test]
async fn profiles_are_for_those_who_may_have_them() {
    let target = target(PROFILE).await;
    let uri = format!("/target/profile?target={target}");
    let closed = Exporter::new("");
    closed
        .get(&uri)
        .await
        .is(StatusCode::FORBIDDEN, "--web.enable-lifecycle");
    let page = closed.get(&format!("/target?target={target}")).await.text();
    assert!(!page.contains("target/profile"), "{page}");
    let open = Exporter::with(
        "",
        ServeOptions {
            enable_lifecycle: true,
            ..options()
        },
    );
    let answer = open.get(&uri).await;
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (StatusCode::OK, PROFILE)
    );
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let disposition = answer.headers["content-disposition"].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment; filename=\"goroutine-127.0.0.1_"),
        "{disposition}"
    );
    let nobody = open.get("/target/profile?target=127.0.0.1:1").await;
    nobody.is(StatusCode::BAD_GATEWAY, "could not be read");
}

#[tokio::test]
async fn forms_keep_and_delete_and_other_sites_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("storage: {{ path: '{}' }}", folder.path().display());
    let exporter = Exporter::with(
        &storage,
        ServeOptions {
            enable_lifecycle: true,
            ..options()
        },
    );
    let target = target(PROFILE).await;
    let uri = format!("/snapshots?target={target}");
    let kept = post(&exporter, &uri, &[]).await;
    assert_eq!(kept.status, StatusCode::SEE_OTHER, "{}", kept.text());
    let page = format!("/{}", kept.headers["location"].to_str().unwrap());
    let delete = format!("{page}/delete");
    html(&exporter, &page)
        .await
        .is(StatusCode::OK, "somebody asked for it");
    html(&exporter, &format!("{page}?against=gone"))
        .await
        .is(StatusCode::OK, "Snapshot of");
    let elsewhere = post(&exporter, &delete, &[("sec-fetch-site", "cross-site")]).await;
    elsewhere.is(StatusCode::FORBIDDEN, "another site");
    html(&exporter, &page).await.is(StatusCode::OK, "");
    let gone = post(&exporter, &delete, &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
    assert_eq!(gone.headers["location"], "../../snapshots");
    html(&exporter, &page)
        .await
        .is(StatusCode::NOT_FOUND, "no snapshot");
    let closed = Exporter::new(&storage);
    let refused = post(&closed, &delete, &[]).await;
    refused.is(StatusCode::FORBIDDEN, "--web.enable-lifecycle");
}
