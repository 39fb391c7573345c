//! The effective configuration back in the shape of the YAML: what `/config` shows.
//!
//! Every default is written out. Secrets given in the configuration are hidden by their type; secrets in files
//! show the file's name.

use crate::fetch::{Auth, FetchSpec, Pem, TlsSpec, TlsVersion};
use crate::policy::{AllowEntry, Place};
use crate::secret::{HIDDEN, Secret};
use crate::units::{DurationText, SizeText};

use super::raw::{
    RawAllow, RawAuthorization, RawBasicAuth, RawClassify, RawConfig, RawDetail, RawHeader,
    RawHttp, RawLeak, RawLimits, RawModule, RawProbes, RawSecret, RawStorage, RawTarget, RawTls,
    RawTrace, UniqueMap,
};
use super::{Config, Module, Profile, StaticTarget, discovery, godebug};

/// Writes everything out.
pub(super) fn render(config: &Config) -> RawConfig {
    let modules = config
        .modules
        .iter()
        .map(|(name, found)| (name.to_string(), Some(module(found))))
        .collect();
    RawConfig {
        modules: Some(UniqueMap(modules)),
        targets: Some(config.targets.iter().map(target).collect()),
        file_sd_configs: Some(discovery::render_files(&config.file_sd)),
        dns_sd_configs: Some(discovery::render_names(&config.dns_sd)),
        godebug: Some(godebug::render(&config.godebug)),
        allow: config
            .allow
            .as_ref()
            .map(|entries| entries.iter().map(allow).collect()),
        probes: Some(RawProbes {
            per_target: Some(number(config.probes.per_target)),
            total: Some(number(config.probes.total)),
            tracked_targets: Some(number(config.probes.tracked_targets)),
            forget_after: Some(DurationText(config.probes.forget_after).to_string()),
        }),
        storage: Some(RawStorage {
            path: Some(config.storage.path.display().to_string()),
            max_bytes: Some(SizeText(config.storage.bounds.max_bytes).to_string()),
            per_target: Some(number(config.storage.bounds.per_target)),
            max_age: Some(DurationText(config.storage.bounds.max_age).to_string()),
        }),
    }
}

/// Writes one module out.
pub(super) fn module(module: &Module) -> RawModule {
    RawModule {
        path: Some(if module.path.is_empty() {
            "/".to_owned()
        } else {
            module.path.clone()
        }),
        timeout: Some(DurationText(module.timeout).to_string()),
        profiles: Some(
            module
                .profiles
                .iter()
                .copied()
                .map(Profile::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        http: Some(http(&module.fetch)),
        detail: Some(RawDetail {
            mode: Some(module.detail.mode.as_str().to_owned()),
            source: Some(module.detail.source.as_str().to_owned()),
            max_frames: Some(module.detail.max_frames),
            min_interval: Some(DurationText(module.detail.min_interval).to_string()),
        }),
        leak: Some(RawLeak {
            max_goroutines: Some(module.leak.max_goroutines),
            min_interval: Some(DurationText(module.leak.min_interval).to_string()),
        }),
        trace: Some(RawTrace {
            mode: Some(module.trace.mode.as_str().to_owned()),
            min_interval: Some(DurationText(module.trace.min_interval).to_string()),
            window: Some(DurationText(module.trace.window).to_string()),
            max_bytes: Some(SizeText(module.trace.max_bytes).to_string()),
            max_goroutines: Some(module.trace.max_goroutines),
        }),
        classify: Some(RawClassify {
            plumbing: Some(module.classify.plumbing.clone()),
            app_packages: Some(module.classify.app_packages.clone()),
            labels: Some(module.classify.labels.clone()),
            watch: Some(UniqueMap(module.classify.watch.clone())),
        }),
        limits: Some(RawLimits {
            groups: Some(number(module.series.groups)),
            min_goroutines: Some(module.series.min_goroutines),
            min_ratio: Some(module.series.min_ratio),
            body_bytes: Some(SizeText(module.body_bytes).to_string()),
            detail_body_bytes: Some(SizeText(module.detail_body_bytes).to_string()),
            inflated_bytes: Some(SizeText(module.decode.inflated_bytes).to_string()),
        }),
        allow: module
            .allow
            .as_ref()
            .map(|entries| entries.iter().map(allow).collect()),
    }
}

/// The same without addresses.
pub(super) fn module_for_askers(known: &Module) -> RawModule {
    let mut raw = module(known);
    raw.allow = None;
    if let Some(http) = &mut raw.http {
        http.proxy_url = http.proxy_url.as_ref().map(|_| HIDDEN.to_owned());
    }
    raw
}

fn http(spec: &FetchSpec) -> RawHttp {
    let mut http = RawHttp {
        tls_config: Some(tls(&spec.tls)),
        proxy_url: spec.proxy.as_ref().map(ToString::to_string),
        follow_redirects: Some(spec.follow_redirects),
        enable_http2: Some(spec.http2),
        credentials_over_http: Some(spec.credentials_over_http),
        ..RawHttp::default()
    };
    match &spec.auth {
        Some(Auth::Basic { username, password }) => {
            let (password, password_file) = secret(password);
            http.basic_auth = Some(RawBasicAuth {
                username: Some(username.clone()),
                password,
                password_file,
            });
        }
        Some(Auth::Scheme {
            scheme,
            credentials,
        }) => {
            let (credentials, credentials_file) = secret(credentials);
            http.authorization = Some(RawAuthorization {
                scheme: Some(scheme.clone()),
                credentials,
                credentials_file,
            });
        }
        None => {}
    }
    let mut headers: Vec<(String, RawHeader)> = Vec::new();
    for (name, value) in &spec.headers {
        // Values of one header stand next to each other.
        if headers.last().is_none_or(|(last, _)| last != name) {
            headers.push((name.clone(), RawHeader::default()));
        }
        if let Some((_, header)) = headers.last_mut() {
            let (inline, file) = secret(value);
            header.secrets.extend(inline);
            header.files.extend(file);
        }
    }
    http.http_headers = (!headers.is_empty()).then_some(UniqueMap(headers));
    http
}

fn tls(spec: &TlsSpec) -> RawTls {
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls12 => "TLS12".to_owned(),
        TlsVersion::Tls13 => "TLS13".to_owned(),
    };
    let (ca, ca_file) = spec.ca.as_ref().map(pem).unwrap_or_default();
    let (cert, cert_file) = spec
        .identity
        .as_ref()
        .map(|identity| pem(&identity.cert))
        .unwrap_or_default();
    let (key, key_file) = spec
        .identity
        .as_ref()
        .map(|identity| secret(&identity.key))
        .unwrap_or_default();
    RawTls {
        ca,
        ca_file,
        cert,
        cert_file,
        key,
        key_file,
        server_name: spec.server_name.clone(),
        insecure_skip_verify: Some(spec.insecure_skip_verify),
        min_version: spec.min_version.map(version),
        max_version: spec.max_version.map(version),
    }
}

fn secret(secret: &Secret) -> (Option<RawSecret>, Option<String>) {
    match secret {
        Secret::Inline(text) => (Some(RawSecret(text.clone())), None),
        Secret::File(path) => (None, Some(path.display().to_string())),
    }
}

fn pem(pem: &Pem) -> (Option<String>, Option<String>) {
    match pem {
        Pem::Inline(text) => (Some(text.clone()), None),
        Pem::File(path) => (None, Some(path.display().to_string())),
    }
}

fn target(target: &StaticTarget) -> RawTarget {
    let labels = target
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    RawTarget {
        url: Some(target.target.to_string()),
        module: Some(target.module.to_string()),
        labels: Some(UniqueMap(labels)),
    }
}

fn number(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn allow(entry: &AllowEntry) -> RawAllow {
    let ports = entry.ports.iter().copied().map(u64::from).collect();
    let raw = RawAllow {
        ports: (!entry.ports.is_empty()).then_some(ports),
        ..RawAllow::default()
    };
    match &entry.place {
        Place::Cidr(net) => RawAllow {
            cidr: Some(net.to_string()),
            ..raw
        },
        Place::Host(host) => RawAllow {
            host: Some(host.to_string()),
            ..raw
        },
        Place::Socket(path) => RawAllow {
            path: Some(path.to_string()),
            ..raw
        },
    }
}

#[cfg(test)]
mod tests;
