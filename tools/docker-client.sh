#!/bin/bash
# Gets the stock `docker` client where the machine has none: unpacks the distribution's package into build/, which
# installs nothing and starts nothing.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

command -v docker >/dev/null && exit 0
target=build/docker
[ -x $target/usr/bin/docker ] && exit 0
command -v apt-get >/dev/null || die "no docker client, and not a Debian machine: install one"

apt_refresh
for package in docker-cli docker.io; do # newer releases have the client alone
    apt-cache policy $package 2>/dev/null | grep 'Candidate: [0-9]' >/dev/null || continue
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    say "unpacking the docker client of the package $package into $target"
    (cd "$work" && apt_quiet -o APT::Sandbox::User=root download $package)
    mkdir -p "$work/tree" build
    dpkg -x "$work"/*.deb "$work/tree"
    if [ -x "$work/tree/usr/bin/docker" ]; then
        mkdir -p $target/usr/bin
        mv "$work/tree/usr/bin/docker" $target/usr/bin/docker
        exit 0
    fi
    rm -rf "$work"
done
die "found no package with a docker client"
