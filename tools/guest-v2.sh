#!/bin/bash
# `make v2`: the engine on a host with pure cgroup v2. Boots Debian's kernel in QEMU's software processor, with a Debian
# made from this machine's package sources, and runs a program of tests/hosts there. Everything lies in build/guest-v2;
# the guest's disk is thrown away after each run.
# Usage: tools/guest-v2.sh [--make] [PROGRAM [ARGUMENT...]]     (default: tests/hosts/inside_cgroup_v2.py)
#   --make only makes the guest. The exit code is the program's.
# GUEST_SECONDS: the run's deadline (default 1200).
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

guest=$PWD/build/guest-v2
packages=python3-venv,crun,runc,conmon,nftables,libnftables1,iproute2,procps,busybox-static,tini,zstd,kmod,ca-certificates
kernel=linux-image-cloud-amd64
disk_size=1600M
memory=2048 # MB
seconds=${GUEST_SECONDS:-1200}

[ "$(id -u)" = 0 ] || die "needs root: the guest's files belong to root"
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || die "needs a Debian machine with amd64"
command -v qemu-system-x86_64 >/dev/null || die "needs QEMU: apt-get install --no-install-recommends qemu-system-x86"

# Debian's kernel, unpacked and not installed.
fetch_kernel() {
    local package
    package=$(apt-cache depends $kernel | awk '$1 == "Depends:" {print $2; exit}')
    [ -n "$package" ] || die "the package sources have no $kernel"
    say "unpacking $package"
    (cd "$work" && apt_quiet -o APT::Sandbox::User=root download "$package")
    mkdir "$work/kernel"
    dpkg -x "$work/$package"_*.deb "$work/kernel"
    rm "$work/$package"_*.deb
    mv "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
}

# A Debian with the Python packages that pyproject.toml names; the sources come with each run.
fill_root() {
    local root=$work/root certificates=/etc/ssl/certs/ca-certificates.crt
    .venv/bin/boxship base debian --include $packages --quiet --output "$work/root.tar"
    mkdir "$root"
    tar -xf "$work/root.tar" -C "$root" --exclude './dev/*'
    rm "$work/root.tar"
    cp -a "$work/kernel/lib/modules" "$root/usr/lib/"
    chroot "$root" depmod "$(ls "$root/usr/lib/modules")"
    cp /etc/resolv.conf "$root/etc/"
    # Behind a proxy that signs again, the machine's own authorities are needed to fetch Python packages.
    if [ -e $certificates ]; then install -D -m 644 $certificates "$root/opt/host-authorities.crt"; fi
    .venv/bin/python -c 'import sys, tomllib
project = tomllib.load(sys.stdin.buffer)["project"]
print("\n".join(project["dependencies"] + [p for p in project["optional-dependencies"]["dev"] if p.startswith(("pytest", "hypothesis"))]))
' <pyproject.toml >"$root/opt/requirements"
    say "installing the Python packages for the guest's Python"
    ROOT=$root unshare --mount bash -euc '
        mount --rbind /dev "$ROOT/dev"
        mount -t proc proc "$ROOT/proc"
        [ ! -e "$ROOT/opt/host-authorities.crt" ] || authorities=PIP_CERT=/opt/host-authorities.crt
        exec chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ${authorities:-} sh -euc "
            python3 -m venv /opt/venv
            /opt/venv/bin/pip install -qq --disable-pip-version-check --retries 5 -r /opt/requirements
            echo /boxship/src >\$(echo /opt/venv/lib/python3*/site-packages)/boxship.pth"'
    for program in boxship:boxship.cli boxshipd:boxship.main; do
        printf '#!/opt/venv/bin/python\nimport sys\nfrom %s import main\nsys.exit(main())\n' ${program#*:} \
            >"$root/opt/venv/bin/${program%:*}"
        chmod 755 "$root/opt/venv/bin/${program%:*}"
    done
    rm "$root/etc/resolv.conf"
    mkdir -p "$root/boxship"
}

# What the kernel starts first: it loads the disk's driver and changes over to the disk.
make_first_stage() {
    local stage=$work/first root=$work/root module file
    mkdir -p "$stage"/{bin,dev,proc,disk,modules}
    cp "$(command -v busybox)" "$stage/bin/busybox"
    : >"$stage/order"
    for module in virtio_pci virtio_blk; do
        chroot "$root" modprobe --set-version "$(ls "$root/usr/lib/modules")" --show-depends $module |
            awk '$1 == "insmod" {print $2}' | while read -r file; do
            if grep -q -x "${file##*/}" "$stage/order"; then continue; fi
            cp "$root/$file" "$stage/modules/"
            echo "${file##*/}" >>"$stage/order"
        done
    done
    cat >"$stage/init" <<'SCRIPT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod /modules/$module; done </order
/bin/busybox mount -t ext4 /dev/vda /disk
/bin/busybox tar -xf /dev/vdb -C /disk/boxship
/bin/busybox mount --move /dev /disk/dev
exec /bin/busybox switch_root /disk /bin/sh /boxship/tools/guest-v2-init.sh
SCRIPT
    chmod 755 "$stage/init"
    (cd "$stage" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
}

make_guest() {
    local made_for
    made_for=$(cat tools/guest-v2.sh pyproject.toml | sha256sum)
    [ "$(cat "$guest/made-for" 2>/dev/null)" != "$made_for" ] || return 0
    tools/setup.sh
    apt_refresh
    rm -rf "$guest" "$guest.new"
    work=$guest.new
    mkdir -p "$work"
    fetch_kernel
    fill_root
    make_first_stage
    say "making the guest's disk"
    truncate -s $disk_size "$work/disk"
    mke2fs -q -t ext4 -d "$work/root" "$work/disk"
    rm -rf "$work/root" "$work/kernel" "$work/first"
    echo "$made_for" >"$work/made-for"
    mv "$work" "$guest"
}

# The sources as they lie here, compiled, for the guest's processor is slow.
pack_sources() {
    local stage=$run/boxship
    mkdir "$stage"
    cp -a src tests tools pyproject.toml "$stage/"
    find "$stage" -name __pycache__ -type d -prune -exec rm -rf {} +
    .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash "$stage/src" "$stage/tests" || true
    printf '%s\n' "$@" >"$stage/command"
    tar -cf "$run/sources" -C "$stage" .
}

make_guest
if [ "${1:-}" = --make ]; then exit 0; fi
if [ $# = 0 ]; then set -- tests/hosts/inside_cgroup_v2.py; fi
run=$(mktemp -d /var/tmp/boxship-guest.XXXXXX)
trap 'rm -rf "$run"' EXIT
pack_sources "$@"
say "booting the guest, at most $seconds s"
# TMPDIR takes what the guest writes to its disk. The last line of the guest says how its program ended.
TMPDIR=$run timeout --foreground -s KILL "$seconds" qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m $memory \
    -kernel "$guest/vmlinuz" -initrd "$guest/initrd" -append "console=ttyS0 quiet panic=-1 mitigations=off ${GUEST_KERNEL:-}" \
    -drive "file=$guest/disk,format=raw,if=virtio,snapshot=on" -drive "file=$run/sources,format=raw,if=virtio,readonly=on" \
    -nic user,model=virtio-net-pci,restrict=on -display none -monitor none -serial stdio -no-reboot |
    sed -u 's|\r||g' | tee "$run/output" || say "the guest was ended"
status=$(sed -n 's/^guest: program ended with \([0-9]*\)$/\1/p' "$run/output" | tail -n 1)
exit "${status:-124}"
