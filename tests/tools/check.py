#!/usr/bin/env python3
"""Checks the recorded profiles against what is known of the program they were taken from.

    check.py [DIR...]      default: every folder of tests/data

For each folder with goroutines, truth.json (written from the source of the program) is compared with the debug=2 text of the
same capture and with its leak profile, and the totals of the other two encodings are printed. Ends with OK and
status 0, or FAILED and 1. It reads through godump.py and pprofdump.py, which share no code with the exporter.
"""

import glob
import json
import os
import re
import sys
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import godump
import pprofdump

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")


def check(d):
    t = json.load(open(d + "/truth.json"))
    bad = []
    src = d + "/goroutine.debug2.txt"
    sigquit = not os.path.exists(src)
    if sigquit:
        src = d + "/stderr.txt"
    gs = godump.parse(open(src, errors="replace").read())
    heads = len(gs)
    uniq = {}
    for g in gs:
        uniq.setdefault(g["id"], g)
    gs = list(uniq.values())
    key = lambda g: (
        g["reason"],
        godump.first_user([f[0] for f in g["frames"]]),
        g["created_by"],
        g["locked"],
    )
    have = Counter(map(key, gs))
    exp = Counter()
    for k, v in t["kinds"].items():
        exp[(v["wait_reason"], v["first_user_frame"], v["created_by"], v["locked_to_thread"])] += v["count"]
    miss = exp - have
    extra = have - exp
    if sigquit:
        extra = Counter()
    if miss:
        bad.append(("MISSING", dict(miss)))
    line = "%-36s headers %d unique %d expected %d matched %d (%.2f%%) others %s" % (
        os.path.basename(d),
        heads,
        len(gs),
        t["total_of_kinds"],
        sum((exp & have).values()),
        100.0 * sum((exp & have).values()) / t["total_of_kinds"],
        [(n,) + k for k, n in extra.items()] if len(extra) < 8 else len(extra),
    )
    print(line)
    if not sigquit and os.path.exists(d + "/goroutine.debug1.txt"):
        d1 = open(d + "/goroutine.debug1.txt", errors="replace").read()
        tot1 = int(re.match(r"goroutine profile: total (\d+)", d1).group(1))
        sum1 = sum(int(x) for x in re.findall(r"^(\d+) @", d1, re.M))
        tot0 = sum(s[0] for s in pprofdump.load(open(d + "/goroutine.debug0.pb.gz", "rb").read())["samples"])
        print("    totals: debug2 %d debug1 %d (sum of groups %d) debug0 %d" % (len(gs), tot1, sum1, tot0))
    if os.path.exists(d + "/goroutineleak.debug2.txt"):
        g2 = godump.parse(open(d + "/goroutineleak.debug2.txt", errors="replace").read())
        lk = Counter(godump.first_user([f[0] for f in g["frames"]]) for g in g2 if g["leaked"])
        ex = Counter()
        for v in t["kinds"].values():
            if v["leaked_in_goroutineleak_profile"]:
                ex[v["first_user_frame"]] += v["leaked_in_goroutineleak_profile"]
        tot0 = sum(
            s[0] for s in pprofdump.load(open(d + "/goroutineleak.debug0.pb.gz", "rb").read())["samples"]
        )
        print(
            "    leak: expected %d, (leaked) in debug2 %d of %d goroutines listed, debug0 %d, missing %s extra %s"
            % (sum(ex.values()), sum(lk.values()), len(g2), tot0, dict(ex - lk), dict(lk - ex))
        )
        if ex != lk:
            bad.append("LEAK")
    for b in bad:
        print("    FAIL", b)
    return not bad


if __name__ == "__main__":
    ok = [
        check(d.rstrip("/"))
        for d in sys.argv[1:] or sorted(glob.glob(DATA + "/go*"))
        if os.path.exists(d + "/truth.json") and not os.path.exists(d + "/block.pb.gz")
    ]
    print("OK" if all(ok) else "FAILED", sum(ok), "of", len(ok))
    sys.exit(0 if all(ok) else 1)
