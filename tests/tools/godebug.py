#!/usr/bin/env python3
"""Totals of the gctrace and schedtrace lines in a file, read a second way: regular expressions and decimals.

    tests/tools/godebug.py stderr.txt

Prints one JSON object. It is the other reader that the exporter's own is held against, so it shares nothing with it. It wants
lines that are whole, of one program that runs through, and takes them from anywhere in a line.
"""

import json
import re
import sys
from decimal import Decimal

MS = r"(\d+(?:\.\d+)?)"
GC = re.compile(
    rf"gc (\d+) @(\d+\.\d{{3}})s (\d+)%( \(checking for goroutine leaks\))?: "
    rf"{MS}\+{MS}\+{MS} ms clock, {MS}\+{MS}/{MS}/{MS}\+{MS} ms cpu, "
    r"(\d+)->(\d+)->(\d+) MB, (\d+) MB goal, (\d+) MB stacks, (\d+) MB globals, (\d+) P( \(forced\))?$"
)
SCHED = re.compile(r"SCHED (\d+)ms: (.*) \[ ?([\d ]+?) ?\](?: schedticks=\[ ([\d ]+) \])?$")


def microseconds(text):
    return int(Decimal(text) * 1000)


def main(path):
    totals = dict.fromkeys(
        "lines cycles lost forced leak_checks sweep_us mark_us termination_us pause_cpu_us assist_us background_us "
        "idle_us samples ticks joined growing growing_pause_us".split(),
        0,
    )
    last_cycle, last_sample, next_number, ticks = None, None, None, None
    between, before = [], None
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            if not line.endswith("\n"):
                break
            totals["lines"] += 1
            line = line.rstrip("\n")
            if found := GC.search(line):
                (number, at, percent, leaks, sweep, mark, termination, cpu1, assist, background, idle, cpu2,
                 start, end, live, goal, stacks, globals_, procs, forced) = found.groups()
                totals["cycles"] += 1
                totals["lost"] += int(number) - (next_number or int(number))
                next_number = int(number) + 1
                totals["forced"] += forced is not None
                totals["leak_checks"] += leaks is not None
                totals["sweep_us"] += microseconds(sweep)
                totals["mark_us"] += microseconds(mark)
                totals["termination_us"] += microseconds(termination)
                totals["pause_cpu_us"] += microseconds(cpu1) + microseconds(cpu2)
                totals["assist_us"] += microseconds(assist)
                totals["background_us"] += microseconds(background)
                totals["idle_us"] += microseconds(idle)
                between.append(microseconds(sweep) + microseconds(termination))
                last_cycle = {
                    "number": int(number), "at_ms": int(Decimal(at) * 1000), "percent": int(percent),
                    "bytes": [int(mb) << 20 for mb in (start, end, live, goal, stacks, globals_)], "procs": int(procs),
                }
            elif found := SCHED.search(line):
                at, words, queues, rounds = found.groups()
                words = dict(word.split("=") for word in words.split())
                local = sum(map(int, queues.split()))
                totals["samples"] += 1
                if rounds:
                    now = sum(map(int, rounds.split()))
                    totals["ticks"] += now - (now if ticks is None else ticks)
                    ticks = now
                last_sample = {
                    "at_ms": int(at), "local": local,
                    **{key: int(words[key]) for key in
                       "gomaxprocs idleprocs threads spinningthreads idlethreads runqueue".split()},
                }
                runnable = local + int(words["runqueue"])
                if before is not None and int(at) - before[0] <= 10_000:
                    totals["joined"] += len(between)
                    if runnable > before[1]:
                        totals["growing"] += len(between)
                        totals["growing_pause_us"] += sum(between)
                before, between = (int(at), runnable), []
    json.dump({**totals, "last_cycle": last_cycle, "last_sample": last_sample}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
