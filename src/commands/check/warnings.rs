//! What works, and yet is seldom meant.

use std::fs::File;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::config::{Config, KeyPath, Module};
use crate::fetch::{Auth, Pem};
use crate::policy::{AllowEntry, Defaults, Place, Policy, RefusalReason};
use crate::secret::Secret;
use crate::target::Endpoint;

/// Targets that are named in one warning, at most.
const MAX_NAMED: usize = 3;

/// All warnings, each with the key it is about.
pub(super) fn warnings(config: &Config) -> Vec<(KeyPath, String)> {
    let mut found = Vec::new();
    for module in config.modules().values() {
        let module_key = KeyPath::root().key("modules").key(module.name.as_str());
        let key = module_key.key("http");
        of_tls(module, &key, &mut found);
        of_credentials(config, module, &module_key, &mut found);
        of_proxy(config, module, &key, &mut found);
        of_files(module, &key, &mut found);
    }
    let key = KeyPath::root().key("allow");
    for (index, entry) in config.allow().unwrap_or_default().iter().enumerate() {
        of_allow(entry, &key.index(index), &mut found);
    }
    found
}

fn of_tls(module: &Module, key: &KeyPath, found: &mut Vec<(KeyPath, String)>) {
    if module.fetch.tls.insecure_skip_verify {
        let believed = "whoever answers is believed";
        let text = if module.fetch.sends_credentials() {
            format!("certificates are not verified: {believed}, and is sent the credentials")
        } else {
            format!("certificates are not verified: {believed}")
        };
        found.push((key.key("tls_config").key("insecure_skip_verify"), text));
    }
}

fn of_credentials(
    config: &Config,
    module: &Module,
    module_key: &KeyPath,
    found: &mut Vec<(KeyPath, String)>,
) {
    let key = &module_key.key("http");
    if !module.fetch.sends_credentials() {
        return;
    }
    if module.allow.is_none() {
        let entries = config.allow().unwrap_or_default();
        let wide: Vec<String> = entries.iter().filter_map(wide).take(MAX_NAMED).collect();
        if !wide.is_empty() {
            let text = format!(
                "the credentials are for whoever is at {}: name the targets they are for in an allow of this module",
                wide.join(", ")
            );
            found.push((module_key.clone(), text));
        }
    }
    if !module.fetch.credentials_over_http {
        return;
    }
    let plain: Vec<&str> = config
        .targets()
        .iter()
        .filter(|target| target.module == module.name)
        .map(|target| target.target.as_str())
        .filter(|target| target.starts_with("http:"))
        .collect();
    let named = plain
        .iter()
        .copied()
        .take(MAX_NAMED)
        .collect::<Vec<_>>()
        .join(", ");
    match plain.len().saturating_sub(MAX_NAMED) {
        _ if plain.is_empty() => found.push((
            key.key("credentials_over_http"),
            "credentials may go over plain HTTP, where everybody on the way can read them"
                .to_owned(),
        )),
        0 => found.push((
            key.clone(),
            format!("credentials go unencrypted to {named}"),
        )),
        more => found.push((
            key.clone(),
            format!("credentials go unencrypted to {named} and {more} more"),
        )),
    }
}

fn of_proxy(config: &Config, module: &Module, key: &KeyPath, found: &mut Vec<(KeyPath, String)>) {
    let Some(proxy) = &module.fetch.proxy else {
        return;
    };
    // Only with socks5 is the name resolved here and the address handed over.
    if proxy.scheme() == "socks5" {
        return;
    }
    let by_host = |entry: &AllowEntry| matches!(entry.place, Place::Host(_));
    let mut text =
        "this proxy resolves names itself, so that for targets by name only entries by host hold"
            .to_owned();
    if !config.allow().unwrap_or_default().iter().any(by_host) {
        text.push_str(
            "; there are none in allow, so that only static targets can be given by name",
        );
    }
    found.push((key.key("proxy_url"), text));
}

fn of_files(module: &Module, key: &KeyPath, found: &mut Vec<(KeyPath, String)>) {
    let spec = &module.fetch;
    let tls = key.key("tls_config");
    let mut secrets: Vec<(KeyPath, &Secret)> = Vec::new();
    let mut pems: Vec<(KeyPath, &Pem)> = Vec::new();
    match &spec.auth {
        Some(Auth::Basic { password, .. }) => {
            secrets.push((key.key("basic_auth").key("password_file"), password));
        }
        Some(Auth::Scheme { credentials, .. }) => {
            secrets.push((
                key.key("authorization").key("credentials_file"),
                credentials,
            ));
        }
        None => {}
    }
    let headers = key.key("http_headers");
    secrets.extend(
        spec.headers
            .iter()
            .map(|(name, value)| (headers.key(name).key("files"), value)),
    );
    pems.extend(spec.tls.ca.iter().map(|ca| (tls.key("ca_file"), ca)));
    if let Some(identity) = &spec.tls.identity {
        pems.push((tls.key("cert_file"), &identity.cert));
        secrets.push((tls.key("key_file"), &identity.key));
    }
    let in_pems = pems.into_iter().filter_map(|(key, pem)| match pem {
        Pem::File(path) => Some((key, path)),
        Pem::Inline(_) => None,
    });
    let in_secrets = secrets
        .into_iter()
        .filter_map(|(key, secret)| match secret {
            Secret::File(path) => Some((key, path)),
            Secret::Inline(_) => None,
        });
    for (key, path) in in_secrets.chain(in_pems) {
        // A directory opens, too, and a pipe would wait for somebody to write to it.
        let problem = match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => Some("is no file".to_owned()),
            Ok(_) => File::open(path)
                .err()
                .map(|problem| format!("cannot be read: {problem}")),
            Err(problem) => Some(format!("cannot be read: {problem}")),
        };
        found.extend(problem.map(|problem| (key, format!("{} {problem}", path.display()))));
    }
}

fn of_allow(entry: &AllowEntry, key: &KeyPath, found: &mut Vec<(KeyPath, String)>) {
    let Place::Cidr(net) = &entry.place else {
        return;
    };
    if net.prefix_len() == 0 {
        let family = if matches!(net, IpNet::V4(_)) {
            "IPv4"
        } else {
            "IPv6"
        };
        found.push((
            key.clone(),
            format!("permits every {family} address, those of internal services included"),
        ));
    }
    let port = entry.ports.first().copied().unwrap_or(80);
    let address = SocketAddr::new(net.addr(), port);
    let refused_by_floor = |policy: &Policy| {
        policy
            .check(&Endpoint::Address(address), &[address])
            .is_err_and(|refusal| refusal.reason() == RefusalReason::Floor)
    };
    let open = Policy::new(
        Vec::new(),
        &Defaults {
            any_target: true,
            ..Defaults::default()
        },
    );
    let lifted = Policy::new(vec![entry.clone()], &Defaults::default());
    if refused_by_floor(&open) && !refused_by_floor(&lifted) {
        let text = "permits addresses that are otherwise never probed; clouds hand out credentials on such ones";
        found.push((key.clone(), text.to_owned()));
    }
}

/// What an entry permits, when that is more than somebody named one by one: a larger network than most subnets are, or
/// every name below one.
fn wide(entry: &AllowEntry) -> Option<String> {
    match &entry.place {
        Place::Cidr(net @ IpNet::V4(_)) if net.prefix_len() < 24 => Some(net.to_string()),
        Place::Cidr(net @ IpNet::V6(_)) if net.prefix_len() < 64 => Some(net.to_string()),
        Place::Host(host) if host.is_below() => Some(host.to_string()),
        Place::Cidr(_) | Place::Host(_) | Place::Socket(_) => None,
    }
}
