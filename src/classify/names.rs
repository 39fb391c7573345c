//! Function symbols and source paths, as Go's linker writes them.
//!
//! A symbol is `import/path.Name`, `import/path.(*Type).Method`, `import/path.Type[...].Method.func1`. Dots in
//! the last element of the import path are escaped as `%2e`, so the package ends at the first dot after the
//! last slash (cmd/internal/objabi/path.go, `PathToPrefix`).

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::Origin;
use super::tables::{PLUMBING, STDLIB_ROOTS};

/// The most bytes a function or file name keeps. Prometheus drops a whole scrape over a label that is too
/// long, so names are cut before it does.
pub const NAME_BYTES: usize = 200;

/// The name in place of one that is empty.
const NO_SYMBOL: &str = "(no symbol)";

/// The import path of a symbol, as escaped in it; the whole symbol where it has none (`panic`, C functions).
#[must_use]
pub fn package(function: &[u8]) -> &[u8] {
    let head = until(function, |byte| byte == b'(' || byte == b'[');
    let element = head
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let dot = head.iter().skip(element).position(|&byte| byte == b'.');
    dot.and_then(|dot| head.get(..element + dot))
        .unwrap_or(function)
}

/// Whether a symbol is plumbing: what stands between the runtime and the code that waits.
#[must_use]
pub fn is_plumbing(function: &[u8]) -> bool {
    let package = package(function);
    PLUMBING.binary_search(&package).is_ok()
        || [&b"internal/"[..], b"runtime/internal/", b"vendor/"]
            .iter()
            .any(|root| package.starts_with(root))
}

/// The name of a symbol as labels show it: without vendor prefix, type arguments as `[...]`, unescaped, valid
/// UTF-8, at most [`NAME_BYTES`] long and never empty: an empty label is the same as none.
#[must_use]
pub fn display(function: &[u8]) -> String {
    if function == b"runtime.gopanic" {
        return "panic".to_owned();
    }
    let package_len = package(function).len();
    let (path, rest) = function.split_at(package_len);
    let path = cut_vendor(path);
    let mut name = Vec::with_capacity(path.len() + rest.len());
    unescape(path, &mut name);
    elide_type_arguments(rest, &mut name);
    if name.is_empty() {
        return NO_SYMBOL.to_owned();
    }
    cut_middle(&printable(&name))
}

/// Whose code a function is, by its package and the file it was compiled from.
///
/// Standard library: below `$GOROOT/src`, or with `-trimpath` a file named by its import path, and a first path
/// element that Go reserves. Dependency: a module cache path (`name@version/`) or a vendor directory. `main`
/// is always the application. Whatever is left is the application, even without a file.
#[must_use]
pub fn origin(function: &[u8], file: &[u8]) -> Origin {
    let package = package(function);
    if package == b"main" {
        return Origin::App;
    }
    if package == b"panic" || is_stdlib(package, file) {
        return Origin::Stdlib;
    }
    let vendored = package.starts_with(b"vendor/") || contains(package, b"/vendor/");
    let generated = file.first() == Some(&b'<');
    if vendored || generated || module_version_end(file).is_some() || contains(file, b"/vendor/") {
        return Origin::Dependency;
    }
    Origin::App
}

/// A source file relative to its module: what a person needs to open it, the same on every build machine.
///
/// Below the module cache: what follows `name@version/`. Standard library: the import path and the file's
/// name. Otherwise the longest end of the directory that is also an end of the import path, since nothing
/// tells where a module's root was on the build machine; for `main`, which has no path, the file's name.
/// Too long a path is cut at the front.
#[must_use]
pub fn relative_file(function: &[u8], file: &[u8]) -> String {
    if file.is_empty() || file.first() == Some(&b'<') {
        return cut_front(&printable(file));
    }
    if let Some(inside) = module_version_end(file).and_then(|end| file.get(end..)) {
        return cut_front(&printable(inside));
    }
    let mut path = Vec::new();
    unescape(cut_vendor(package(function)), &mut path);
    let base_at = file
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let directory = file.get(..base_at.saturating_sub(1)).unwrap_or_default();
    let shared = common_elements(directory, &path);
    let from = base_at.saturating_sub(if shared == 0 { 0 } else { shared + 1 });
    cut_front(&printable(file.get(from..).unwrap_or_default()))
}

/// Shortens a name to [`NAME_BYTES`]: both ends stay, a hash of the whole stands for the middle, so that two
/// long names never become one.
#[must_use]
pub fn cut_middle(name: &str) -> String {
    if name.len() <= NAME_BYTES {
        return name.to_owned();
    }
    let mark = format!("~{:08x}~", fingerprint(&[name]) >> 32);
    let side = (NAME_BYTES - mark.len()) / 2;
    let head = name
        .get(..name.floor_char_boundary(side))
        .unwrap_or_default();
    let tail = name
        .get(name.ceil_char_boundary(name.len() - side)..)
        .unwrap_or_default();
    format!("{head}{mark}{tail}")
}

/// The first 8 bytes of SHA-256 over the parts, each followed by a newline: the same on every machine, and
/// easily computed elsewhere (`printf '%s\n' ... | sha256sum`).
#[must_use]
pub fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    }
    let digest = hash.finalize();
    digest
        .first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head))
}

fn cut_front(path: &str) -> String {
    let tail_at = path.ceil_char_boundary(path.len().saturating_sub(NAME_BYTES - "...".len()));
    match path.get(tail_at..) {
        Some(tail) if path.len() > NAME_BYTES => format!("...{tail}"),
        _ => path.to_owned(),
    }
}

/// Control characters and bytes that are no UTF-8 become U+FFFD, since terminals and pages show names as they are.
fn printable(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.chars().any(char::is_control) {
        return Cow::Owned(
            text.chars()
                .map(|c| {
                    if c.is_control() {
                        char::REPLACEMENT_CHARACTER
                    } else {
                        c
                    }
                })
                .collect(),
        );
    }
    text
}

fn is_stdlib(package: &[u8], file: &[u8]) -> bool {
    let first = until(package, |byte| byte == b'/');
    if STDLIB_ROOTS.binary_search(&first).is_err() {
        return false;
    }
    let Some(base_at) = file.iter().rposition(|&byte| byte == b'/') else {
        return true;
    };
    let directory = file.get(..base_at).unwrap_or_default();
    // The linker names some of the runtime's functions into other packages (time.Sleep, sync.runtime_Semacquire,
    // reflect.chanrecv), so any directory of GOROOT will do for a reserved name.
    let trimmed =
        !directory.starts_with(b"/") && !directory.contains(&b':') && !directory.contains(&b'@');
    let in_goroot = directory
        .strip_suffix(package)
        .is_some_and(|root| root.ends_with(b"/src/"));
    trimmed || in_goroot || contains(file, b"/src/runtime/") || contains(file, b"/src/internal/")
}

/// Where the path inside a module cache directory begins: after `name@v1.2.3/`.
fn module_version_end(file: &[u8]) -> Option<usize> {
    // Only what a slash follows can be such a directory: without this bound each `@v1` would search to the end for one.
    let mut before = file.get(..memchr::memrchr(b'/', file)?)?;
    while let Some(at) = memchr::memrchr(b'@', before) {
        if let Some([b'v', digit, rest @ ..]) = file.get(at + 1..)
            && digit.is_ascii_digit()
            && let Some(slash) = memchr::memchr(b'/', rest)
        {
            return Some(at + 3 + slash + 1);
        }
        before = file.get(..at)?;
    }
    None
}

fn cut_vendor(path: &[u8]) -> &[u8] {
    let inner =
        memchr::memmem::rfind(path, b"/vendor/").and_then(|at| path.get(at + b"/vendor/".len()..));
    inner
        .or_else(|| path.strip_prefix(b"vendor/"))
        .unwrap_or(path)
}

/// How many bytes at the end of both paths are the same whole elements.
fn common_elements(directory: &[u8], path: &[u8]) -> usize {
    let same = directory
        .iter()
        .rev()
        .zip(path.iter().rev())
        .take_while(|(left, right)| left == right)
        .count();
    let begins =
        |whole: &[u8]| same == whole.len() || whole.get(whole.len() - same - 1) == Some(&b'/');
    if begins(directory) && begins(path) {
        return same;
    }
    let tail = directory.get(directory.len() - same..).unwrap_or_default();
    tail.iter()
        .position(|&byte| byte == b'/')
        .map_or(0, |slash| same - slash - 1)
}

fn unescape(path: &[u8], out: &mut Vec<u8>) {
    let hex = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        if let (b'%', [high, low, tail @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            out.push(high * 16 + low);
            rest = tail;
        } else {
            out.push(byte);
            rest = after;
        }
    }
}

/// What stands between the first and the last bracket becomes `...`, as in the names that Go prints, so that a symbol
/// from a protobuf and its printed form look the same (runtime/symtab.go, `funcNamePiecesForPrint`).
fn elide_type_arguments(rest: &[u8], out: &mut Vec<u8>) {
    let Some((before, inside)) =
        memchr::memchr(b'[', rest).and_then(|at| rest.split_at_checked(at))
    else {
        out.extend_from_slice(rest);
        return;
    };
    let end = memchr::memrchr(b']', inside).map_or(inside.len(), |at| at + 1);
    out.extend_from_slice(before);
    out.extend_from_slice(b"[...]");
    out.extend_from_slice(inside.get(end..).unwrap_or_default());
}

fn until(bytes: &[u8], stop: impl Fn(u8) -> bool) -> &[u8] {
    let end = bytes
        .iter()
        .position(|&byte| stop(byte))
        .unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

/// Whether a path has these whole elements, given with both their slashes. Paths are short: a search that sets
/// nothing up is the fastest.
fn contains(path: &[u8], elements: &[u8]) -> bool {
    memchr::memchr_iter(b'/', path).any(|slash| {
        path.get(slash..)
            .is_some_and(|rest| rest.starts_with(elements))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_ends_at_the_first_dot_of_the_last_element() {
        let check = |function: &str, expected: &str| {
            assert_eq!(
                String::from_utf8_lossy(package(function.as_bytes())),
                expected,
                "{function}"
            );
        };
        check("main.worker", "main");
        check("main.(*svc).wait", "main");
        check("main.kGeneric[go.shape.int]", "main");
        check(
            "main.(*box[go.shape.map[go.shape.string]x/y.Z]).wait",
            "main",
        );
        check("example.com/a.b/v2.(*Waiter).Block", "example.com/a.b/v2");
        check("example.com/x/c%2ed.block", "example.com/x/c%2ed");
        check(
            "example.com/svc.F[example.com/other/pkg.T].func1",
            "example.com/svc",
        );
        check("internal/sync.(*Mutex).lockSlow", "internal/sync");
        check("panic", "panic");
        check("x_cgo_thread_start", "x_cgo_thread_start");
        check("", "");
    }

    #[test]
    fn display_names_are_the_same_in_every_encoding() {
        let check =
            |function: &str, expected: &str| assert_eq!(display(function.as_bytes()), expected);
        check("main.kGeneric[go.shape.int]", "main.kGeneric[...]");
        check("main.kGeneric[...]", "main.kGeneric[...]");
        check(
            "main.(*box[go.shape.map[go.shape.string]go.shape.int]).wait",
            "main.(*box[...]).wait",
        );
        check("main.F[int].func1", "main.F[...].func1");
        check("example.com/x/c%2ed.block", "example.com/x/c.d.block");
        check("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml.v3.Unmarshal");
        check("main.percent%2e", "main.percent%2e");
        check(
            "vendor/golang.org/x/net/http2/hpack.Dec",
            "golang.org/x/net/http2/hpack.Dec",
        );
        check(
            "example.com/svc/vendor/github.com/a/b.F",
            "github.com/a/b.F",
        );
        check("runtime.gopanic", "panic");
        check("main.start.func1.gowrap2", "main.start.func1.gowrap2");
        check("", "(no symbol)");
        check("vendor/", "(no symbol)");
        check("main.bad[", "main.bad[...]");
        // As Go prints them: a method with type parameters of its own, and a bracket in a struct tag.
        check(
            "main.(*box[int]).get[string].func1",
            "main.(*box[...].func1",
        );
        check("main.F[struct { X int \"a]\" }].func1", "main.F[...].func1");
        assert_eq!(display(b"main.\xff\xfe\n"), "main.\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn long_names_keep_both_ends_and_stay_distinct() {
        let long =
            |middle: &str| format!("main.{}{middle}{}.tail", "a".repeat(150), "b".repeat(150));
        let one = display(long("x").as_bytes());
        let two = display(long("y").as_bytes());
        assert!(
            one.len() <= NAME_BYTES && one.starts_with("main.aaa") && one.ends_with("bbb.tail"),
            "{one}"
        );
        assert_ne!(one, two);
        assert_eq!(one, cut_middle(&one));
        let exact = "m".repeat(NAME_BYTES);
        assert_eq!(cut_middle(&exact), exact);
        let wide = "é".repeat(150);
        assert!(cut_middle(&wide).len() <= NAME_BYTES);
    }

    #[test]
    fn plumbing_is_a_list_of_packages() {
        let check = |function: &str, expected: bool| {
            assert_eq!(is_plumbing(function.as_bytes()), expected, "{function}");
        };
        check("runtime.gopark", true);
        check("sync.(*Mutex).Lock", true);
        check("sync/atomic.AddInt64", true);
        check("internal/poll.(*FD).Read", true);
        check("runtime/internal/atomic.Load", true);
        check("vendor/golang.org/x/net/http/httpguts.F", true);
        check("crypto/tls.(*Conn).Read", true);
        check("panic", true);
        check("iter.Pull[go.shape.int].func1", true);
        check("net/http.(*conn).serve", false);
        check("runtime/pprof.Do", false);
        check("os/exec.(*Cmd).Wait", false);
        check("os/signal.loop", false);
        check("context.WithCancel", false);
        check("database/sql.(*DB).conn", false);
        check("example.com/internal/poll.F", false);
        check("synctest.F", false);
    }

    #[test]
    fn origin_is_told_from_the_file() {
        let check = |function: &str, file: &str, expected: Origin| {
            assert_eq!(
                origin(function.as_bytes(), file.as_bytes()),
                expected,
                "{function} {file}"
            );
        };
        check("main.worker", "/home/ci/svc/main.go", Origin::App);
        check(
            "main.worker",
            "/root/go/pkg/mod/example.com/svc@v1.2.3/main.go",
            Origin::App,
        );
        check(
            "example.com/svc/db.Open",
            "/home/ci/svc/db/open.go",
            Origin::App,
        );
        check(
            "example.com/svc/db.Open",
            "example.com/svc/db/open.go",
            Origin::App,
        );
        check(
            "net/http.(*conn).serve",
            "/usr/local/go/src/net/http/server.go",
            Origin::Stdlib,
        );
        check(
            "net/http.(*conn).serve",
            "net/http/server.go",
            Origin::Stdlib,
        );
        check("net/http.(*conn).serve", "", Origin::Stdlib);
        check(
            "time.Sleep",
            "/usr/local/go/src/runtime/time.go",
            Origin::Stdlib,
        );
        check(
            "reflect.chanrecv",
            "/opt/go/src/runtime/chan.go",
            Origin::Stdlib,
        );
        check(
            "image/worker.Run",
            "/home/me/image/worker/run.go",
            Origin::App,
        );
        check("myapp/jobs.Run", "myapp/jobs/run.go", Origin::App);
        check(
            "golang.org/x/sync/semaphore.F",
            "/root/go/pkg/mod/golang.org/x/sync@v0.1.0/semaphore/semaphore.go",
            Origin::Dependency,
        );
        check(
            "golang.org/x/sync/semaphore.F",
            "golang.org/x/sync@v0.1.0/semaphore/semaphore.go",
            Origin::Dependency,
        );
        check(
            "github.com/a/b.F",
            "/home/ci/svc/vendor/github.com/a/b/f.go",
            Origin::Dependency,
        );
        check(
            "example.com/svc/vendor/github.com/a/b.F",
            "",
            Origin::Dependency,
        );
        check(
            "vendor/golang.org/x/net/dns.F",
            "/usr/local/go/src/vendor/golang.org/x/net/dns/f.go",
            Origin::Dependency,
        );
        check(
            "github.com/a/b.(*T).Lock",
            "<autogenerated>",
            Origin::Dependency,
        );
        check("main.(*T).Lock", "<autogenerated>", Origin::App);
        check(
            "panic",
            "/usr/local/go/src/runtime/panic.go",
            Origin::Stdlib,
        );
        check("net/http.F", "C:/Go/src/net/http/server.go", Origin::Stdlib);
    }

    #[test]
    fn files_are_relative_to_their_module() {
        let check = |function: &str, file: &str, expected: &str| {
            assert_eq!(
                relative_file(function.as_bytes(), file.as_bytes()),
                expected,
                "{function} {file}"
            );
        };
        check("main.worker", "/home/ci/svc/cmd/svc/main.go", "main.go");
        check(
            "example.com/svc/db.Open",
            "/home/ci/svc/db/open.go",
            "svc/db/open.go",
        );
        check(
            "example.com/svc/db.Open",
            "/home/ci/build/db/open.go",
            "db/open.go",
        );
        check(
            "example.com/svc/db.Open",
            "/home/ci/build/other/open.go",
            "open.go",
        );
        check(
            "example.com/svc/db.Open",
            "example.com/svc/db/open.go",
            "example.com/svc/db/open.go",
        );
        check(
            "example.com/svc/db.Open",
            "/home/ci/mydb/open.go",
            "open.go",
        );
        check(
            "net/http.(*conn).serve",
            "/usr/local/go/src/net/http/server.go",
            "net/http/server.go",
        );
        check(
            "net/http.(*conn).serve",
            "net/http/server.go",
            "net/http/server.go",
        );
        check(
            "golang.org/x/sync/semaphore.F",
            "/root/go/pkg/mod/golang.org/x/sync@v0.1.0/semaphore/semaphore.go",
            "semaphore/semaphore.go",
        );
        check(
            "github.com/a/b.F",
            "/home/ci/svc/vendor/github.com/a/b/f.go",
            "github.com/a/b/f.go",
        );
        check(
            "example.com/x/c%2ed.block",
            "/home/ci/x/c.d/dotted.go",
            "x/c.d/dotted.go",
        );
        check("main.F", "C:/src/svc/main.go", "main.go");
        check("main.F", "<autogenerated>", "<autogenerated>");
        check("main.F", "", "");
        for long in [
            format!("/x/{}.go", "y".repeat(400)),
            format!("<{}.go", "y".repeat(400)),
            format!("/x@v1/{}.go", "y".repeat(400)),
            format!("/x/{}.go", "é".repeat(200)),
        ] {
            let file = relative_file(b"main.F", long.as_bytes());
            assert!(file.len() <= NAME_BYTES && file.starts_with("...") && file.ends_with(".go"));
        }
    }

    /// Searching to the end of the path behind each of its versions took minutes.
    #[test]
    fn paths_made_up_of_versions_are_read_in_one_pass() {
        let path = format!("{}/x.go", "@v1".repeat(1 << 20));
        let begun = std::time::Instant::now();
        for file in [path.as_str(), path.trim_end_matches("/x.go")] {
            assert_eq!(
                origin(b"example.com/a.F", file.as_bytes()),
                if file.ends_with(".go") {
                    Origin::Dependency
                } else {
                    Origin::App
                }
            );
        }
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
