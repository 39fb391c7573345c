//! The web configuration in force: what changes it, and what does not.

use std::fs::File;

use rcgen::{CertificateParams, KeyPair};

use super::*;

const HASH: &str = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("web.yml")
    }

    /// Writes a file as if an hour ago, so that only what was written tells of it.
    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        let old = SystemTime::now() - Duration::from_hours(1);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(old).unwrap();
    }

    /// A certificate of this name and its key.
    fn identity(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write("s.crt", &certificate.pem());
        self.write("s.key", &key.serialize_pem());
    }

    fn open(&self) -> Arc<Web> {
        Web::open(Some(&self.file())).unwrap()
    }
}

const TLS: &str = "tls_server_config: { cert_file: s.crt, key_file: s.key }\n";

fn names(web: &Web) -> Vec<String> {
    let current = web.current.load();
    current
        .tls
        .as_ref()
        .map(|tls| tls.certificate.names.clone())
        .unwrap_or_default()
}

#[test]
fn without_a_file_everybody_may_ask() {
    let web = Web::open(None).unwrap();
    assert!(!web.is_authenticated() && !web.is_tls() && web.state().successful);
    assert!(web.reload().is_ok());
}

#[test]
fn certificates_that_change_are_taken_and_bad_ones_are_not() {
    let folder = Folder::new();
    folder.identity("one.example");
    folder.write("web.yml", TLS);
    let web = folder.open();
    assert_eq!(names(&web), ["one.example"]);
    let first = web.current.load_full();
    web.look();
    assert!(Arc::ptr_eq(&first, &web.current.load_full()));

    // Half of a rotation: the certificate is new, the key is not.
    let key = std::fs::read_to_string(folder.0.path().join("s.key")).unwrap();
    folder.identity("two.example");
    let new_key = std::fs::read_to_string(folder.0.path().join("s.key")).unwrap();
    folder.write("s.key", &key);
    web.look();
    assert_eq!(names(&web), ["one.example"]);
    assert!(!web.state().successful);
    folder.write("s.key", &new_key);
    web.look();
    assert_eq!(names(&web), ["two.example"]);
    assert!(web.state().successful);

    std::fs::remove_file(folder.0.path().join("s.crt")).unwrap();
    web.look();
    assert_eq!(names(&web), ["two.example"]);
    let error = web.reload().unwrap_err().to_string();
    let expected = format!(
        "{}:1:33: tls_server_config.cert_file: {} cannot be read: No such file",
        folder.file().display(),
        folder.0.path().join("s.crt").display()
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_file_touched_but_not_changed_is_not_loaded_again() {
    let folder = Folder::new();
    folder.write("web.yml", "rate_limit: { interval: 1s, burst: 5 }");
    let web = folder.open();
    let before = web.current.load_full();
    folder.write("web.yml", "rate_limit: { interval: 1s, burst: 5 }");
    assert!(web.last.lock().unwrap().is_stale());
    web.look();
    assert!(Arc::ptr_eq(&before, &web.current.load_full()));
    web.reload().unwrap();
    assert!(!Arc::ptr_eq(&before, &web.current.load_full()));
}

/// Whoever writes a file empties it first.
#[test]
fn a_file_that_is_cut_opens_nothing() {
    let folder = Folder::new();
    folder.identity("one.example");
    let users = format!("basic_auth_users: {{ alice: {HASH} }}\n");
    let clients = "tls_server_config: { cert_file: s.crt, key_file: s.key, client_ca_file: s.crt, client_auth_type: RequireAndVerifyClientCert }\n";
    let check = |from: &str, to: &str, refused: Option<&str>| {
        folder.write("web.yml", from);
        let web = folder.open();
        folder.write("web.yml", to);
        web.look();
        assert_eq!(web.state().successful, refused.is_none(), "{from} to {to}");
        let error = web.reload().err().map(|error| error.to_string());
        let found = error.as_deref().is_none_or(|error| {
            refused.is_some_and(|part| error.contains(&format!("web.yml: {part}: ")))
        });
        assert!(found && error.is_some() == refused.is_some(), "{error:?}");
    };
    check(TLS, "", Some("tls_server_config"));
    check("", TLS, Some("tls_server_config"));
    check(&users, "", Some("basic_auth_users"));
    check(&format!("{TLS}{users}"), TLS, Some("basic_auth_users"));
    check(clients, TLS, Some("tls_server_config"));
    check(TLS, clients, None);
    check("", &users, None);
    check(&users, &users.replace("alice", "bob"), None);
}

#[test]
fn what_was_let_in_stays_let_in_while_the_file_is_bad() {
    let folder = Folder::new();
    let users = format!("basic_auth_users: {{ alice: {HASH} }}\n");
    folder.write("web.yml", &users);
    let web = folder.open();
    folder.write("web.yml", "basic_auth_users: { alice: x }\n");
    web.look();
    assert!(!web.state().successful && web.is_authenticated());
    // Back to what it was: nothing is loaded that was not there, and all is well.
    folder.write("web.yml", &users);
    web.look();
    assert!(web.state().successful);
}

#[test]
fn who_looks_is_one_in_a_second() {
    let folder = Folder::new();
    folder.write("web.yml", "");
    let web = folder.open();
    assert!(web.is_due());
    assert!((0..100).all(|_| !web.is_due()));
}

#[test]
fn what_cannot_be_loaded_names_its_key() {
    let folder = Folder::new();
    folder.identity("one.example");
    let key = std::fs::read_to_string(folder.0.path().join("s.key")).unwrap();
    folder.write("none.pem", "nothing\n");
    folder.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    );
    folder.write(
        "odd.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let check = |tls: &str, expected: &str| {
        folder.write("web.yml", &format!("tls_server_config:\n{tls}"));
        let error = Web::open(Some(&folder.file())).unwrap_err().to_string();
        let error = error.replace(&format!("{}/", folder.0.path().display()), "");
        assert_eq!(error, expected);
        let line = key.lines().nth(1).unwrap();
        assert!(!error.contains(line), "{error}");
    };
    check(
        "  cert_file: none.pem\n  key_file: s.key\n",
        "web.yml:2:14: tls_server_config.cert_file: none.pem holds no certificate in PEM",
    );
    check(
        "  cert_file: broken.pem\n  key_file: s.key\n",
        "web.yml:2:14: tls_server_config.cert_file: broken.pem is no PEM",
    );
    check(
        "  cert_file: odd.pem\n  key_file: s.key\n",
        "web.yml:2:14: tls_server_config.cert_file: holds no X.509 certificate",
    );
    check(
        "  cert_file: s.crt\n  key_file: s.crt\n",
        "web.yml:3:13: tls_server_config.key_file: s.crt holds no unencrypted private key in PEM",
    );
    let other = KeyPair::generate().unwrap().serialize_pem();
    folder.write("other.key", &other);
    check(
        "  cert_file: s.crt\n  key_file: other.key\n",
        "web.yml:3:13: tls_server_config.key_file: is not the key of the certificate",
    );
    check(
        "  cert_file: s.crt\n  key_file: s.key\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: /dev/null\n",
        "web.yml:5:19: tls_server_config.client_ca_file: /dev/null cannot be read: not a plain file",
    );
    check(
        "  cert_file: s.crt\n  key_file: s.key\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: odd.pem\n",
        "web.yml:5:19: tls_server_config.client_ca_file: holds a certificate that cannot be used: invalid peer certificate: BadEncoding",
    );
    let debug = format!("{:?}", folder_web(&folder));
    assert!(!debug.contains("PRIVATE"), "{debug}");
}

fn folder_web(folder: &Folder) -> Arc<Web> {
    folder.write("web.yml", TLS);
    folder.open()
}

#[test]
fn hashes_of_the_documentation_can_be_read() {
    let folder = Folder::new();
    let tail = "mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";
    for version in ["a", "b", "y"] {
        folder.write(
            "web.yml",
            &format!("basic_auth_users: {{ alice: $2{version}$10${tail} }}\n"),
        );
        assert!(folder.open().is_authenticated());
    }
}
