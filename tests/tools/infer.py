#!/usr/bin/env python3
"""Finds wait reasons from the frames of the protobuf alone, and compares them with the text of the same capture.

    infer.py [DIR...]      default: every folder of tests/data

Goroutines are paired by their visible stack (function names without the runtime's own frames, type arguments
and wrappers removed), since the protobuf has no goroutine ids. Two lines a folder: by function names alone, and
with the source lines that tell nil channels (tests/data/nil_chan_lines.json). A second opinion on the
exporter's classification; it shares no code with it.
"""

import glob
import json
import os
import re
import sys
from collections import Counter, defaultdict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import godump
import pprofdump

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")

SEMA = [  # first match in the frames above runtime.semacquire1
    ("internal/sync.runtime_SemacquireMutex", "sync.Mutex.Lock"),
    ("sync.runtime_SemacquireMutex", "sync.Mutex.Lock"),
    ("sync.runtime_SemacquireRWMutexR", "sync.RWMutex.RLock"),
    ("sync.runtime_SemacquireRWMutex", "sync.RWMutex.Lock"),
    ("sync.runtime_SemacquireWaitGroup", "sync.WaitGroup.Wait"),
    ("internal/poll.runtime_Semacquire", "semacquire"),
    ("sync.runtime_Semacquire", "semacquire"),
]
PARK = {  # the frame that called gopark (goparkunlock skipped)
    "runtime.chanrecv": "chan receive",
    "runtime.chansend": "chan send",
    "runtime.selectgo": "select",
    "runtime.block": "select (no cases)",
    "runtime.netpollblock": "IO wait",
    "time.Sleep": "sleep",
    "runtime.timeSleep": "sleep",
    "sync.runtime_notifyListWait": "sync.Cond.Wait",
    "runtime.bgsweep": "GC sweep wait",
    "runtime.bgscavenge": "GC scavenge wait",
    "runtime.forcegchelper": "force gc (idle)",
    "runtime.runfinq": "finalizer wait",
    "runtime.runFinalizers": "finalizer wait",
    "runtime.gcBgMarkWorker": "GC worker (idle)",
    "runtime.(*scavengerState).park": "GC scavenge wait",
    "runtime.traceReader": "trace reader (blocked)",
    "runtime.ReadTrace": "trace reader (blocked)",
    "runtime.gcParkAssist": "GC assist wait",
    "runtime.chanrecv1": "chan receive",
    "runtime.runCleanups": "cleanup wait",
    "runtime.(*cleanupQueue).dequeue": "cleanup wait",
}
SYSC = (
    "syscall.Syscall",
    "syscall.Syscall6",
    "syscall.RawSyscall",
    "syscall.RawSyscall6",
    "internal/runtime/syscall.Syscall6",
    "runtime/internal/syscall.Syscall6",
    "internal/runtime/syscall/linux.Syscall6",
    "os/signal.signal_recv",
    "runtime.notetsleepg",
    "runtime.cgocall",
    "syscall.rawVforkSyscall",
    "syscall.runtime_entersyscall",
    "runtime.entersyscall",
    "runtime.exitsyscall",
    "syscall.syscall",
    "syscall.syscall6",
)


def infer(fs, minor=None, nil_lines=None, lines=None):
    """fs: function names, innermost first. minor: Go minor version where known (only to print what that version prints)."""
    if not fs:
        return "runnable"  # a goroutine that has not run yet: the sample has NO locations at all
    i = 0
    if fs[0] == "runtime.coroswitch" or fs[0].startswith("runtime.coroswitch"):
        return "coroutine"
    if fs[0] == "runtime.corostart":
        return "coroutine"
    if fs[0] == "runtime.gopark":
        i = 1
        if len(fs) > 1 and fs[1] == "runtime.goparkunlock":
            i = 2
        f = fs[i] if i < len(fs) else ""
        if f in ("runtime.semacquire1", "runtime.semacquire"):
            for g in fs[i + 1 : i + 3]:
                for name, r in SEMA:
                    if g == name:
                        return fix(r, fs[i + 1 :], minor)
            return "semacquire"
        if f in PARK:
            r = PARK[f]
            if nil_lines and (f, lines[i]) in nil_lines:
                r += " (nil chan)"
            return r
        return "?park:" + f
    if fs[0] in SYSC or any(f in ("os/signal.signal_recv",) for f in fs[:3]):
        return "syscall"
    if (
        fs[0].startswith("runtime.goroutineProfile")
        or fs[0].startswith("runtime/pprof.runtime_goroutineProfile")
        or fs[0].startswith("runtime/pprof.")
        or fs[0].startswith("runtime.pprof_goroutine")
        or fs[0].startswith("runtime.goroutineLeak")
    ):
        return "running"
    return "runnable"


def fix(r, above, minor):
    # Before 1.22 (measured) the sync package called the plain runtime_Semacquire* for WaitGroup etc.
    if r == "sync.Mutex.Lock" and minor is not None and minor < 20:
        return "semacquire"
    if r in ("sync.RWMutex.RLock", "sync.RWMutex.Lock") and minor is not None and minor < 20:
        return "semacquire"
    if r == "sync.WaitGroup.Wait" and minor is not None and minor < 24:
        return "semacquire"
    return r


def canonical(fs):
    """a reason that means the same in every version: looks past the runtime's name at the sync method"""
    r = infer(fs)
    if r in ("semacquire", "sync.Mutex.Lock"):
        for f in fs:
            if f == "sync.(*WaitGroup).Wait":
                return "sync.WaitGroup.Wait"
            if f.startswith("sync.(*RWMutex).") and r == "semacquire":
                return "sync.RWMutex.RLock" if "RLock" in f else "sync.RWMutex.Lock"
            if f.endswith("sync.(*Mutex).lockSlow") or f.endswith("sync.(*Mutex).Lock"):
                return "sync.Mutex.Lock"
    return r


HIDE = re.compile(r"^(runtime\.[a-z(]|runtime\.goexit|runtime/internal/|internal/runtime/)")


def visible(fs):
    out = []
    for f in fs:
        f = re.sub(r"\[.*?\](?=[.)]|$|·|-)", "[...]", f)
        f = "panic" if f == "runtime.gopanic" else f
        if HIDE.match(f) and not f.startswith(("runtime.runFinalizers", "runtime.runfinq")):
            continue
        out.append(f)
    return tuple(out)


def nil_lines(d):
    t = json.load(open(DATA + "/nil_chan_lines.json"))
    b = os.path.basename(d.rstrip("/"))
    for v, l in t.items():
        if b == "go" + v or b.startswith("go" + v + "-"):
            return {(x, y) for x, y in l}
    return None


def pairs(d, name="goroutine", minor=None, nl=None):
    gs = godump.parse(open(d + "/" + name + ".debug2.txt", errors="replace").read())
    by = defaultdict(Counter)
    tot2 = len(gs)
    for g in gs:
        fs = [f[0] for f in g["frames"]]
        by[
            tuple(
                f
                for f in fs
                if not HIDE.match(f) or f.startswith(("runtime.runFinalizers", "runtime.runfinq"))
            )[:24]
        ][g["reason"]] += 1
    ok = bad = unpaired = 0
    wrong = Counter()
    chains = defaultdict(Counter)
    for c, st, l in pprofdump.load(open(d + "/" + name + ".debug0.pb.gz", "rb").read())["samples"]:
        fs = [x[0] for x in st]
        lines = [x[2] for x in st]
        v = visible(fs)[:24]
        r = infer(fs, minor, nl, lines)
        m = by.get(v)
        if not m and r == "running":
            m = next((x for k, x in by.items() if x.get("running", 0) > 0), None)
        if not m and not fs:
            m = next((x for k, x in by.items() if x.get("runnable", 0) > 0 and len(k) == 1), None)
        if not m:
            m = by.get(tuple(f for f in v if f not in ("runtime.runfinq", "runtime.runFinalizers")))
        if not m:
            unpaired += c
            wrong[("UNPAIRED", r, " < ".join(fs[:4]))] += c
            continue
        for _ in range(c):
            # prefer a goroutine of the inferred reason; else any left
            if m[r] > 0:
                m[r] -= 1
                ok += 1
                t = r
            else:
                t = next((k for k, n in m.items() if n > 0), None)
                if t is None:
                    unpaired += 1
                    continue
                m[t] -= 1
                bad += 1
                wrong[(t, r, " < ".join(fs[:5]))] += 1
            k = []
            for f in fs:
                k.append(f)
                if not godump.plumbing(f):
                    k.pop()
                    break
            chains[t][" < ".join(k)] += 1
    return tot2, ok, bad, unpaired, wrong, chains


if __name__ == "__main__":
    for d in sys.argv[1:] or sorted(glob.glob(DATA + "/go*")):
        if not os.path.exists(d + "/goroutine.debug0.pb.gz"):
            continue
        b = os.path.basename(d.rstrip("/"))
        mm = re.match(r"go1\.(\d+)", b)
        minor = int(mm.group(1)) if mm else None
        for nl in (None, nil_lines(d)):
            tot, ok, bad, un, wrong, ch = pairs(d, minor=minor, nl=nl)
            print(
                "%-34s %-16s debug2 %d  right %d wrong %d unpaired %d  = %.2f%%"
                % (
                    b,
                    "frames+nil lines" if nl else "frames only",
                    tot,
                    ok,
                    bad,
                    un,
                    100.0 * ok / max(1, ok + bad + un),
                )
            )
            for k, n in wrong.most_common(8):
                print("      ", n, k)
