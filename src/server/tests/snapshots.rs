//! Snapshots over HTTP: who may have, take and delete them, and in which forms.

use super::*;
use crate::snapshots::SnapshotId;

fn stored(more: &str, lifecycle: bool) -> Exporter {
    let exporter = Exporter::with(
        "",
        ServeOptions {
            enable_lifecycle: lifecycle,
            ..options()
        },
    );
    exporter.write(&format!("storage: {{ path: kept }}\n{more}"));
    exporter.app.reload().unwrap();
    exporter
}

async fn post(exporter: &Exporter, uri: &str, headers: &[(&str, &str)]) -> Answer {
    send(exporter, "POST", uri, headers).await
}

async fn send(exporter: &Exporter, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    exporter.send(request.body(Body::empty()).unwrap()).await
}

fn json(answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.headers["content-type"], "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn without_storage_there_is_nothing() {
    let exporter = Exporter::with(
        "",
        ServeOptions {
            enable_lifecycle: true,
            ..options()
        },
    );
    let id = "20261125T023551Z-growth-00000000002a";
    for (method, uri) in [
        ("GET", "/snapshots".to_owned()),
        ("POST", "/snapshots?target=a:1".to_owned()),
        ("GET", format!("/snapshots/{id}?raw=1")),
        ("DELETE", format!("/snapshots/{id}")),
    ] {
        let answer = send(&exporter, method, &uri, &[]).await;
        answer.is(StatusCode::NOT_FOUND, "no snapshots are kept");
        assert_eq!(answer.text().lines().count(), 1);
    }
    let metrics = exporter.metrics().await;
    assert!(metrics.contains("goroutine_exporter_snapshots_total{trigger=\"manual\"} 0\n"));
    assert!(metrics.contains("goroutine_exporter_storage_bytes 0\n"));
}

#[tokio::test]
async fn one_that_is_taken_can_be_listed_shown_downloaded_and_deleted() {
    let exporter = stored("", true);
    let address = target(PROFILE).await;
    let taken = post(&exporter, &format!("/snapshots?target={address}"), &[]).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{}", taken.text());
    let id = taken.text().trim_end().to_owned();
    assert!(SnapshotId::parse(&id).is_some(), "{id}");
    assert_eq!(taken.headers["location"], format!("snapshots/{id}"));

    let raw = exporter.get(&format!("/snapshots/{id}?raw=1")).await;
    assert_eq!(raw.status, StatusCode::OK);
    assert_eq!(raw.headers["content-type"], "application/octet-stream");
    let port = address.port();
    assert_eq!(
        raw.headers["content-disposition"],
        format!("attachment; filename=\"goroutine-127.0.0.1_{port}-{id}.pb.gz\"")
    );
    // What a target sent is in it, behind another head.
    assert!(raw.body.ends_with(&PROFILE[10..]));
    let accept = [("accept", "application/octet-stream")];
    let same = send(&exporter, "GET", &format!("/snapshots/{id}"), &accept).await;
    assert_eq!(same.body, raw.body);

    for uri in ["/snapshots?format=json", "/snapshots"] {
        let listed = send(&exporter, "GET", uri, &[("accept", "application/json")]).await;
        let listed = json(&listed);
        let [entry] = listed.as_array().unwrap().as_slice() else {
            panic!("{listed}");
        };
        assert_eq!(entry["id"], id);
        assert_eq!(entry["target"], format!("http://{address}"));
        assert_eq!(entry["module"], "default");
        assert_eq!(entry["trigger"], "manual");
        assert_eq!(entry["bytes"], raw.body.len());
        assert!(entry["goroutines"].as_u64().unwrap() > 100);
        let time = entry["taken"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        let shown = exporter.get(&format!("/snapshots/{id}?format=json")).await;
        assert_eq!(&json(&shown), entry);
    }
    let other = exporter
        .get("/snapshots?format=json&target=http://other:1")
        .await;
    assert_eq!(other.text(), "[]");
    exporter
        .until("goroutine_exporter_snapshots_total{trigger=\"manual\"} 1")
        .await;
    let bytes = format!("goroutine_exporter_storage_bytes {}", raw.body.len());
    exporter.until(&bytes).await;

    let uri = format!("/snapshots/{id}");
    let deleted = send(&exporter, "DELETE", &uri, &[]).await;
    deleted.is(StatusCode::OK, "deleted");
    let again = send(&exporter, "DELETE", &uri, &[]).await;
    again.is(StatusCode::NOT_FOUND, "no snapshot of this id");
    exporter.until("goroutine_exporter_storage_bytes 0").await;
    // What asks for JSON gets the facts of the new one at once.
    let uri = format!("/snapshots?target={address}&format=json");
    let facts = json(&post(&exporter, &uri, &[]).await);
    assert_eq!(facts["trigger"], "manual");
}

#[tokio::test]
async fn ids_are_never_paths() {
    let exporter = stored("", true);
    for id in [
        "..%2f..%2fexporter.yml",
        "%2fetc%2fpasswd",
        ".goroutine_exporter.lock",
        "20261125T023551Z-growth-00000000002a",
        "x",
        "%00",
        "%ff",
    ] {
        for method in ["GET", "DELETE"] {
            let uri = format!("/snapshots/{id}?raw=1");
            let answer = send(&exporter, method, &uri, &[]).await;
            let refused = [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST];
            assert!(refused.contains(&answer.status), "{id}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn only_with_the_switch_and_not_from_other_sites() {
    let address = target(PROFILE).await;
    let uri = format!("/snapshots?target={address}");
    let closed = stored("", false);
    let answer = post(&closed, &uri, &[]).await;
    answer.is(StatusCode::FORBIDDEN, "--web.enable-lifecycle");
    // The list has nothing personal in it; profiles may.
    closed
        .get(&format!("/probe?target={address}"))
        .await
        .is(StatusCode::OK, "goroutine_probe_success 1");
    closed
        .until("goroutine_exporter_snapshots_total{trigger=\"baseline\"} 1")
        .await;
    let listed = json(&closed.get("/snapshots?format=json").await);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(listed[0]["trigger"], "baseline");
    let raw = closed.get(&format!("/snapshots/{id}?raw=1")).await;
    raw.is(StatusCode::FORBIDDEN, "personal data");
    let delete = send(&closed, "DELETE", &format!("/snapshots/{id}"), &[]).await;
    delete.is(StatusCode::FORBIDDEN, "--web.enable-lifecycle");

    let open = stored("", true);
    let elsewhere = [
        [("sec-fetch-site", "cross-site"), ("host", "a")],
        [("origin", "http://evil.example"), ("host", "a")],
    ];
    for headers in elsewhere {
        for (method, uri) in [
            ("POST", uri.as_str()),
            ("POST", "/-/reload"),
            ("DELETE", "/snapshots/x"),
        ] {
            let answer = send(&open, method, uri, &headers).await;
            answer.is(StatusCode::FORBIDDEN, "page of another site");
        }
    }
    let own = [("origin", "http://a:1"), ("host", "a:1")];
    let answer = post(&open, &uri, &own).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_or_a_target_is_said_and_nothing_is_kept() {
    let exporter = stored("modules: { other: { timeout: 9s } }\n", true);
    let broken = target((StatusCode::INTERNAL_SERVER_ERROR, "no")).await;
    let text = target("goroutine 1 [running]:\nmain.main()\n\t/a/main.go:1 +0x1\n").await;
    let good = target(PROFILE).await;
    let check = async |query: &str, status: StatusCode, part: &str| {
        let answer = post(&exporter, &format!("/snapshots{query}"), &[]).await;
        answer.is(status, part);
    };
    check("", StatusCode::BAD_REQUEST, "target is missing").await;
    check("?target=a", StatusCode::BAD_REQUEST, "no port").await;
    check("?target=a:1&module=x", StatusCode::BAD_REQUEST, "no module").await;
    let both = format!("?target={good}&module=other,default");
    check(&both, StatusCode::BAD_REQUEST, "cannot be probed together").await;
    check("?target=192.0.2.1:80", StatusCode::FORBIDDEN, "allow").await;
    let broken = format!("?target={broken}");
    check(&broken, StatusCode::BAD_GATEWAY, "could not be read").await;
    let text = format!("?target={text}");
    check(&text, StatusCode::BAD_GATEWAY, "does not open").await;
    assert_eq!(exporter.get("/snapshots?format=json").await.text(), "[]");

    let (silent, mut tells) = silent_target(b"").await;
    let only_one = Exporter::with(
        "storage: { path: kept }",
        ServeOptions {
            enable_lifecycle: true,
            max_requests: 1,
            ..options()
        },
    );
    let app = Arc::clone(&only_one.app);
    let request = Request::get(format!("/probe?target={silent}")).body(Body::empty());
    let probing = tokio::spawn(router(app).oneshot(request.unwrap()));
    assert_eq!(next(&mut tells).await, "asked");
    let answer = post(&only_one, &format!("/snapshots?target={good}"), &[]).await;
    answer.is(StatusCode::SERVICE_UNAVAILABLE, "too many probes");
    probing.abort();
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_costs_no_probe() {
    let exporter = Exporter::with(
        "storage: { path: exporter.yml }",
        ServeOptions {
            enable_lifecycle: true,
            ..options()
        },
    );
    let address = target(PROFILE).await;
    for _ in 0..3 {
        exporter
            .get(&format!("/probe?target={address}"))
            .await
            .is(StatusCode::OK, "goroutine_probe_success 1");
    }
    let answer = post(&exporter, &format!("/snapshots?target={address}"), &[]).await;
    answer.is(StatusCode::INSUFFICIENT_STORAGE, "cannot be used");
    // Those of the probes rest, after one that failed when it started.
    exporter
        .until("goroutine_exporter_snapshot_errors_total 1")
        .await;
    // Another folder comes with a reload, and bounds do.
    exporter.write("storage: { path: kept, per_target: 2 }");
    exporter.app.reload().unwrap();
    for _ in 0..3 {
        let answer = post(&exporter, &format!("/snapshots?target={address}"), &[]).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }
    let count = async || {
        let listed = json(&exporter.get("/snapshots?format=json").await);
        listed.as_array().unwrap().len()
    };
    assert_eq!(count().await, 2);
    exporter.write("storage: { path: kept, per_target: 1 }");
    exporter.app.reload().unwrap();
    assert_eq!(count().await, 1);
    exporter.write("");
    exporter.app.reload().unwrap();
    let gone = exporter.get("/snapshots").await;
    gone.is(StatusCode::NOT_FOUND, "no snapshots are kept");
}
