#!/bin/sh
# A leak gate: looks at a service, puts load on it, waits until it is quiet again, and looks a second time. What is
# there then and was not before has leaked.
#
#   gate.sh SERVICE [ARGUMENT...]
#
# The service prints "ready URL" when it serves, with /debug/pprof under that URL. Exits 0 when nothing grew, 1 when
# something leaked, 2 when that could not be found out.
#
# Environment:
#   GOROUTINE_EXPORTER  the program; default: goroutine_exporter
#   REQUESTS            how much load: requests of /quote; default 200
#   MOST                by how many goroutines a group may grow; default 10
#   SUMMARY             file to which a Markdown summary is added, such as "$GITHUB_STEP_SUMMARY"; default: none
#   QUIET_SECONDS       how long to wait for quiet at most; default 30

set -eu

exporter=${GOROUTINE_EXPORTER:-goroutine_exporter}
requests=${REQUESTS:-200}
most=${MOST:-10}
patience=${QUIET_SECONDS:-30}
work=$(mktemp -d)
service=''

clean_up() {
    # A service that has ended by itself is not there to be told: nothing to fail for, the verdict stands.
    if [ -n "$service" ]; then kill "$service" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 2' INT TERM

cannot() {
    echo "gate.sh: $1" >&2
    exit 2
}

# until_true WHAT COMMAND...: asks again until it is so.
until_true() {
    what=$1
    shift
    deadline=$(($(date +%s) + patience))
    until "$@"; do
        [ "$(date +%s)" -lt "$deadline" ] || cannot "waited ${patience}s for $what"
        kill -0 "$service" 2>/dev/null || cannot "the service ended: $(cat "$work/log")"
        # Not a wait for the condition, only a pause between two questions.
        sleep 0.1
    done
}

look() { "$exporter" inspect --format json "$url" >"$1"; }
is_ready() { grep -q '^ready ' "$work/log"; }

# Quiet is when two looks, one after the other, see the same: nothing comes, nothing goes.
is_quiet() {
    look "$work/first.json" && look "$work/second.json" &&
        "$exporter" diff --fail-on-growth 0 "$work/first.json" "$work/second.json" >"$work/moved" &&
        "$exporter" diff --fail-on-growth 0 "$work/second.json" "$work/first.json" >"$work/moved"
}

[ $# -gt 0 ] || cannot 'usage: gate.sh SERVICE [ARGUMENT...]'
"$@" >"$work/log" 2>&1 &
service=$!
until_true 'the service' is_ready
url=$(sed -n 's/^ready //p' "$work/log")

# One request before the first look: what a service starts once, at its first request, is no leak.
curl -fsS "$url/quote" >"$work/answer" || cannot 'the service does not answer'
until_true 'quiet before the load' is_quiet
look "$work/before.json" || cannot 'no first look'

# The load. The connections end with it, and so do the goroutines that serve them.
curl -fsS "$url/quote?[1-$requests]" >"$work/answer" || cannot 'the load failed'
until_true 'quiet after the load' is_quiet
# One profile for both answers, so that they cannot tell different stories. The profile itself, because a report has no
# stacks.
curl -fsS "$url/debug/pprof/goroutine" >"$work/after.pb.gz" || cannot 'no second look'

compare() { "$exporter" diff --stacks --fail-on-growth "$most" "$@" "$work/before.json" "$work/after.pb.gz"; }
gate=0
compare || gate=$?
if [ -n "${SUMMARY:-}" ]; then
    summary=0
    compare --format markdown >>"$SUMMARY" || summary=$?
    [ "$summary" = "$gate" ] || cannot "the summary could not be written to $SUMMARY"
fi
exit "$gate"
