//! What a line of a log is to a dump.

use memchr::memrchr;

use crate::decode::text::{location, number};

/// The forms of lines, as far as one line alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Nothing but white space, or the fence of a code block.
    Blank,
    /// `goroutine 7 [select]:`, its number and whether it is running.
    Header(u64, bool),
    /// It begins as a header and is none.
    BrokenHeader,
    /// `main.f(0x1, {...})`.
    Call,
    /// `created by main.f in goroutine 1`.
    Creator,
    /// Where the call above it stands: `/a.go:12 +0x1d`, without the space before it.
    Place(&'a [u8]),
    /// `goroutine running on other thread; stack unavailable`, without the space before it.
    Elsewhere(&'a [u8]),
    /// A line that begins with a tab and is none of these.
    Tabbed,
    /// What else Go says within a goroutine.
    Remark,
    /// `goroutine profile: total 7`.
    Total,
    /// `3 @ 0x1 0x2`.
    Counted,
    /// `#\t0x1\tmain.f+0x1\t/a.go:12`, or labels.
    CountedFrame,
    /// A signal or a fatal error: a dump of all goroutines follows.
    Banner,
    /// `-----`: another thread's part of the same dump follows.
    Dashes,
    /// `runtime stack:`: frames of no goroutine follow.
    RuntimeStack,
    /// What Go prints around a dump: registers, exit status, the value of a panic.
    Chatter,
    /// A word alone, as functions of C are printed.
    Word,
    /// Something else.
    Other,
}

/// Says what a line is. Cost: one pass over it at most.
pub(super) fn kind(line: &[u8]) -> Kind<'_> {
    match line {
        [] => Kind::Blank,
        [b'\t', b'/', ..] => Kind::Place(line.get(1..).unwrap_or_default()),
        [b'\t' | b' ', ..] => indented(line),
        // Daemons of syslog write a tab so.
        [b'#', b'0', b'1', b'1', ..] => indented_text(line.get(4..).unwrap_or_default(), true),
        [b'#', b'#', b'0', b'1', b'1', ..] => Kind::CountedFrame,
        [b'#', b'\t' | b' ', rest @ ..] => {
            let rest = rest.trim_ascii_start();
            if rest.starts_with(b"0x") || rest.starts_with(b"labels: {") {
                Kind::CountedFrame
            } else {
                Kind::Other
            }
        }
        [b'0'..=b'9', ..] if is_counted(line) => Kind::Counted,
        _ => word(line),
    }
}

fn word(line: &[u8]) -> Kind<'_> {
    if line.ends_with(b")") && is_call(line) {
        return Kind::Call;
    }
    if line.starts_with(b"goroutine") {
        if let Some(header) = crate::decode::debug2::header(line) {
            return match header {
                Ok((id, running)) => Kind::Header(id, running),
                Err(()) => Kind::BrokenHeader,
            };
        }
        if is_total(line) {
            return Kind::Total;
        }
    }
    match line {
        _ if line.starts_with(b"created by ") => Kind::Creator,
        _ if line.starts_with(b"...") && line.ends_with(b" frames elided...") => Kind::Remark,
        _ if line.starts_with(b"[originating from goroutine ") => Kind::Remark,
        _ if line.starts_with(b"non-Go function at pc=") => Kind::Remark,
        _ if line.starts_with(b"SIG") && line.contains(&b':') => Kind::Banner,
        _ if line.starts_with(b"fatal error: ") => Kind::Banner,
        b"-----" => Kind::Dashes,
        b"runtime stack:" => Kind::RuntimeStack,
        b"non-Go function" => Kind::Word,
        _ if line.starts_with(b"```") || line.starts_with(b"~~~") => Kind::Blank,
        _ if is_chatter(line) => Kind::Chatter,
        _ if line
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') =>
        {
            Kind::Word
        }
        _ => Kind::Other,
    }
}

fn indented(line: &[u8]) -> Kind<'_> {
    indented_text(line.trim_ascii_start(), line.starts_with(b"\t"))
}

/// A line without its indentation, which was of tabs or, where somebody pasted it, of spaces.
fn indented_text(text: &[u8], tab: bool) -> Kind<'_> {
    if text.is_empty() {
        Kind::Blank
    } else if location(text).is_some() || text.starts_with(b"pc=") {
        Kind::Place(text)
    } else if text.starts_with(b"goroutine running on other thread") {
        Kind::Elsewhere(text)
    } else if tab {
        Kind::Tabbed
    } else {
        Kind::Other
    }
}

/// A place whose indentation was lost; a path of Go's begins so.
pub(super) fn bare_place(line: &[u8]) -> bool {
    let path = line.first() == Some(&b'/') || line.get(1..3).is_some_and(|drive| drive == b":/");
    path && location(line).is_some()
}

/// `name(arguments)`: a name without space, and what Go prints of arguments, which is numbers.
fn is_call(line: &[u8]) -> bool {
    let Some(open) = memrchr(b'(', line) else {
        return false;
    };
    let (name, arguments) = line.split_at(open);
    let number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'x' | b'{' | b'}' | b',' | b' ' | b'.' | b'?' | b'_' | b'(' | b')');
    let of_name =
        |byte: &u8| *byte > b' ' && !matches!(byte, b'"' | b'=' | b'{' | b'}' | b',' | b'|');
    !name.is_empty() && arguments.iter().all(number) && name.iter().all(of_name)
}

fn is_counted(line: &[u8]) -> bool {
    number(line).is_some_and(|(_, rest)| rest == b" @" || rest.starts_with(b" @ "))
}

/// The first line of a goroutine profile with counts.
pub(super) fn is_total(line: &[u8]) -> bool {
    let rest = line
        .strip_prefix(b"goroutine profile: total ")
        .or_else(|| line.strip_prefix(b"goroutineleak profile: total "));
    rest.and_then(number)
        .is_some_and(|(_, rest)| rest.trim_ascii().is_empty())
}

fn is_chatter(line: &[u8]) -> bool {
    const STARTS: [&[u8]; 6] = [
        b"panic: ",
        b"PC=",
        b"[signal ",
        b"exit status ",
        b"goroutine profile",
        b"signal arrived during ",
    ];
    if STARTS.iter().any(|start| line.starts_with(start)) {
        return true;
    }
    // A register: its name, spaces, a number.
    let name = line
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let value = line.get(name..).unwrap_or_default();
    (1..=8).contains(&name) && value.starts_with(b" ") && {
        let digits = value.trim_ascii().strip_prefix(b"0x").unwrap_or_default();
        !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line() {
        let check = |line: &str, expected: Kind<'_>| {
            assert_eq!(kind(line.as_bytes()), expected, "{line:?}");
        };
        for line in ["", " \t ", "```", "```text", "#011"] {
            check(line, Kind::Blank);
        }
        check(
            "goroutine 7 [running, locked to thread]:",
            Kind::Header(7, true),
        );
        check(
            "goroutine 7 gp=0x1 m=0 mp=0x2 [syscall]:",
            Kind::Header(7, false),
        );
        check("goroutine 7 [running", Kind::BrokenHeader);
        check("goroutine profile: total 8", Kind::Total);
        check("goroutine 7 exited", Kind::Other);
        for line in [
            "main.f()",
            "main.(*T).f(...)",
            "main.f[...](0xc000?, {0x1, 0x2}, ...)",
            "a.b/c%2ed.F.func1.2-range1(_)",
            "panic({0x1?, 0x2?})",
        ] {
            check(line, Kind::Call);
        }
        for line in [
            "did this (and that)",
            "f(bar)",
            "(x)",
            "msg=f(0x1)",
            "main.a(0x12026/11/25 log",
            "23)",
            "2026/11/25 01:02:03 f(0x1)",
            "heap profile: 4",
            "    at com.example.Main(Main.java:12)",
        ] {
            check(line, Kind::Other);
        }
        check("created by main.f in goroutine 1", Kind::Creator);
        for line in ["\t/a.go:1 +0x1", "        /a.go:1 +0x1", "#011/a.go:1 +0x1"] {
            check(line, Kind::Place(b"/a.go:1 +0x1"));
        }
        check("\t_cgo_gotypes.go:5", Kind::Place(b"_cgo_gotypes.go:5"));
        check("\tat com.example.Main(Main.java:12)", Kind::Tabbed);
        check("\tpanic: again", Kind::Tabbed);
        for line in [
            "rax    0x0",
            "rflags 0x212",
            "exit status 2",
            "PC=0x4 m=0",
            "panic: x",
        ] {
            check(line, Kind::Chatter);
        }
        check("SIGQUIT: quit", Kind::Banner);
        check("fatal error: all goroutines are asleep", Kind::Banner);
        check("x_cgo_wait", Kind::Word);
        check("3 @ 0x1 0x2", Kind::Counted);
        check("1 @", Kind::Counted);
        check("3 apples", Kind::Other);
        check("#\t0x1\tmain.f+0x1\t/a.go:1", Kind::CountedFrame);
        check("# labels: {\"a\":\"b\"}", Kind::CountedFrame);
        check("# a remark", Kind::Other);
    }

    #[test]
    fn a_place_without_its_indentation() {
        assert!(bare_place(b"/a.go:1 +0x1") && bare_place(b"C:/a.go:1"));
        assert!(!bare_place(b"/a.go") && !bare_place(b"a.go:1") && !bare_place(b"12:30"));
    }
}
