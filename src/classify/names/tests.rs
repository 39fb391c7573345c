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
    let check = |function: &str, expected: &str| assert_eq!(display(function.as_bytes()), expected);
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
    let long = |middle: &str| format!("main.{}{middle}{}.tail", "a".repeat(150), "b".repeat(150));
    let one = display(long("x").as_bytes()).into_owned();
    let two = display(long("y").as_bytes()).into_owned();
    assert!(
        one.len() <= NAME_BYTES && one.starts_with("main.aaa") && one.ends_with("bbb.tail"),
        "{one}"
    );
    assert_ne!(one, two);
    assert_eq!(one, cut_middle(&*one));
    let exact = "m".repeat(NAME_BYTES);
    assert_eq!(cut_middle(&exact), exact);
    let wide = "é".repeat(150);
    assert!(cut_middle(&wide).len() <= NAME_BYTES);
}

#[test]
fn plumbing_is_a_list_of_packages() {
    let check = |function: &str, expected: bool| {
        assert_eq!(
            is_plumbing(package(function.as_bytes())),
            expected,
            "{function}"
        );
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
            origin(package(function.as_bytes()), file.as_bytes()),
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
    check(
        "time.Sleep",
        "/usr/local/go/src/runtime/time.go",
        "runtime/time.go",
    );
    check("time.Sleep", "runtime/time.go", "runtime/time.go");
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

/// Searching to the end of the path behind each of its versions would take minutes.
#[test]
fn paths_made_up_of_versions_are_read_in_one_pass() {
    let path = format!("{}/x.go", "@v1".repeat(1 << 20));
    assert_eq!(
        origin(b"example.com/a", path.as_bytes()),
        Origin::Dependency
    );
    let without_slash = path.trim_end_matches("/x.go");
    assert_eq!(
        origin(b"example.com/a", without_slash.as_bytes()),
        Origin::App
    );
}

#[test]
fn no_reserved_name_is_longer_than_the_longest() {
    for name in PLUMBING.iter().chain(&STDLIB_ROOTS) {
        assert!(holds(&[name], name), "{}", String::from_utf8_lossy(name));
    }
    assert!(PLUMBING.is_sorted() && STDLIB_ROOTS.is_sorted());
    assert!(!holds(&PLUMBING, b"sync/atomics") && !holds(&PLUMBING, b""));
}
