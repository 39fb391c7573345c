//! Two exporters and two Prometheus servers, as `examples/prometheus/replicas.yml` has them.

use std::fs;

use serde_json::{Value, json};

use super::recipes::configurations;
use crate::programs::{Exporter, until};
use crate::prometheus::Prometheus;
use crate::servers::Server;

/// So many that it cannot be by chance (one in 32,768) that they all fall to one exporter.
const TARGETS: usize = 16;

#[test]
fn two_servers_ask_the_same_exporter_for_a_target() {
    let servers: Vec<Server> = (0..TARGETS).map(|_| Server::healthy()).collect();
    let mut exporters = [Exporter::start(""), Exporter::start("")];
    let folder = tempfile::tempdir().unwrap();
    let targets: Vec<String> = servers.iter().map(Server::target).collect();
    let groups = json!([{ "targets": targets }]);
    fs::write(folder.path().join("targets.json"), groups.to_string()).unwrap();
    let (_, config) = configurations()
        .into_iter()
        .find(|(file, _)| file == "prometheus/replicas.yml")
        .unwrap();
    let mut text = config.to_string();
    for (number, exporter) in exporters.iter().enumerate() {
        let name = format!("exporter-{number}.example:16060");
        assert!(text.contains(&name));
        text = text.replace(&name, &exporter.address.to_string());
    }
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["global"]["scrape_interval"] = json!("1s");
    config["rule_files"] = json!([]);
    config["scrape_configs"][0]["file_sd_configs"][0]["files"] = json!(["targets.json"]);
    let start = |name: &str| {
        let own = folder.path().join(name);
        fs::create_dir(&own).unwrap();
        fs::copy(folder.path().join("targets.json"), own.join("targets.json")).unwrap();
        Prometheus::with(&own, &config.to_string())
    };
    if !crate::prometheus::have("prometheus") {
        return;
    }
    let prometheus = [start("a").unwrap(), start("b").unwrap()];
    let expected = f64::from(u8::try_from(TARGETS).unwrap());
    for one in &prometheus {
        one.becomes("sum(goroutine_probe_success)", expected);
        one.becomes("sum(up{job=\"goroutine_exporter\"})", 2.0);
    }
    // Each exporter knows its own targets only, although both servers asked for all.
    let tracked = exporters.each_ref().map(|exporter| {
        let metrics = exporter.metrics();
        metrics
            .value("goroutine_exporter_tracked_targets", &[])
            .unwrap()
    });
    assert!(
        (tracked[0] + tracked[1] - expected).abs() < f64::EPSILON,
        "{tracked:?}"
    );
    assert!(tracked[0] > 0.0 && tracked[1] > 0.0, "{tracked:?}");
    let lost = tracked[1];
    let left = expected - lost;
    let dead = &mut exporters[1];
    dead.program.signal("TERM");
    assert!(dead.program.wait().success());
    for one in &prometheus {
        until("its targets to be lost, and no others", || {
            let up = one.value("sum(up{job=\"goroutines\"})")?;
            let whole = one.value("count(up{job=\"goroutines\"})")?;
            ((up - left).abs() < f64::EPSILON && (whole - expected).abs() < f64::EPSILON)
                .then_some(())
        });
        one.becomes("sum(goroutine_probe_success)", left);
    }
    // Nobody asks another exporter for them: that would be a second budget.
    let metrics = exporters[0].metrics();
    metrics.is("goroutine_exporter_tracked_targets", &[], left);
}
