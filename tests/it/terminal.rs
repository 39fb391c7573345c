//! What a person at a terminal sees: pictures at three widths, with colours and without, and a real terminal.
//!
//! The pictures are in `tests/data/terminal`. `WRITE_PICTURES=1 cargo test --test it terminal` writes them anew; read
//! each before it is committed.

use std::path::PathBuf;
use std::process::Command;

use crate::go::{GoProgram, NEW};
use crate::http::ask;
use crate::programs::{EXPORTER, Program, command, repository, skip, until};

const WIDTHS: [usize; 3] = [60, 100, 200];

/// Commands whose pictures are kept, and the exit status they end with.
const PICTURES: [(&str, i32, &[&str]); 6] = [
    (
        "waits",
        0,
        &[
            "inspect",
            "--top",
            "8",
            "tests/data/go1.27.3-2min/goroutine.debug2.txt",
        ],
    ),
    (
        "leaks",
        0,
        &[
            "inspect",
            "--focus",
            "kLeak",
            "--stacks=2",
            "tests/data/go1.27.3-after-leak-profile/goroutine.debug2.txt",
        ],
    ),
    (
        "deployment",
        0,
        &[
            "inspect",
            "--top",
            "5",
            "tests/data/go1.21.13/goroutine.debug0.pb.gz",
            "tests/data/go1.27.3/goroutine.debug0.pb.gz",
            "tests/data/go1.24.11/goroutine.debug2.txt",
        ],
    ),
    (
        "diff",
        1,
        &[
            "diff",
            "--fail-on-growth",
            "20",
            "--min",
            "20",
            "--stacks=1",
            "tests/data/go1.27.3-2min/goroutine.debug2.txt",
            "tests/data/go1.27.3/goroutine.debug2.txt",
        ],
    ),
    (
        "nothing",
        0,
        &[
            "inspect",
            "--focus",
            "no such function",
            "tests/data/go1.27.3/goroutine.debug0.pb.gz",
        ],
    ),
    (
        "trace",
        0,
        &[
            "inspect",
            "--trace",
            "--top",
            "6",
            "tests/data/go1.27.3-trace/trace-1s.out.gz",
        ],
    ),
];

fn picture(arguments: &[&str], status: i32, width: usize, more: &[&str]) -> String {
    let output = command()
        .args(arguments)
        .args(more)
        .env("COLUMNS", width.to_string())
        .current_dir(repository("."))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Text without what sets colours.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (codes, rest) = part.split_once('m').unwrap();
        assert!(
            codes
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b';'),
            "{codes:?}"
        );
        plain += rest;
    }
    plain
}

#[test]
fn pictures_are_as_they_were_looked_at() {
    let folder: PathBuf = repository("tests/data/terminal");
    let write = std::env::var_os("WRITE_PICTURES").is_some();
    let mut known = Vec::new();
    for (name, status, arguments) in PICTURES {
        for width in WIDTHS {
            let plain = picture(arguments, status, width, &["--color", "never"]);
            let colours = picture(arguments, status, width, &["--color", "always"]);
            assert_eq!(without_colours(&colours), plain, "{name} {width}");
            assert!(!plain.contains('\u{1b}'));
            for line in plain.lines() {
                let wide = line.chars().count();
                assert!(wide <= width, "{name}: {wide} columns of {width}: {line}");
                assert_eq!(line.trim_end(), line, "{name} {width}");
            }
            for (text, kind) in [(plain, "txt"), (colours, "ansi")] {
                let file = folder.join(format!("{name}-{width}.{kind}"));
                if write {
                    std::fs::create_dir_all(&folder).unwrap();
                    std::fs::write(&file, &text).unwrap();
                }
                let kept = std::fs::read_to_string(&file).unwrap();
                assert!(kept == text, "{} is otherwise now:\n{text}", file.display());
                known.push(file);
            }
        }
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            known.contains(&path),
            "{} belongs to no test",
            path.display()
        );
    }
}

#[test]
fn what_is_narrow_loses_no_name() {
    let squeezed = |width| {
        let (_, status, arguments) = PICTURES[0];
        picture(arguments, status, width, &[]).replace([' ', '\n'], "")
    };
    let (narrow, wide) = (squeezed(60), squeezed(200));
    for name in [
        "main.kAfterSelectwaits.go:438",
        "net/http.(*persistConn).Readnet/http/transport.go:2300",
    ] {
        assert!(
            narrow.contains(name) && wide.contains(name),
            "{name}: {narrow}"
        );
    }
    assert!(wide.contains("3c2e5ce4aae7aba9"), "{wide}");
}

#[test]
fn colours_are_for_those_who_want_them() {
    let coloured = |variables: &[(&str, &str)], flags: &[&str]| {
        let output = command()
            .args(["inspect", "tests/data/go1.27.3/goroutine.debug0.pb.gz"])
            .args(flags)
            .envs(variables.iter().copied())
            .current_dir(repository("."))
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout.contains(&0x1b)
    };
    assert!(!coloured(&[], &[]), "in a pipe");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!coloured(
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
        &[]
    ));
    assert!(coloured(&[("NO_COLOR", "1")], &["--color", "always"]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1")], &["--color", "never"]));
    assert!(!coloured(&[("TERM", "dumb")], &[]));
}

#[test]
fn watching_in_a_pipe_prints_a_block_for_each_look() {
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    let mut watch = Program::start(command().args(["inspect", "--watch", "1s", &leaky.target]));
    watch.line("first look", |line| {
        line.starts_with("look 1 at ").then_some(())
    });
    ask(leaky.address(), "POST", "/leak?n=300", &[]).is(200, "");
    // Deltas stand in columns of their own, and in the headline.
    watch.line("growth since the first look", |line| {
        (line.contains("+300") && line.contains("main.(*Service).render")).then_some(())
    });
    watch.line("growth of the total", |line| {
        line.contains("since the first look").then_some(())
    });
    watch.signal("INT");
    assert_eq!(watch.wait().code(), Some(0));
    assert!(!watch.log().contains('\u{1b}'), "{}", watch.log());
}

#[test]
fn watching_says_when_a_target_is_gone() {
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    let target = leaky.target.clone();
    let mut watch = Program::start(command().args(["inspect", "--watch", "1s", &target]));
    watch.line("first look", |line| {
        line.starts_with("look 1 at ").then_some(())
    });
    drop(leaky);
    watch.line("failure", |line| {
        line.starts_with("The last look failed: ").then_some(())
    });
    watch.signal("TERM");
    assert_eq!(watch.wait().code(), Some(0));
    for (arguments, words) in [
        (
            &["inspect", "--watch", "1s", target.as_str()][..],
            "connection refused",
        ),
        (
            &["inspect", "--watch", "1s", "-"],
            "standard input can be read once",
        ),
        (
            &["inspect", "--watch", "1s", "--format", "json", "x"],
            "leave out --format",
        ),
    ] {
        let output = command().args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

/// A terminal of its own in tmux, with a server of its own. Both end when this is dropped.
struct Terminal {
    socket: tempfile::TempDir,
}

impl Terminal {
    /// Runs a command line in it; nothing where this machine has no tmux.
    fn start(width: usize, height: usize, line: &str) -> Option<Self> {
        if let Err(error) = Command::new("tmux").arg("-V").output() {
            skip(&format!("tmux: {error}"));
            return None;
        }
        let terminal = Self {
            socket: tempfile::tempdir().unwrap(),
        };
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            line,
        ]);
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.socket.path().join("tmux"))
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the screen, with its colours or without, is as wished, and returns it.
    fn shows(&self, what: &str, flags: &[&str], wished: impl Fn(&str) -> bool) -> String {
        until(what, || {
            let screen = self.tmux(&[&["capture-pane", "-p"], flags].concat());
            Some(screen).filter(|screen| wished(screen))
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(
            Command::new("tmux")
                .arg("-S")
                .arg(self.socket.path().join("tmux"))
                .arg("kill-server")
                .output(),
        );
    }
}

#[test]
fn a_real_terminal_is_fitted_redrawn_and_left_as_it_was() {
    let Some(leaky) = GoProgram::start(NEW, "leaky", &[]) else {
        return;
    };
    // The shell stays, so that what the program leaves behind can be seen.
    let line = format!(
        "unset NO_COLOR; '{EXPORTER}' inspect --watch 1s '{}'; echo \"status $?\"; cat",
        leaky.target
    );
    let Some(terminal) = Terminal::start(100, 30, &line) else {
        return;
    };
    terminal.shows("the first look", &[], |screen| {
        screen.contains("look 1 at ")
    });
    ask(leaky.address(), "POST", "/leak?n=300", &[]).is(200, "");
    let wide = terminal.shows("the leak", &[], |screen| {
        screen.contains("+300") && screen.contains("main.(*Service).render  main.go:")
    });
    let row = |screen: &str| {
        let mut lines = screen.lines();
        lines
            .find(|line| line.contains("+300") && line.contains("chan send"))
            .map(str::to_owned)
    };
    let line = row(&wide).unwrap();
    assert!(line.contains("main.(*Service).render"), "{wide}");
    let coloured = terminal.shows("colours", &["-e"], |screen| screen.contains("\u{1b}["));
    assert!(
        coloured.contains("\u{1b}[36m") || coloured.contains(";36m"),
        "{coloured:?}"
    );
    // Drawn on the alternate screen.
    let alternate = terminal.tmux(&["display-message", "-p", "#{alternate_on}"]);
    assert_eq!(alternate.trim(), "1");
    terminal.tmux(&["resize-window", "-x", "60", "-y", "30"]);
    let narrow = terminal.shows("fewer columns", &[], |screen| {
        // The place has moved below its row.
        row(screen).is_some_and(|line| !line.contains("main.(*Service).render"))
            && screen.contains("      main.(*Service).render")
    });
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 60),
        "{narrow}"
    );
    // A low terminal shows the top: the largest groups.
    terminal.tmux(&["resize-window", "-x", "100", "-y", "12"]);
    terminal.shows("fewer rows", &[], |screen| {
        screen
            .lines()
            .next()
            .is_some_and(|line| line.starts_with("look "))
            && screen
                .lines()
                .nth(1)
                .is_some_and(|line| line.contains("goroutines in"))
    });
    terminal.tmux(&["resize-window", "-x", "100", "-y", "40"]);
    terminal.tmux(&["send-keys", "C-c"]);
    let left = terminal.shows("the end", &[], |screen| screen.contains("status "));
    assert!(left.contains("status 0"), "{left}");
    // The last picture stays, below the command.
    assert!(row(&left).is_some(), "{left}");
    let alternate = terminal.tmux(&["display-message", "-p", "#{alternate_on}#{cursor_flag}"]);
    assert_eq!(alternate.trim(), "01");
}

#[test]
fn a_long_read_shows_that_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let (pipe, recorded) = (
        pipe.to_str().unwrap(),
        repository("tests/data/go1.27.3/goroutine.debug2.txt"),
    );
    // The second half of the dump is sent when somebody presses Enter.
    let recorded = recorded.to_str().unwrap();
    let line = format!(
        "stty -echo; mkfifo '{pipe}'; {{ head -n 3000 '{recorded}'; read enter; tail -n +3001 '{recorded}'; }} > '{pipe}' & \
        '{EXPORTER}' inspect --top 1 '{pipe}'; echo \"status $?\"; cat"
    );
    let line = line.replace("read enter", "read enter < /dev/tty");
    let Some(terminal) = Terminal::start(100, 40, &line) else {
        return;
    };
    terminal.shows("progress", &[], |screen| {
        screen.contains(" goroutines, ") && screen.contains("reading ")
    });
    terminal.tmux(&["send-keys", "Enter"]);
    let left = terminal.shows("the end", &[], |screen| screen.contains("status 0"));
    assert!(left.contains("831 goroutines in"), "{left}");
    assert!(!left.contains("reading "), "progress stays: {left}");
}

#[test]
fn a_long_read_of_a_trace_shows_how_much_came() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let recorded = repository("tests/data/go1.27.3-trace/trace-1s.out.gz");
    let (pipe, recorded) = (pipe.to_str().unwrap(), recorded.to_str().unwrap());
    // All but the first bytes are sent when somebody presses Enter.
    let line = format!(
        "stty -echo; mkfifo '{pipe}'; \
        gzip -dc '{recorded}' | {{ dd bs=1 count=3000 2>&-; read enter < /dev/tty; cat; }} > '{pipe}' & \
        '{EXPORTER}' inspect --trace --top 1 '{pipe}'; echo \"status $?\"; cat"
    );
    let Some(terminal) = Terminal::start(100, 60, &line) else {
        return;
    };
    terminal.shows("progress", &[], |screen| {
        screen.contains("reading ") && screen.contains(" KiB, ")
    });
    terminal.tmux(&["send-keys", "Enter"]);
    let left = terminal.shows("the end", &[], |screen| screen.contains("status 0"));
    assert!(left.contains("186 goroutines on 2 processors"), "{left}");
    assert!(!left.contains("reading "), "progress stays: {left}");
}
