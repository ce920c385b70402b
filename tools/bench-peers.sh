#!/bin/bash
# Installs the engines that `make bench` measures beside ours. Neither is started, now or at boot.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

wanted=()
command -v dockerd >/dev/null || wanted+=(docker.io)
command -v podman >/dev/null || wanted+=(podman netavark aardvark-dns)
command -v iptables >/dev/null || wanted+=(iptables)
command -v buildah >/dev/null || wanted+=(buildah)
command -v docker-registry >/dev/null || [ -x build/peers/usr/bin/docker-registry ] || wanted+=(docker-registry)
if [ ${#wanted[@]} -eq 0 ]; then
    say "docker, podman, buildah and docker-registry are installed"
    exit 0
fi
without_starting_services apt_install "${wanted[@]}"
if [ -d /run/systemd/system ]; then
    for unit in docker.socket docker.service containerd.service podman.socket podman-auto-update.timer podman-restart.service docker-registry.service; do
        systemctl disable --quiet $unit 2>/dev/null || true
    done
fi
say "installed: ${wanted[*]} (not started)"
