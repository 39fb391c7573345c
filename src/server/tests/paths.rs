//! Static targets, reloads, and the paths for operators.

use super::*;

#[tokio::test]
async fn static_targets_are_probed_together_and_apart() {
    let good = target(PROFILE).await;
    let bad = target((StatusCode::INTERNAL_SERVER_ERROR, "no")).await;
    let exporter = Exporter::with(
        &format!(
            "targets:\n- {{ url: \"{good}\", labels: {{ env: prod }} }}\n- {{ url: \"{bad}\" }}\n- {{ url: \"169.254.1.1:80\" }}\n"
        ),
        ServeOptions {
            listens_on_loopback: false,
            ..options()
        },
    );
    let answer = exporter.get("/targets/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_valid(&answer.text());
    answer.has(&format!(
        r#"goroutine_probe_success{{target="http://{good}",env="prod"}} 1"#
    ));
    answer.has(&format!(
        r#"goroutine_probe_success{{target="http://{bad}"}} 0"#
    ));
    answer.has(&format!(
        r#"goroutine_probe_failure{{target="http://{bad}",reason="http_status"}} 1"#
    ));
    answer.has(r#"goroutine_probe_success{target="http://169.254.1.1:80"} 0"#);

    let one = exporter
        .get(&format!("/targets/metrics?target={bad}"))
        .await;
    assert!(!one.text().contains(&good.to_string()), "{}", one.text());
    one.has(&format!(
        r#"goroutine_probe_success{{target="http://{bad}"}} 0"#
    ));

    let page = exporter.get("/").await;
    page.is(StatusCode::OK, "failed: http_status");
    page.is(StatusCode::OK, "not probed yet");
}

#[tokio::test]
async fn without_static_targets_the_answer_is_empty() {
    let answer = Exporter::new("").get("/targets/metrics").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::OK, "")
    );
}

#[tokio::test]
async fn more_static_targets_than_places() {
    let mut yaml = "probes: { total: 1 }\ntargets:\n".to_owned();
    for _ in 0..5 {
        writeln!(yaml, "- {{ url: \"{}\" }}", target(PROFILE).await).unwrap();
    }
    let answer = Exporter::new(&yaml).get("/targets/metrics").await;
    let successes = answer
        .text()
        .lines()
        .filter(|l| l.starts_with("goroutine_probe_success") && l.ends_with(" 1"))
        .count();
    assert_eq!(successes, 5, "{}", answer.text());
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let exporter = Exporter::new("");
    for uri in [
        "/",
        "/metrics",
        "/config",
        "/-/healthy",
        "/-/ready",
        "/probe",
        "/nothing/here",
        "/-/reload",
    ] {
        let answer = exporter.get(uri).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{uri}");
        assert_eq!(answer.headers["referrer-policy"], "same-origin", "{uri}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{uri}: {policy}"
        );
    }
    exporter
        .get("/nothing/here")
        .await
        .is(StatusCode::NOT_FOUND, "There is nothing here");
    exporter
        .get("/-/healthy")
        .await
        .is(StatusCode::OK, "healthy");
    exporter.get("/-/ready").await.is(StatusCode::OK, "ready");
    exporter
        .get("/")
        .await
        .is(StatusCode::OK, "None are configured.");
}

#[tokio::test]
async fn the_configuration_is_shown_without_secrets() {
    let yaml = "modules: { default: { http: { authorization: { credentials: hunter2 } } } }";
    let answer = Exporter::new(yaml).get("/config").await;
    answer.is(StatusCode::OK, "<secret>");
    assert!(!answer.text().contains("hunter2"));
}

#[tokio::test]
async fn reloading() {
    let post = || Request::post("/-/reload").body(Body::empty()).unwrap();
    let closed = Exporter::new("");
    closed
        .send(post())
        .await
        .is(StatusCode::FORBIDDEN, "--web.enable-lifecycle");
    closed
        .get("/-/reload")
        .await
        .is(StatusCode::METHOD_NOT_ALLOWED, "method");

    let exporter = Exporter::with(
        "",
        ServeOptions {
            enable_lifecycle: true,
            ..options()
        },
    );
    exporter.write("modules: { added: {} }");
    exporter.send(post()).await.is(StatusCode::OK, "reloaded");
    exporter.get("/config").await.is(StatusCode::OK, "added:");
    exporter
        .until(r#"goroutine_exporter_probes_total{module="added",result="success"} 0"#)
        .await;

    let check = async |yaml: &str, part: &str| {
        exporter.write(yaml);
        let answer = exporter.send(post()).await;
        answer.is(StatusCode::INTERNAL_SERVER_ERROR, part);
        exporter.get("/config").await.is(StatusCode::OK, "added:");
        exporter
            .until("goroutine_exporter_config_last_reload_successful 0")
            .await;
    };
    check("modules: { default: { tiemout: 1s } }", "exporter.yml:1:").await;
    check(
        "modules: { default: { http: { tls_config: { ca_file: /nonexistent.pem } } } }",
        "modules.default.http",
    )
    .await;

    exporter.write("");
    exporter.send(post()).await.is(StatusCode::OK, "reloaded");
    exporter
        .until("goroutine_exporter_config_last_reload_successful 1")
        .await;
}

#[tokio::test]
async fn a_reload_changes_who_may_be_probed() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new("");
    let uri = format!("/probe?target={address}");
    exporter.get(&uri).await.has("goroutine_probe_success 1");
    exporter.write("allow: [{ cidr: 10.0.0.0/8 }]");
    exporter.app.reload().unwrap();
    exporter
        .get(&uri)
        .await
        .is(StatusCode::FORBIDDEN, "not allowed");
    exporter.write("allow: [{ cidr: 127.0.0.0/8 }]");
    exporter.app.reload_if_changed().unwrap();
    exporter.get(&uri).await.has("goroutine_probe_success 1");
}
