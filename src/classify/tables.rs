//! The data behind classification: packages, wait-reason words and the runtime's functions, with their source.

use super::WaitReason;
use super::WaitReason::{
    ChanReceive, ChanSend, CondWait, Coroutine, IoWait, MutexLock, Running, Runtime, RwMutexLock,
    RwMutexRLock, Select, SelectNoCases, Semacquire, Sleep, Syscall, WaitGroupWait,
};

/// Packages that are never the blocking frame, sorted. `internal/...`, `runtime/internal/...` and the standard
/// library's `vendor/...` are too; `net/http`, `os/exec`, `os/signal`, `context` and `database/sql` are not.
pub const PLUMBING: [&[u8]; 14] = [
    b"bufio",
    b"bytes",
    b"crypto/tls",
    b"io",
    b"iter",
    b"net",
    b"os",
    b"panic",
    b"reflect",
    b"runtime",
    b"sync",
    b"sync/atomic",
    b"syscall",
    b"time",
];

/// First elements of the import paths that Go keeps for its standard library (`go list std`, Go 1.19 to 1.27), sorted.
pub const STDLIB_ROOTS: [&[u8]; 53] = [
    b"archive",
    b"arena",
    b"bufio",
    b"bytes",
    b"cmp",
    b"compress",
    b"container",
    b"context",
    b"crypto",
    b"database",
    b"debug",
    b"embed",
    b"encoding",
    b"errors",
    b"expvar",
    b"flag",
    b"fmt",
    b"go",
    b"hash",
    b"html",
    b"image",
    b"index",
    b"internal",
    b"io",
    b"iter",
    b"log",
    b"maps",
    b"math",
    b"mime",
    b"net",
    b"os",
    b"panic",
    b"path",
    b"plugin",
    b"reflect",
    b"regexp",
    b"runtime",
    b"simd",
    b"slices",
    b"sort",
    b"strconv",
    b"strings",
    b"structs",
    b"sync",
    b"syscall",
    b"testing",
    b"text",
    b"time",
    b"unicode",
    b"unique",
    b"unsafe",
    b"uuid",
    b"weak",
];

/// The words of a text header and what they stand for, sorted. Words absent here are `unknown`.
///
/// Source: `waitReasonStrings` and `gStatusStrings` in Go's runtime/runtime2.go and runtime/traceback.go, Go 1.13
/// to 1.27. The suffixes ` (scan)`, ` (leaked)` and ` (durable)` are cut before the look-up.
pub(super) const STATED: [(&[u8], WaitReason); 60] = [
    (b"???", WaitReason::Unknown),
    (b"GC assist marking", Runtime),
    (b"GC assist wait", Runtime),
    (b"GC mark termination", Runtime),
    (b"GC scavenge wait", Runtime),
    (b"GC sweep wait", Runtime),
    (b"GC weak to strong wait", Runtime),
    (b"GC worker (active)", Runtime),
    (b"GC worker (idle)", Runtime),
    (b"GC worker init", Runtime),
    (b"GOMAXPROCS updater (idle)", Runtime),
    (b"IO wait", IoWait),
    (b"chan receive", ChanReceive),
    (b"chan receive (nil chan)", ChanReceive),
    (b"chan receive (synctest)", ChanReceive),
    (b"chan send", ChanSend),
    (b"chan send (nil chan)", ChanSend),
    (b"chan send (synctest)", ChanSend),
    (b"cleanup wait", Runtime),
    (b"copystack", Running),
    (b"coroutine", Coroutine),
    (b"dead", Runtime),
    (b"debug call", Runtime),
    (b"dumping heap", Runtime),
    (b"finalizer wait", Runtime),
    (b"flushing proc caches", Runtime),
    (b"force gc (idle)", Runtime),
    (b"garbage collection", Runtime),
    (b"garbage collection scan", Runtime),
    (b"idle", Runtime),
    (b"leaked", WaitReason::Unknown),
    (b"page trace flush", Runtime),
    (b"panicwait", Runtime),
    (b"preempted", Running),
    (b"runnable", Running),
    (b"running", Running),
    (b"select", Select),
    (b"select (no cases)", SelectNoCases),
    (b"select (synctest)", Select),
    (b"semacquire", Semacquire),
    (b"sleep", Sleep),
    (b"stopping the world", Runtime),
    (b"sync.Cond.Wait", CondWait),
    (b"sync.Mutex.Lock", MutexLock),
    (b"sync.RWMutex.Lock", RwMutexLock),
    (b"sync.RWMutex.RLock", RwMutexRLock),
    (b"sync.WaitGroup.Wait", WaitGroupWait),
    (b"synctest.Run", Runtime),
    (b"synctest.Wait", Runtime),
    (b"syscall", Syscall),
    (b"timer goroutine (idle)", Runtime),
    (b"trace goroutine status", Runtime),
    (b"trace proc status", Runtime),
    (b"trace reader (blocked)", Runtime),
    (b"update GOMAXPROCS", Runtime),
    (b"wait for GC cycle", Runtime),
    (b"wait for debug call", Runtime),
    (b"wait until GC ends", Runtime),
    (b"waiting", WaitReason::Unknown),
    (b"zombie", Runtime),
];

/// What a function near the leaf says about the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    None,
    /// `runtime.gopark`: the goroutine is parked, the caller says why.
    Park,
    /// `runtime.goparkunlock`: between gopark and its caller.
    ParkUnlock,
    /// The caller of gopark, whose reason is this.
    Parked(WaitReason),
    /// The runtime's semaphore: who took it decides.
    Semaphore,
    /// The semaphore as a package sees it, with the reason Go 1.20 and later print for it.
    SemaphoreEntry(WaitReason),
    /// The method of package sync that waits, which means the same in every version.
    Method(WaitReason),
    /// At the leaf, not parked: this reason.
    Leaf(WaitReason),
    /// A visible stand-in for a hidden caller of gopark (`internal/poll.runtime_pollWait`).
    StandIn(WaitReason),
}

/// The role of a function, by its symbol.
///
/// Source: the callers of gopark and semacquire in Go's runtime/{chan,select,sema,netpoll,time,coro,trace}.go,
/// and sync/*.go, Go 1.19 to 1.27.
pub(super) fn role(function: &[u8]) -> Role {
    // Nearly all functions of an application are none of these: told by their first byte.
    if !matches!(function.first(), Some(b'i' | b'o' | b'r' | b's' | b't')) {
        return Role::None;
    }
    match function {
        b"runtime.gopark" => Role::Park,
        b"runtime.goparkunlock" => Role::ParkUnlock,
        b"runtime.chanrecv" | b"runtime.chanrecv1" | b"runtime.chanrecv2" => {
            Role::Parked(ChanReceive)
        }
        b"runtime.chansend" | b"runtime.chansend1" => Role::Parked(ChanSend),
        b"runtime.selectgo" => Role::Parked(Select),
        b"runtime.block" => Role::Parked(SelectNoCases),
        b"runtime.netpollblock" => Role::Parked(IoWait),
        b"time.Sleep" | b"runtime.timeSleep" => Role::Parked(Sleep),
        b"sync.runtime_notifyListWait" => Role::Parked(CondWait),
        b"runtime.semacquire" | b"runtime.semacquire1" => Role::Semaphore,
        b"sync.runtime_SemacquireMutex" | b"internal/sync.runtime_SemacquireMutex" => {
            Role::SemaphoreEntry(MutexLock)
        }
        b"sync.runtime_SemacquireRWMutexR" => Role::SemaphoreEntry(RwMutexRLock),
        b"sync.runtime_SemacquireRWMutex" => Role::SemaphoreEntry(RwMutexLock),
        b"sync.runtime_SemacquireWaitGroup" => Role::SemaphoreEntry(WaitGroupWait),
        b"sync.runtime_Semacquire" | b"internal/poll.runtime_Semacquire" => {
            Role::SemaphoreEntry(Semacquire)
        }
        b"sync.(*Mutex).Lock"
        | b"sync.(*Mutex).lockSlow"
        | b"internal/sync.(*Mutex).Lock"
        | b"internal/sync.(*Mutex).lockSlow" => Role::Method(MutexLock),
        b"sync.(*RWMutex).RLock" => Role::Method(RwMutexRLock),
        b"sync.(*RWMutex).Lock" => Role::Method(RwMutexLock),
        b"sync.(*WaitGroup).Wait" => Role::Method(WaitGroupWait),
        b"sync.(*Cond).Wait" => Role::Method(CondWait),
        b"runtime.coroswitch" | b"runtime.coroswitch_m" | b"runtime.corostart" => {
            Role::Leaf(Coroutine)
        }
        b"internal/poll.runtime_pollWait" => Role::StandIn(IoWait),
        b"reflect.chanrecv" => Role::StandIn(ChanReceive),
        b"reflect.chansend" | b"reflect.chansend0" => Role::StandIn(ChanSend),
        b"reflect.rselect" => Role::StandIn(Select),
        b"os/signal.signal_recv" => Role::StandIn(Syscall),
        b"runtime.notetsleepg"
        | b"runtime.cgocall"
        | b"runtime.entersyscall"
        | b"runtime.exitsyscall"
        | b"runtime.reentersyscall"
        | b"syscall.Syscall"
        | b"syscall.Syscall6"
        | b"syscall.Syscall9"
        | b"syscall.RawSyscall"
        | b"syscall.RawSyscall6"
        | b"syscall.rawVforkSyscall"
        | b"syscall.rawSyscallNoError"
        | b"syscall.runtime_entersyscall"
        | b"syscall.syscall"
        | b"syscall.syscall6"
        | b"syscall.syscallX"
        | b"syscall.syscall6X"
        | b"syscall.SyscallN"
        | b"internal/runtime/syscall.Syscall6"
        | b"internal/runtime/syscall/linux.Syscall6"
        | b"internal/runtime/syscall/windows.StdCall"
        | b"runtime/internal/syscall.Syscall6" => Role::Leaf(Syscall),
        _ if parks_for_the_runtime(function) => Role::Parked(Runtime),
        _ => Role::None,
    }
}

/// Callers of gopark that wait for the runtime's own ends. A function of the runtime that is not named in
/// [`role`] and calls gopark does so for itself.
fn parks_for_the_runtime(function: &[u8]) -> bool {
    function.starts_with(b"runtime.") || function.starts_with(b"internal/synctest.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_for_binary_search() {
        assert!(PLUMBING.is_sorted());
        assert!(STDLIB_ROOTS.is_sorted());
        assert!(STATED.is_sorted_by_key(|(words, _)| *words));
    }
}
