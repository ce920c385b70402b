#!/bin/bash
# Gets the real programs that the tests of the Kubernetes API talk to, unpacked under build/, which installs nothing:
#   build/etcd/etcd, build/etcd/etcdctl         Debian's etcd
#   build/kubectl/VERSION/kubectl               the stock client: Debian 12's 1.20, and the newest of trixie and sid
#   build/faketime/libfaketime.so.1             Debian's, by which a program's clock is moved
# A machine that is no Debian does without (the tests say so and skip); on a Debian a failure is an error, but for a newest
# client that asks for a newer C library than there is.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Lists of other releases ($@), from the place that this machine's own packages come from; apt's own lists stay as they
# are. Its options are in `from` then.
from=()
other_releases() {
    local place keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
    place=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 == "main" && $4 !~ /-/ { print $1; exit }')
    [ -n "$place" ] || die "apt names no place with Debian's packages"
    [ -e $keyring ] && signed="[signed-by=$keyring]"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    printf "deb $signed $place %s main\n" "$@" >"$work/sources.list"
    from=(-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists"
        -o Dir::Cache="$work/cache" -o Acquire::Languages=none)
    apt_quiet -o APT::Sandbox::User=root "${from[@]}" update >/dev/null
}

# Every version of a package that the lists have, one a line.
versions() {
    apt-cache "${from[@]}" madison "$1" 2>/dev/null | awk '{ print $3 }' | sort -Vu
}

# Unpack the package $1 into $work/tree.
unpack() {
    rm -rf "$work/tree" "$work/archives"
    mkdir -p "$work/tree" "$work/archives"
    (cd "$work/archives" && apt_quiet -o APT::Sandbox::User=root "${from[@]}" download "$1")
    dpkg -x "$work"/archives/*.deb "$work/tree"
}

get_etcd() {
    [ -x build/etcd/etcd ] && [ -x build/etcd/etcdctl ] && return
    say "unpacking etcd into build/etcd"
    from=()
    local package
    mkdir -p build/etcd
    for package in etcd-server etcd-client; do
        unpack $package
        mv "$work"/tree/usr/bin/etcd* build/etcd/
    done
}

get_faketime() {
    [ -e build/faketime/libfaketime.so.1 ] && return
    say "unpacking libfaketime into build/faketime"
    from=()
    unpack libfaketime
    mkdir -p build/faketime
    find "$work/tree" -name libfaketime.so.1 -type f -exec mv {} build/faketime/ \;
}

# The client in the package $1 ("NAME=VERSION") into build/kubectl/VERSION. Fails where it does not run here.
place_kubectl() {
    say "unpacking kubectl ($1)"
    unpack "$1"
    local program version
    program=$(find "$work/tree" -name kubectl -type f -perm -100 | head -1)
    [ -n "$program" ] || return 1 # another package has it
    version=$("$program" version --client -o json | sed -n 's/.*"gitVersion": *"v\([0-9.]*\).*/\1/p')
    [ -n "$version" ] || return 1
    mkdir -p "build/kubectl/$version"
    mv "$program" "build/kubectl/$version/kubectl"
}

get_kubectl() {
    [ -e build/kubectl/complete ] && return
    other_releases bookworm trixie sid
    local wanted=() version
    version=$(versions kubernetes-client | grep -m 1 '^1\.20' || true)
    [ -n "$version" ] || die "no release has kubectl 1.20"
    place_kubectl "kubernetes-client=$version" || die "kubectl 1.20 does not run here"
    version=$(versions kubernetes-client | tail -1)
    mapfile -t wanted < <({ versions kubernetes-client | sed 's/^/kubernetes-client=/'; versions kubectl | sed 's/^/kubectl=/'; } |
        grep -v '=1\.20' | sort -t = -k 2 -Vr)
    for version in "${wanted[@]}"; do
        if place_kubectl "$version"; then break; fi
        say "it has none that runs here"
    done
    touch build/kubectl/complete
}

if ! command -v apt-get >/dev/null || ! grep -qx 'ID=debian' /etc/os-release; then
    say "not a Debian machine: the tests with etcd and the stock Kubernetes clients are skipped"
    exit 0
fi
[ -x build/etcd/etcd ] && [ -e build/kubectl/complete ] && [ -e build/faketime/libfaketime.so.1 ] || apt_refresh
get_etcd
get_faketime
get_kubectl
