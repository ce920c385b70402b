#!/bin/bash
# Gets the other side of the registry's tests where the machine has none: `skopeo` and Debian's `docker-registry`.
# Unpacks the distribution's packages into build/peers, which installs nothing and starts nothing.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

target=build/peers
have() {
    command -v "$1" >/dev/null || [ -x $target/usr/bin/"$1" ]
}
have skopeo && have docker-registry && exit 0
command -v apt-get >/dev/null || die "no skopeo or docker-registry, and not a Debian machine: install them"

apt_refresh
for package in skopeo docker-registry; do
    have $package && continue
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    say "unpacking the package $package into $target"
    # What it needs that this machine has not: the closest of its libraries, unpacked beside it.
    needed=$(apt-get -s -o Debug::NoLocking=true install --no-install-recommends $package | awk '$1 == "Inst" { print $2 }')
    (cd "$work" && apt_quiet -o APT::Sandbox::User=root download $package $needed)
    mkdir -p $target
    for archive in "$work"/*.deb; do
        dpkg -x "$archive" $target
    done
    rm -rf "$work"
    [ -x $target/usr/bin/$package ] || die "the package $package has no program of that name"
done
