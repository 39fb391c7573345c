#!/bin/sh
# Runs one of the Go toolchains that install.sh brought, with an environment that reaches no network and
# leaves nothing outside the cache.
#
#   tests/tools/go.sh 1.27.3 build -C examples/go -o /tmp/waits ./waits
#
# The same by hand: GOROOT and GOCACHE in the cache, GOTOOLCHAIN=local, GOPROXY=off, GOFLAGS=-mod=mod,
# CGO_ENABLED=0. Exits 127 when that toolchain is not there.

set -eu

version=${1:?usage: go.sh VERSION ARGUMENT...}
shift
repository=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cache=${GOROUTINE_EXPORTER_CACHE:-$repository/.cache}
GOROOT=$cache/go/$version/go
if [ ! -x "$GOROOT/bin/go" ]; then
    echo "go.sh: no Go $version in $cache/go; run tests/tools/install.sh" >&2
    exit 127
fi
export GOROOT
export GOCACHE="$cache/go-build" GOPATH="$cache/go-path" GOENV=off
export GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0
PATH=$GOROOT/bin:$PATH
export PATH
exec "$GOROOT/bin/go" "$@"
