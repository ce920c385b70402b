#!/bin/bash
# `make fresh`: does a clone of this commit work on a fresh Debian, with git, make and python3 alone? Makes such a root
# filesystem, enters it in mount and process namespaces of its own, and runs make there with stdin closed.
# Usage: tools/fresh-machine.sh [TARGET...]     (default: demo)
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

[ "$(id -u)" = 0 ] || die "needs root"
root=$(mktemp -d /var/tmp/boxship-fresh.XXXXXX)
trap 'rm -rf --one-file-system "$root"' EXIT
tools/setup.sh
say "making a fresh Debian in $root"
.venv/bin/boxship base debian --include git,make,python3 --quiet --output "$root.tar"
tar -xf "$root.tar" -C "$root" --exclude './dev/*'
rm "$root.tar"
cp /etc/resolv.conf "$root/etc/"
# Behind a proxy that signs again, the machine's own authorities are needed to fetch Python packages.
certificates=/etc/ssl/certs/ca-certificates.crt
if [ -e $certificates ]; then install -D -m 644 $certificates "$root/opt/host-authorities.crt"; fi
git clone --quiet . "$root/root/boxship"

export ROOT=$root
unshare --mount --pid --fork --kill-child bash -euc '
    mount --bind "$ROOT" "$ROOT"
    mount --rbind /dev "$ROOT/dev"
    mount --rbind /sys "$ROOT/sys"
    mount -t proc proc "$ROOT/proc"
    mount -t tmpfs tmpfs "$ROOT/run"
    mkdir "$ROOT/old"
    cd "$ROOT"
    pivot_root . old
    umount --lazy /old
    cd /root/boxship
    [ ! -e /opt/host-authorities.crt ] || authorities=PIP_CERT=/opt/host-authorities.crt
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ${authorities:-} make "$@"
' make "${@:-demo}" <&-
