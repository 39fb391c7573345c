//! What probes of all kinds of targets are answered with.

use super::*;

#[tokio::test]
async fn a_real_profile_becomes_metrics() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new("");
    let answer = exporter.get(&format!("/probe?target={address}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text();
    assert_valid(&text);
    answer.has("goroutine_probe_success 1");
    answer.has(r#"goroutine_profile_supported{profile="goroutine"} 1"#);
    answer.has(&format!(
        r#"goroutine_profile_body_bytes{{profile="goroutine"}} {}"#,
        PROFILE.len()
    ));
    for phase in ["connect", "first_byte", "transfer", "decode", "classify"] {
        let name = format!("goroutine_probe_phase_duration_seconds{{phase=\"{phase}\"}} ");
        assert!(text.contains(&name), "{phase} in:\n{text}");
    }
    let of = |name: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    };
    let total = of("goroutine_goroutines ");
    assert!(total > 100, "{text}");
    assert_eq!(
        of("goroutine_group_goroutines{") + of("goroutine_other_goroutines "),
        total
    );
    assert_eq!(of("goroutine_wait_reason_goroutines{"), total);
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="success"} 1"#)
        .await;
    exporter.until("goroutine_exporter_tracked_targets 1").await;
    exporter
        .until(&format!(
            r#"goroutine_exporter_fetched_bytes_total{{profile="goroutine"}} {}"#,
            PROFILE.len()
        ))
        .await;
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_accept_it() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new("");
    let request =
        Request::get(format!("/probe?target={address}")).header("accept-encoding", "gzip");
    let answer = exporter.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert_valid(&encoding::gunzip(&answer.body));
}

#[tokio::test]
async fn failures_of_a_target_are_answers_with_a_reason() {
    let exporter = Exporter::new("modules: { default: { limits: { body_bytes: 100000 } } }");
    let check = async |address: SocketAddr, reason: &str| {
        let answer = exporter.get(&format!("/probe?target={address}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_valid(&answer.text());
        answer.has("goroutine_probe_success 0");
        answer.has(&format!(
            r#"goroutine_probe_failure{{reason="{reason}"}} 1"#
        ));
        assert!(
            !answer.text().contains("goroutine_goroutines "),
            "{}",
            answer.text()
        );
    };
    let html = [("content-type", "text/html")];
    check(
        target((html, "<html><title>Login</title></html>")).await,
        "not_pprof",
    )
    .await;
    check(target("").await, "not_pprof").await;
    check(target(vec![b'x'; 100_001]).await, "too_large").await;
    check(
        target((StatusCode::UNAUTHORIZED, "no")).await,
        "http_status",
    )
    .await;
    check(target(&PROFILE[..PROFILE.len() / 2]).await, "decode").await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    check(closed, "connect").await;
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n\x1f\x8b";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(cut).await.unwrap();
    });
    check(address, "decode").await;
    exporter
        .until(r#"goroutine_exporter_probes_total{module="default",result="decode"} 2"#)
        .await;
}

#[tokio::test]
async fn a_target_without_the_profile_is_told_apart() {
    let address = target((
        StatusCode::NOT_FOUND,
        [("x-go-pprof", "1")],
        "Unknown profile\n",
    ))
    .await;
    let answer = Exporter::new("")
        .get(&format!("/probe?target={address}"))
        .await;
    answer.has(r#"goroutine_probe_failure{reason="http_status"} 1"#);
    answer.has(r#"goroutine_profile_supported{profile="goroutine"} 0"#);
}

#[tokio::test]
async fn text_cut_on_its_way_shows_what_arrived() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: close\r\n\r\ngoroutine profile: total 5\n3 @ 0x1 0x2\n#\t0x1\tmain.work+0x1\t/src/main.go:9\n\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(cut).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let answer = Exporter::new("")
        .get(&format!("/probe?target={address}"))
        .await;
    assert_valid(&answer.text());
    answer.has("goroutine_probe_success 0");
    answer.has(r#"goroutine_probe_failure{reason="decode"} 1"#);
    answer.has(r#"goroutine_profile_truncated{profile="goroutine"} 1"#);
    answer.has("goroutine_goroutines 3");
}

#[tokio::test]
async fn the_story_of_a_probe() {
    let address = target(PROFILE).await;
    let exporter = Exporter::new(
        "modules: { default: { http: { basic_auth: { username: me, password: hunter2 }, credentials_over_http: true } } }\nallow: [{ cidr: 127.0.0.1/32 }]",
    );
    let answer = exporter
        .get(&format!("/probe?target={address}&debug=true"))
        .await;
    answer.is(
        StatusCode::OK,
        &format!("Probe of http://{address} with module default"),
    );
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    let text = answer.text();
    for part in [
        "  succeeded\n",
        "  encoding  protobuf\n",
        "  goroutine_probe_success 1\n",
        "username: me",
        "<secret>",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}
