//! What a module says about where it may be used.

use super::*;

#[tokio::test]
async fn a_module_refuses_what_it_may_not_be_used_for() {
    let address = target(PROFILE).await;
    let port = address.port();
    let yaml = format!(
        "modules:
  default: {{}}
  narrow: {{ allow: [{{ host: app.example }}] }}
  secret: {{ http: {{ authorization: {{ credentials: hunter2 }}, credentials_over_http: true }} }}
  strict: {{ http: {{ authorization: {{ credentials: hunter2 }} }}, allow: [{{ cidr: 127.0.0.1/32 }}] }}
  named: {{ http: {{ http_headers: {{ X-Key: {{ values: [hunter2] }} }}, credentials_over_http: true }}, allow: [{{ cidr: 127.0.0.1/32, ports: [{port}] }}] }}
"
    );
    let exporter = Exporter::new(&yaml);
    let check = async |module: &str, status: StatusCode, words: &str| {
        for path in ["probe", "target", "probe?debug=true&x="] {
            let join = if path.contains('?') { "&" } else { "?" };
            let answer = exporter
                .get(&format!("/{path}{join}target={address}&module={module}"))
                .await;
            answer.is(status, words);
            assert!(!answer.text().contains("hunter2"), "{}", answer.text());
        }
    };
    let (refused, fine) = (StatusCode::FORBIDDEN, StatusCode::OK);
    check("default", fine, "").await;
    check("named", fine, "").await;
    let entry = format!(r#"{{cidr: "127.0.0.1/32", ports: [{port}]}}"#);
    let entry = entry.as_str();
    check(
        "narrow",
        refused,
        &format!("modules.narrow.allow: [{entry}]"),
    )
    .await;
    // Loopback is open to whoever asks, and so is nothing for credentials.
    check(
        "secret",
        refused,
        &format!("modules.secret.allow: [{entry}]"),
    )
    .await;
    check(
        "strict",
        refused,
        "modules.strict.http.credentials_over_http: true",
    )
    .await;
    let unknown = "/probe?target=http://nowhere.invalid:1&module=";
    let exporter_of_names = Exporter::new(
        "modules: { m: { http: { authorization: { credentials: hunter2 } }, allow: [{ host: nowhere.invalid }] } }\nallow: [{ host: nowhere.invalid }]",
    );
    // Refused before anybody is asked where that is.
    let answer = exporter_of_names.get(&format!("{unknown}m")).await;
    answer.is(refused, "modules.m.http.credentials_over_http: true");
    let metrics = exporter.metrics().await;
    for reason in ["module_allow", "credentials", "plain_http"] {
        let line = format!("goroutine_exporter_targets_refused_total{{reason=\"{reason}\"}} 3");
        assert!(
            metrics.lines().any(|known| known == line),
            "no {line} in:\n{metrics}"
        );
    }
}

#[tokio::test]
async fn a_static_target_gets_the_credentials_of_its_own_module_only() {
    let address = target(PROFILE).await;
    let yaml = format!(
        "modules:
  mine: {{ http: {{ authorization: {{ credentials: hunter2 }}, credentials_over_http: true }} }}
  other: {{ http: {{ authorization: {{ credentials: hunter3 }}, credentials_over_http: true }} }}
targets: [{{ url: 'http://{address}', module: mine }}]
"
    );
    let exporter = Exporter::new(&yaml);
    let probe = async |module: &str| {
        exporter
            .get(&format!("/probe?target={address}&module={module}"))
            .await
    };
    probe("mine").await.has("goroutine_probe_success 1");
    probe("other")
        .await
        .is(StatusCode::FORBIDDEN, "nor a static target of that module");
    // Both are the same but for their credentials, which no union hides.
    probe("mine,other")
        .await
        .is(StatusCode::BAD_REQUEST, "cannot be probed together");
}
