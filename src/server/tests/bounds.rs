//! What is refused, what is bounded, and what ends early.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn what_the_asker_got_wrong_is_400() {
    let exporter = Exporter::new("modules: { a: { timeout: 1s }, b: { timeout: 2s } }");
    let check =
        async |uri: &str, part: &str| exporter.get(uri).await.is(StatusCode::BAD_REQUEST, part);
    check("/probe", "target is missing").await;
    check("/probe?target=a:1&target=b:1", "once").await;
    check("/probe?target=a:1&module=nope", "no module \"nope\"").await;
    check("/probe?target=a:1&module=a&module=b", "differ").await;
    check("/probe?target=ftp://a", "scheme").await;
    check("/targets/metrics?target=a:1", "no target").await;
    let headed = Request::get("/probe?target=127.0.0.1:1")
        .header("X-Prometheus-Scrape-Timeout-Seconds", "soon");
    exporter
        .send(headed.body(Body::empty()).unwrap())
        .await
        .is(StatusCode::BAD_REQUEST, "number of seconds");
    let with_body = Request::get("/probe?target=127.0.0.1:1")
        .body(Body::from("x"))
        .unwrap();
    exporter
        .send(with_body)
        .await
        .is(StatusCode::BAD_REQUEST, "body");
    exporter
        .until("goroutine_exporter_unknown_module_total 1")
        .await;
    exporter
        .until("goroutine_exporter_probes_in_flight 0")
        .await;
}

#[tokio::test]
async fn a_target_that_is_not_allowed_is_403_with_the_entry_that_would_allow_it() {
    let exporter = Exporter::with(
        "",
        ServeOptions {
            listens_on_loopback: false,
            ..options()
        },
    );
    let answer = exporter.get("/probe?target=127.0.0.1:6060").await;
    answer.is(
        StatusCode::FORBIDDEN,
        r#"allow: [{cidr: "127.0.0.1/32", ports: [6060]}]"#,
    );
    exporter
        .get("/probe?target=169.254.169.254:80")
        .await
        .is(StatusCode::FORBIDDEN, "169.254.169.254");
    exporter
        .until(r#"goroutine_exporter_targets_refused_total{reason="not_allowed"} 1"#)
        .await;
    exporter
        .until(r#"goroutine_exporter_targets_refused_total{reason="floor"} 1"#)
        .await;
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="canceled"} 0"#)
        .await;
    assert!(exporter.app.history.entries().is_empty());
}

#[tokio::test]
async fn an_empty_allow_list_closes_loopback_too() {
    Exporter::new("allow: []")
        .get("/probe?target=127.0.0.1:1")
        .await
        .is(StatusCode::FORBIDDEN, "not allowed");
    let any = ServeOptions {
        allow_any_target: true,
        ..options()
    };
    Exporter::with("allow: []", any)
        .get("/probe?target=127.0.0.1:1")
        .await
        .is(StatusCode::FORBIDDEN, "not allowed");
}

#[tokio::test]
async fn too_many_probes_at_once_are_503() {
    let check = async |yaml: &str, options: ServeOptions| {
        let (address, mut tells) = silent_target(b"").await;
        let exporter = Exporter::with(yaml, options);
        let uri = format!("/probe?target={address}");
        let first = exporter.get(&uri);
        let second = async {
            assert_eq!(next(&mut tells).await, "asked");
            exporter.get("/probe?target=127.0.0.1:1").await
        };
        // The first never ends; the second, which is another probe, is answered at once.
        let answer = tokio::select! { _ = first => panic!("answered"), answer = second => answer };
        answer.is(StatusCode::SERVICE_UNAVAILABLE, "too many probes");
        assert_eq!(answer.headers["retry-after"], "1");
        exporter
            .until(r#"goroutine_exporter_probes_total{module="default",result="busy"} 1"#)
            .await;
    };
    check(
        "",
        ServeOptions {
            max_requests: 1,
            ..options()
        },
    )
    .await;
    check("probes: { total: 1 }", options()).await;
}

#[tokio::test]
async fn who_asks_for_the_same_waits_for_it_and_needs_no_place() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (opened, asked) = (Arc::clone(&gate), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counted = Arc::clone(&asked);
    let answer = get(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        drop(opened.acquire().await);
        PROFILE
    });
    let app = Router::new().route("/debug/pprof/goroutine", answer);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let only_one = ServeOptions {
        max_requests: 1,
        ..options()
    };
    let exporter = Exporter::with(
        "modules: { default: { timeout: 1m, detail: { mode: off } } }",
        only_one,
    );
    let uri = format!("/probe?target={address}");
    let crowd = join_all((0..200).map(|_| exporter.get(&uri)));
    let open = async {
        exporter
            .until("goroutine_exporter_probes_coalesced_total 199")
            .await;
        gate.add_permits(1);
    };
    let (answers, ()) = tokio::join!(crowd, open);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let first = answers[0].text();
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK);
        answer.has("goroutine_probe_success 1");
        assert_eq!(answer.text(), first, "another look than the first");
    }
    let read = r#"goroutine_profile_timestamp_seconds{profile="goroutine"} "#;
    assert!(first.contains(read), "{first}");
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="success"} 1"#)
        .await;
    // Nothing was kept: who asks now gets a look of its own.
    exporter.get(&uri).await.has("goroutine_probe_success 1");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_scraper_that_hangs_up_ends_the_fetch() {
    let (address, mut tells) =
        silent_target(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nhalf").await;
    let exporter = Exporter::new("");
    let uri = format!("/probe?target={address}");
    tokio::select! {
        _ = exporter.get(&uri) => panic!("answered"),
        told = next(&mut tells) => assert_eq!(told, "asked"),
    }
    assert_eq!(next(&mut tells).await, "closed");
    exporter
        .until("goroutine_exporter_probes_in_flight 0")
        .await;
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="canceled"} 1"#)
        .await;
}

#[tokio::test]
async fn a_scraper_that_closes_its_connection_ends_the_fetch() {
    let (address, mut tells) = silent_target(b"").await;
    let exporter = Exporter::new("");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = listener.local_addr().unwrap();
    let limits = listen::ListenLimits {
        connections: 9,
        patience: listen::PATIENCE,
        drain: SOON,
    };
    let app = router(Arc::clone(&exporter.app));
    tokio::spawn(listen::serve(
        vec![listener],
        app,
        None,
        limits,
        std::future::pending(),
    ));
    let mut scraper = TcpStream::connect(served).await.unwrap();
    let request = format!("GET /probe?target={address} HTTP/1.1\r\nHost: a\r\n\r\n");
    scraper.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(next(&mut tells).await, "asked");
    let left = Instant::now();
    drop(scraper);
    assert_eq!(next(&mut tells).await, "closed");
    assert!(
        left.elapsed() < Duration::from_secs(1),
        "{:?}",
        left.elapsed()
    );
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="canceled"} 1"#)
        .await;
}

#[tokio::test]
async fn the_scrapers_patience_ends_a_probe() {
    let (address, mut tells) = silent_target(b"").await;
    let exporter = Exporter::new("");
    let request = Request::get(format!("/probe?target={address}"))
        .header("x-prometheus-scrape-timeout-seconds", "0.2");
    let answer = exporter.send(request.body(Body::empty()).unwrap()).await;
    answer.has(r#"goroutine_probe_failure{reason="timeout"} 1"#);
    assert_eq!(next(&mut tells).await, "asked");
    assert_eq!(next(&mut tells).await, "closed");
}

#[tokio::test]
async fn a_target_is_probed_one_at_a_time() {
    let (address, mut tells) = silent_target(b"").await;
    let exporter = Exporter::new("modules: { default: { timeout: 1s }, slow: { timeout: 30s } }");
    let slow = format!("/probe?target={address}&module=slow");
    let second = async {
        assert_eq!(next(&mut tells).await, "asked");
        exporter
            .get(&format!("/probe?target={address}&debug=true"))
            .await
    };
    let answer =
        tokio::select! { _ = exporter.get(&slow) => panic!("answered"), answer = second => answer };
    answer.is(
        StatusCode::OK,
        "timeout: the deadline passed while waiting for other probes of this target",
    );
    assert!(tells.try_recv().is_err(), "the target was asked twice");
}

#[tokio::test]
async fn a_probe_under_another_configuration_is_another_one() {
    let (address, mut tells) = silent_target(b"").await;
    let exporter = Exporter::new("probes: { per_target: 2 }");
    let uri = format!("/probe?target={address}");
    let second = async {
        assert_eq!(next(&mut tells).await, "asked");
        exporter.app.reload().unwrap();
        tokio::select! {
            _ = exporter.get(&uri) => panic!("answered"),
            told = next(&mut tells) => assert_eq!(told, "asked"),
        }
    };
    tokio::select! { _ = exporter.get(&uri) => panic!("answered"), () = second => () }
    exporter
        .until("goroutine_exporter_probes_coalesced_total 0")
        .await;
}

#[tokio::test]
async fn answers_are_counted_until_they_are_gone() {
    let exporter = Exporter::new("");
    let app = &exporter.app;
    let asked = Request::get("/metrics").body(Body::empty()).unwrap();
    let answer = router(Arc::clone(app)).oneshot(asked).await.unwrap();
    assert_eq!(app.answers.available_permits(), crowd::MAX_ANSWERS - 1);
    drop(to_bytes(answer.into_body(), usize::MAX).await.unwrap());
    assert_eq!(app.answers.available_permits(), crowd::MAX_ANSWERS);

    let all = app.answers.acquire_many(1024).await.unwrap();
    for path in ["/", "/metrics", "/probe?target=127.0.0.1:1", "/nowhere"] {
        let answer = exporter.get(path).await;
        answer.is(StatusCode::SERVICE_UNAVAILABLE, "too many requests");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    exporter.get("/-/healthy").await.is(StatusCode::OK, "");
    exporter.get("/-/ready").await.is(StatusCode::OK, "");
    drop(all);
    exporter.get("/").await.is(StatusCode::OK, "");
}

#[tokio::test]
async fn static_targets_in_answers_are_bounded() {
    let exporter = Exporter::new(
        "targets: [{ url: \"127.0.0.1:1\" }, { url: \"127.0.0.1:2\" }]\nmodules: { default: { timeout: 1s } }",
    );
    let held = exporter.app.swept.acquire_many(19_999).await.unwrap();
    exporter
        .get("/targets/metrics")
        .await
        .is(StatusCode::SERVICE_UNAVAILABLE, "static targets");
    let one = "/targets/metrics?target=127.0.0.1:1";
    exporter.get(one).await.is(StatusCode::OK, "connect");
    drop(held);
    exporter
        .get("/targets/metrics")
        .await
        .is(StatusCode::OK, "");
}

#[tokio::test]
async fn modules_that_are_gone_leave_no_series() {
    let exporter = Exporter::new("modules: { a: {}, b: {} }");
    for n in 0..20 {
        exporter.write(&format!("modules: {{ a: {{}}, m{n}: {{}} }}"));
        exporter.app.reload().unwrap();
    }
    let metrics = exporter.metrics().await;
    for (module, there) in [("a", true), ("b", false), ("m3", false), ("m19", true)] {
        let label = format!("module=\"{module}\"");
        assert_eq!(metrics.contains(&label), there, "{module}");
    }
}

#[tokio::test]
async fn while_it_stops_it_is_healthy_and_not_ready() {
    let exporter = Exporter::new("");
    exporter
        .get("/-/ready")
        .await
        .is(StatusCode::OK, "is ready");
    exporter.app.stop();
    let answer = exporter.get("/-/ready").await;
    answer.is(StatusCode::SERVICE_UNAVAILABLE, "is stopping");
    exporter.get("/-/healthy").await.is(StatusCode::OK, "");
}
