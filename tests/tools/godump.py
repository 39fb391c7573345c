#!/usr/bin/env python3
"""Reads goroutine dumps in text form (debug=2, SIGQUIT, panic): a second reader for the exporter's tests.

    godump.py FILE...      for each file its groups: count, reason, locked, leaked, has minutes, function, creator

parse(text) returns one dict a goroutine: id, reason, leaked, minutes, locked, extra, labels (raw text or None),
frames [(function, file, line)] leaf first, created_by, created_in.
"""

import re
import sys

HDR = re.compile(r"^goroutine (\d+)(?: gp=0x[0-9a-f]+ m=(?:\d+|nil)(?: mp=0x[0-9a-f]+)?)? \[(.*)$")
PLUMB = {
    "runtime",
    "sync",
    "sync/atomic",
    "time",
    "net",
    "os",
    "syscall",
    "io",
    "bufio",
    "iter",
    "reflect",
    "panic",
}


def pkg(fn):
    """import path of a symbol: up to the first dot after the last slash that precedes any '(' or '['"""
    if fn == "panic":
        return "panic"
    cut = min([i for i in (fn.find("("), fn.find("[")) if i >= 0] or [len(fn)])
    head = fn[:cut]
    sl = head.rfind("/")
    dot = fn.find(".", sl + 1)
    return fn[:dot] if dot >= 0 else fn


def plumbing(fn):
    p = pkg(fn)
    return (
        p in PLUMB
        or p.startswith("internal/")
        or p.startswith("runtime/internal/")
        or p.startswith("vendor/")
    )


def first_user(frames):
    """first non-plumbing function, else the outermost one"""
    for f in frames:
        if not plumbing(f):
            return f
    return frames[-1] if frames else ""


def strip_args(s):
    # the argument list is the LAST balanced (...) group of the line: function names contain parentheses too
    if not s.endswith(")"):
        return s
    d = 0
    for i in range(len(s) - 1, -1, -1):
        if s[i] == ")":
            d += 1
        elif s[i] == "(":
            d -= 1
            if d == 0:
                return s[:i]
    return s


def header(line):
    m = HDR.match(line)
    if not m:
        return None
    rest = m.group(2)
    # Go 1.26 (GODEBUG=tracebacklabels=1): [state labels:{"k": "v"}]:   Go 1.27 (default): [state] {k: v}:
    # states themselves never contain ']' but label values may, in both.
    labels = None
    e, l = rest.find("]"), rest.find(" labels:{")
    if 0 <= l < e or (l >= 0 and e < 0):
        st = rest[:l]
        labels = rest[l + 8 : rest.rfind("}") + 1]
    else:
        if e < 0:
            return None
        st, tail = rest[:e], rest[e + 1 :].strip()
        if tail.startswith("{"):
            labels = tail[: tail.rfind("}") + 1]
    parts = st.split(", ")
    g = dict(
        id=int(m.group(1)),
        state=st,
        minutes=0,
        locked=False,
        extra=[],
        labels=labels,
        frames=[],
        created_by=None,
        created_in=None,
        elided=0,
    )
    r = parts[0]
    g["leaked"] = " (leaked)" in r
    for suf in (" (scan)", " (leaked)", " (durable)"):
        r = r.replace(suf, "")
    g["reason"] = r
    for p in parts[1:]:
        mm = re.match(r"(\d+) minutes$", p)
        if mm:
            g["minutes"] = int(mm.group(1))
        elif p == "locked to thread":
            g["locked"] = True
        else:
            g["extra"].append(p)
    return g


def parse(text):
    out, g = [], None
    for line in text.split("\n"):
        line = line.rstrip("\r")
        h = header(line)
        if h:
            g = h
            out.append(g)
            pend = None
            continue
        if g is None:
            continue
        if line == "":
            g = None
            continue
        if line.startswith("\t") or line.startswith("    "):
            m = re.match(r"\s+(.*?):(\d+)(?: \+0x[0-9a-f]+)?(?: fp=.*)?$", line)
            if m and pend is not None and g["frames"]:
                f = g["frames"][-1]
                if f[1] is None:
                    g["frames"][-1] = (f[0], m.group(1), int(m.group(2)))
            continue
        if line.startswith("created by "):
            c = line[len("created by ") :]
            m = re.match(r"(.*) in goroutine (\d+)$", c)
            g["created_by"], g["created_in"] = (m.group(1), int(m.group(2))) if m else (c, None)
            pend = None
            continue
        m = re.match(r"\.\.\.(?:(\d+)|additional) frames elided\.\.\.", line)
        if m:
            g["elided"] = int(m.group(1) or -1)
            continue
        g["frames"].append((strip_args(line), None, 0))
        pend = True
    return out


if __name__ == "__main__":
    from collections import Counter

    for p in sys.argv[1:]:
        gs = parse(open(p, errors="replace").read())
        print("#", p, len(gs))
        for k, n in sorted(
            Counter(
                (
                    g["reason"],
                    g["locked"],
                    g["leaked"],
                    bool(g["minutes"]),
                    first_user([f[0] for f in g["frames"]]),
                    g["created_by"],
                )
                for g in gs
            ).items(),
            key=lambda x: str(x),
        ):
            print(n, *k, sep="\t")
