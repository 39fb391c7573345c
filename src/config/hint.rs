//! What would help with a key or name that is not known: the nearest known one, or where the key belongs.

use super::error::Segment;
use super::raw::FileKind;

/// Keys of later versions, by the key they stand under.
const LATER_KEYS: [(&str, &str); 1] = [("http", "oauth2")];

/// Keys of Prometheus' `http_client_config` that are not read here, and what to write in their place.
const FOREIGN_KEYS: [(&str, &str); 6] = [
    ("bearer_token", "write authorization: { credentials: ... }"),
    (
        "bearer_token_file",
        "write authorization: { credentials_file: ... }",
    ),
    (
        "credentials_ref",
        "secret references are not read, write credentials_file",
    ),
    (
        "no_proxy",
        "targets without proxy take a module of their own",
    ),
    (
        "proxy_from_environment",
        "the environment is never read for proxies, write proxy_url",
    ),
    (
        "proxy_connect_header",
        "headers for the proxy are not supported",
    ),
];

/// Where keys belong that people write one level too high or too low.
const HOMES: [(&str, &str); 42] = [
    ("path", "modules.NAME"),
    ("timeout", "modules.NAME"),
    ("profiles", "modules.NAME"),
    ("http", "modules.NAME"),
    ("classify", "modules.NAME"),
    ("limits", "modules.NAME"),
    ("detail", "modules.NAME"),
    ("leak", "modules.NAME"),
    ("trace", "modules.NAME"),
    ("basic_auth", "modules.NAME.http"),
    ("authorization", "modules.NAME.http"),
    ("tls_config", "modules.NAME.http"),
    ("proxy_url", "modules.NAME.http"),
    ("follow_redirects", "modules.NAME.http"),
    ("http_headers", "modules.NAME.http"),
    ("enable_http2", "modules.NAME.http"),
    ("credentials_over_http", "modules.NAME.http"),
    ("insecure_skip_verify", "modules.NAME.http.tls_config"),
    ("ca_file", "modules.NAME.http.tls_config"),
    ("cert_file", "modules.NAME.http.tls_config"),
    ("key_file", "modules.NAME.http.tls_config"),
    ("server_name", "modules.NAME.http.tls_config"),
    ("mode", "modules.NAME.detail"),
    ("source", "modules.NAME.detail"),
    ("max_frames", "modules.NAME.detail"),
    ("max_goroutines", "modules.NAME.leak"),
    ("window", "modules.NAME.trace"),
    ("plumbing", "modules.NAME.classify"),
    ("app_packages", "modules.NAME.classify"),
    ("watch", "modules.NAME.classify"),
    ("groups", "modules.NAME.limits"),
    ("min_goroutines", "modules.NAME.limits"),
    ("min_ratio", "modules.NAME.limits"),
    ("body_bytes", "modules.NAME.limits"),
    ("detail_body_bytes", "modules.NAME.limits"),
    ("inflated_bytes", "modules.NAME.limits"),
    ("per_target", "probes"),
    ("tracked_targets", "probes"),
    ("forget_after", "probes"),
    ("max_bytes", "storage"),
    ("max_age", "storage"),
    ("allow", "the top level or modules.NAME"),
];

/// The same of the file of `--web.config.file`.
const WEB_HOMES: [(&str, &str); 26] = [
    ("cert", "tls_server_config"),
    ("cert_file", "tls_server_config"),
    ("key", "tls_server_config"),
    ("key_file", "tls_server_config"),
    ("client_auth_type", "tls_server_config"),
    ("client_ca", "tls_server_config"),
    ("client_ca_file", "tls_server_config"),
    ("client_allowed_sans", "tls_server_config"),
    ("min_version", "tls_server_config"),
    ("max_version", "tls_server_config"),
    ("cipher_suites", "tls_server_config"),
    ("prefer_server_cipher_suites", "tls_server_config"),
    ("curve_preferences", "tls_server_config"),
    ("http2", "http_server_config"),
    ("headers", "http_server_config"),
    ("Content-Security-Policy", "http_server_config.headers"),
    ("X-Frame-Options", "http_server_config.headers"),
    ("X-Content-Type-Options", "http_server_config.headers"),
    ("X-XSS-Protection", "http_server_config.headers"),
    ("Strict-Transport-Security", "http_server_config.headers"),
    ("interval", "rate_limit"),
    ("burst", "rate_limit"),
    ("tls_server_config", "the top level"),
    ("http_server_config", "the top level"),
    ("basic_auth_users", "the top level"),
    ("rate_limit", "the top level"),
];

/// Keys that people bring to that file from elsewhere, and what to write in their place.
const WEB_FOREIGN_KEYS: [(&str, &str); 7] = [
    ("tls_config", "write tls_server_config"),
    (
        "basic_auth",
        "write basic_auth_users: { NAME: BCRYPT_HASH }",
    ),
    ("users", "write basic_auth_users: { NAME: BCRYPT_HASH }"),
    ("ca_file", "write client_ca_file"),
    ("client_auth", "write client_auth_type"),
    (
        "auth_excluded_paths",
        "no path is excluded: whoever asks for any of them has to say who he is",
    ),
    (
        "modules",
        "this belongs into the file of --config.file, not of --web.config.file",
    ),
];

/// Keys that people bring to a file of targets, and what to write in their place.
const TARGETS_FOREIGN_KEYS: [(&str, &str); 3] = [
    ("module", "write labels: { __param_module: NAME }"),
    ("scheme", "write labels: { __scheme__: https }"),
    ("url", "write targets: [URL]"),
];

/// Says what to do about the unknown key at the end of `path`, where `known` may stand.
pub(super) fn for_unknown_key(kind: FileKind, path: &[Segment], known: &[&str]) -> Option<String> {
    let (Segment::Key(key), parents) = path.split_last()? else {
        return None;
    };
    let parent = match parents {
        [] => "",
        [.., Segment::Key(parent)] => parent,
        [.., Segment::Index(_)] => "[]",
    };
    if kind == FileKind::Web {
        let find = |table: &[(&str, &'static str)]| {
            let found = table.iter().find(|(name, _)| name == key);
            found.map(|(_, text)| *text)
        };
        return find(&WEB_FOREIGN_KEYS)
            .map(str::to_owned)
            .or_else(|| find(&WEB_HOMES).map(|home| format!("{key} belongs under {home}")))
            .or_else(|| near_or_all(key, known));
    }
    if kind == FileKind::Targets {
        let foreign = TARGETS_FOREIGN_KEYS.iter().find(|(name, _)| name == key);
        return foreign.map_or_else(
            || near_or_all(key, known),
            |(_, advice)| Some((*advice).to_owned()),
        );
    }
    if LATER_KEYS.contains(&(parent, key)) {
        return Some("this version does not know it yet".to_owned());
    }
    if parent == "http"
        && let Some((_, advice)) = FOREIGN_KEYS.iter().find(|(name, _)| name == key)
    {
        return Some((*advice).to_owned());
    }
    if let Some((_, home)) = HOMES.iter().find(|(name, _)| name == key) {
        return Some(format!("{key} belongs under {home}"));
    }
    near_or_all(key, known)
}

fn near_or_all(key: &str, known: &[&str]) -> Option<String> {
    did_you_mean(key, known.iter().copied()).or_else(|| match known {
        [] => None,
        known => Some(format!("known here: {}", known.join(", "))),
    })
}

/// "did you mean groups?", where something known is near enough to be meant.
pub(super) fn did_you_mean<'k>(
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<String> {
    // A third of the letters may be wrong: `tls` is not `url`, `grups` is `groups`.
    let most = (name.chars().count() / 3).clamp(1, 3);
    let near = known
        .into_iter()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= most);
    near.min()
        .map(|(_, known)| format!("did you mean {known}?"))
}

/// Letters to insert, remove, replace or swap with their neighbour to make one word of the other: optimal
/// string alignment. Words of more than 64 letters are as far apart as they are long.
fn distance(one: &str, other: &str) -> usize {
    let fold = |word: &str| -> Vec<char> { word.chars().flat_map(char::to_lowercase).collect() };
    let (one, other) = (fold(one), fold(other));
    if one.len().max(other.len()) > 64 {
        return one.len().max(other.len());
    }
    // Row by row of the usual table; `before` is the last row, `earlier` the one above it.
    let mut earlier: Vec<usize> = Vec::new();
    let mut before: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other_letter) in other.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replace = at(&before, column) + usize::from(letter != other_letter);
            let mut best = replace
                .min(at(&before, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = column > 0
                && row > 0
                && other.get(column - 1) == Some(letter)
                && one.get(row - 1) == Some(other_letter);
            if swapped {
                best = best.min(at(&earlier, column - 1) + 1);
            }
            current.push(best);
        }
        earlier = std::mem::replace(&mut before, current);
    }
    before.last().copied().unwrap_or_default()
}

/// The keys whose homes are known.
#[cfg(test)]
pub(super) fn known_keys() -> impl Iterator<Item = &'static str> {
    HOMES.iter().map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Fault, WebConfig};
    use super::*;

    #[test]
    fn keys_belong_where_the_hint_says() {
        type Read = fn(&str) -> Option<Fault>;
        let exporter: Read = |yaml| Config::from_yaml(yaml).err().map(|error| *error.fault);
        let web: Read = |yaml| WebConfig::from_yaml(yaml).err().map(|error| *error.fault);
        let homes = HOMES.iter().map(|home| (home, exporter));
        let homes = homes.chain(WEB_HOMES.iter().map(|home| (home, web)));
        for ((key, home), read) in homes {
            // An empty value is accepted wherever the key is.
            let home = home.trim_start_matches("the top level or ");
            let steps = home.split('.').filter(|step| *step != "the top level");
            let path: Vec<&str> = steps.collect();
            let open: Vec<String> = path.iter().map(|step| format!("{step}: {{")).collect();
            let yaml = format!("{{{}{key}: {}}}", open.concat(), "}".repeat(path.len()));
            let fault = read(&yaml);
            assert!(
                !matches!(fault, Some(Fault::UnknownKey | Fault::Syntax { .. })),
                "{yaml}: {fault:?}"
            );
        }
    }

    #[test]
    fn distance_counts_letters() {
        let check = |one: &str, other: &str, expected: usize| {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        };
        check("", "", 0);
        check("groups", "groups", 0);
        check("grups", "groups", 1);
        check("gruops", "groups", 1);
        check("Groups", "groups", 0);
        check("", "abc", 3);
        check("kitten", "sitting", 3);
        check("ab", "ba", 1);
        check(&"x".repeat(65), "x", 65);
    }

    #[test]
    fn only_near_names_are_meant() {
        let known = ["groups", "min_goroutines", "url", "module"];
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(did_you_mean(name, known).as_deref(), expected, "{name}");
        };
        check("grups", Some("did you mean groups?"));
        check("min_goroutine", Some("did you mean min_goroutines?"));
        check("uri", Some("did you mean url?"));
        check("modul", Some("did you mean module?"));
        check("tls", None);
        check("", None);
        check("something_else", None);
    }
}
