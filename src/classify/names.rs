//! Function symbols and source paths, as Go's linker writes them.
//!
//! A symbol is `import/path.Name`, `import/path.(*Type).Method`, `import/path.Type[...].Method.func1`. Dots in
//! the last element of the import path are escaped as `%2e`, so the package ends at the first dot after the
//! last slash (cmd/internal/objabi/path.go, `PathToPrefix`).

#[cfg(test)]
mod tests;

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
    let head = memchr::memchr2(b'(', b'[', function)
        .and_then(|end| function.get(..end))
        .unwrap_or(function);
    let element = memchr::memrchr(b'/', head).map_or(0, |slash| slash + 1);
    let dot = head
        .get(element..)
        .and_then(|name| memchr::memchr(b'.', name));
    dot.and_then(|dot| head.get(..element + dot))
        .unwrap_or(function)
}

/// Whether a package is plumbing: what stands between the runtime and the code that waits.
#[must_use]
pub fn is_plumbing(package: &[u8]) -> bool {
    holds(&PLUMBING, package)
        || [&b"internal/"[..], b"runtime/internal/", b"vendor/"]
            .iter()
            .any(|root| package.starts_with(root))
}

/// The name of a symbol as labels show it: without vendor prefix, type arguments as `[...]`, unescaped, valid
/// UTF-8, at most [`NAME_BYTES`] long and never empty: an empty label is the same as none.
#[must_use]
pub fn display(function: &[u8]) -> Cow<'_, str> {
    if function == b"runtime.gopanic" {
        return Cow::Borrowed("panic");
    }
    let package_len = package(function).len();
    let (path, rest) = function.split_at(package_len);
    let path = cut_vendor(path);
    let start = function.len() - path.len() - rest.len();
    let written = function.get(start..).unwrap_or_default();
    if written.is_empty() {
        return Cow::Borrowed(NO_SYMBOL);
    }
    // Most are shown as they are written.
    if memchr::memchr2(b'%', b'[', written).is_none() {
        return shown(written);
    }
    let mut name = Vec::with_capacity(written.len());
    unescape(path, &mut name);
    elide_type_arguments(rest, &mut name);
    Cow::Owned(shown(&name).into_owned())
}

/// Whose code a package is, by the file that one of its functions was compiled from.
///
/// Standard library: below `$GOROOT/src`, or with `-trimpath` a file named by its import path, and a first path
/// element that Go reserves. Dependency: a module cache path (`name@version/`) or a vendor directory. `main`
/// is always the application. Whatever is left is the application, even without a file.
#[must_use]
pub fn origin(package: &[u8], file: &[u8]) -> Origin {
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
/// Below the module cache: what follows `name@version/`. Standard library: what follows `$GOROOT/src/`. Otherwise the
/// longest end of the directory that is also an end of the import path, since nothing tells where a module's root was
/// on the build machine; for `main`, which has no path, the file's name. Too long a path is cut at the front.
#[must_use]
pub fn relative_file<'f>(function: &[u8], file: &'f [u8]) -> Cow<'f, str> {
    if file.is_empty() || file.first() == Some(&b'<') {
        return cut_front(printable(file));
    }
    if let Some(inside) = module_version_end(file).and_then(|end| file.get(end..)) {
        return cut_front(printable(inside));
    }
    if origin(package(function), file) == Origin::Stdlib {
        // The linker names some functions of the runtime into other packages, so the symbol does not tell the folder.
        let source = memchr::memmem::rfind(file, b"/src/").map_or(0, |at| at + b"/src/".len());
        return cut_front(printable(file.get(source..).unwrap_or_default()));
    }
    let path = cut_vendor(package(function));
    let mut plain = Vec::new();
    let path = if memchr::memchr(b'%', path).is_some() {
        unescape(path, &mut plain);
        &plain
    } else {
        path
    };
    let base_at = file
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let directory = file.get(..base_at.saturating_sub(1)).unwrap_or_default();
    let shared = common_elements(directory, path);
    let from = base_at.saturating_sub(if shared == 0 { 0 } else { shared + 1 });
    cut_front(printable(file.get(from..).unwrap_or_default()))
}

/// Text of any bytes as labels show it: valid UTF-8, without control characters, at most [`NAME_BYTES`] long.
#[must_use]
pub fn shown(text: &[u8]) -> Cow<'_, str> {
    cut_middle(printable(text))
}

/// Shortens a name to [`NAME_BYTES`]: both ends stay, a hash of the whole stands for the middle, so that two
/// long names never become one.
#[must_use]
pub fn cut_middle<'n>(name: impl Into<Cow<'n, str>>) -> Cow<'n, str> {
    let name = name.into();
    if name.len() <= NAME_BYTES {
        return name;
    }
    let mark = format!("~{:08x}~", fingerprint(&[&name]) >> 32);
    let side = (NAME_BYTES - mark.len()) / 2;
    let head = name
        .get(..name.floor_char_boundary(side))
        .unwrap_or_default();
    let tail = name
        .get(name.ceil_char_boundary(name.len() - side)..)
        .unwrap_or_default();
    Cow::Owned(format!("{head}{mark}{tail}"))
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

fn cut_front(path: Cow<'_, str>) -> Cow<'_, str> {
    if path.len() <= NAME_BYTES {
        return path;
    }
    let tail_at = path.ceil_char_boundary(path.len() - (NAME_BYTES - "...".len()));
    Cow::Owned(format!("...{}", path.get(tail_at..).unwrap_or_default()))
}

/// Control characters and bytes that are no UTF-8 become U+FFFD, since terminals and pages show names as they are.
fn printable(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly all names are plain.
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && let Ok(text) = str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
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
    if !holds(&STDLIB_ROOTS, first) {
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

/// Whether a name is one of some, sorted and short: nearly all others are told by their length.
fn holds(names: &[&[u8]], name: &[u8]) -> bool {
    name.len() <= LONGEST && names.binary_search(&name).is_ok()
}

/// The length of the longest name in [`PLUMBING`] and [`STDLIB_ROOTS`].
const LONGEST: usize = b"sync/atomic".len();

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
    let plain = memchr::memchr(b'%', path).unwrap_or(path.len());
    let (plain, mut rest) = path.split_at(plain);
    out.extend_from_slice(plain);
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
    // By its second byte: a path has many slashes.
    let Some(&second) = elements.get(1) else {
        return false;
    };
    memchr::memchr_iter(second, path).any(|at| {
        path.get(at.saturating_sub(1)..)
            .is_some_and(|rest| rest.starts_with(elements))
    })
}
