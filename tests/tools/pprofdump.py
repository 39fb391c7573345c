#!/usr/bin/env python3
"""Reads pprof protobuf profiles without a protobuf library: a second reader for the exporter's tests.

    pprofdump.py FILE...   for each file ("-" is standard input) a line with totals, then a line a sample:
                           count | labels | leaf:line < ... < root:line

load(bytes) returns dict(samples=[(count, [(function, file, line)] leaf first, {label: [values]})],
sample_types, header).
"""

import gzip
import sys


def varint(b, i):
    r = s = 0
    while True:
        c = b[i]
        i += 1
        r |= (c & 0x7F) << s
        s += 7
        if c < 0x80:
            return r, i


def fields(b):
    i = 0
    while i < len(b):
        k, i = varint(b, i)
        f, w = k >> 3, k & 7
        if w == 0:
            v, i = varint(b, i)
        elif w == 2:
            n, i = varint(b, i)
            v = b[i : i + n]
            i += n
        elif w == 1:
            v = b[i : i + 8]
            i += 8
        elif w == 5:
            v = b[i : i + 4]
            i += 4
        else:
            raise ValueError("wire type %d" % w)
        yield f, w, v


def packed(w, v):
    if w == 0:
        return [v]
    out, i = [], 0
    while i < len(v):
        x, i = varint(v, i)
        out.append(x)
    return out


def load(data):
    """returns dict: samples=[(count,[(func,file,line)...] leaf first, {label:[values]})], sample_types, comments, header"""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    strs, locs, funcs, samples, types = [], {}, {}, [], []
    hdr = {}
    for f, w, v in fields(data):
        if f == 6:
            strs.append(v.decode("utf-8", "backslashreplace"))
        elif f == 2:
            samples.append(v)
        elif f == 1:
            types.append(v)
        elif f == 4:
            lid, lines, m, addr = 0, [], 0, 0
            for a, b_, c in fields(v):
                if a == 1:
                    lid = c
                elif a == 2:
                    m = c
                elif a == 3:
                    addr = c
                elif a == 4:
                    fid = ln = 0
                    for x, y, z in fields(c):
                        if x == 1:
                            fid = z
                        elif x == 2:
                            ln = z
                    lines.append((fid, ln))
            locs[lid] = (lines, addr)
        elif f == 5:
            d = {}
            for a, b_, c in fields(v):
                d[a] = c
            funcs[d.get(1, 0)] = d
        elif w == 0:
            hdr[f] = v

    def S(i):
        return strs[i] if i < len(strs) else "?%d" % i

    out = []
    for s in samples:
        ids, vals, labels = [], [], {}
        for a, w, c in fields(s):
            if a == 1:
                ids += packed(w, c)
            elif a == 2:
                vals += packed(w, c)
            elif a == 3:
                d = {}
                for x, y, z in fields(c):
                    d[x] = z
                labels.setdefault(S(d.get(1, 0)), []).append(
                    S(d.get(2, 0)) if 2 in d else d.get(3, 0) if 3 in d else ""
                )
        st = []
        for i in ids:
            for fid, ln in locs[i][0]:  # innermost (inlined) line first
                fn = funcs.get(fid, {})
                st.append((S(fn.get(2, 0)), S(fn.get(4, 0)), ln))
        out.append((vals[0], st, labels))
    ts = []
    for t in types:
        d = {a: c for a, _, c in fields(t)}
        ts.append((S(d.get(1, 0)), S(d.get(2, 0))))
    return dict(samples=out, sample_types=ts, header=hdr)


if __name__ == "__main__":
    for p in sys.argv[1:]:
        d = load((sys.stdin.buffer if p == "-" else open(p, "rb")).read())
        print(
            "#",
            p,
            d["sample_types"],
            "total",
            sum(c for c, _, _ in d["samples"]),
            "samples",
            len(d["samples"]),
        )
        for c, st, l in d["samples"]:
            print(c, "|", l or "", "|", " < ".join("%s:%d" % (f, n) for f, _, n in st))
