#!/bin/bash
# The last part of `make demo`: a Kubernetes cluster on this machine, in a network namespace and folders of its own, cleaned
# up to zero at the end. Every line after a "$" is the real output of that command.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

if [ "${1:-}" != inside ]; then # nothing of the machine's own network is in the way, or touched
    exec unshare --net -- "$0" inside
fi
ip link set lo up
work=$(mktemp -d "${TMPDIR:-/var/tmp}/boxship-demo.XXXXXX")
export BOXSHIP_HOST=unix://$work/run/boxship.sock KUBECONFIG=$work/data/control/admin.kubeconfig
export PATH=$PWD/.venv/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
roots=(--data-root "$work/data" --run-root "$work/run")
loader=

heading() { printf '\n== %s\n' "$*"; }
show() {
    printf '$ %s\n' "$*"
    "$@" 2>&1
}
await() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then die "waited $seconds s for: $what"; fi
        sleep 0.05
    done
}
# Fetches a page again and again, each time by a new connection, until the file appears; then says how it went.
load() {
    .venv/bin/python -I - "$1" "$2" <<'PROGRAM'
import collections, pathlib, sys, threading, time, urllib.request

address, end = sys.argv[1], pathlib.Path(sys.argv[2])
came, lost = collections.Counter(), []

def work():
    while not end.exists():
        try:
            with urllib.request.urlopen(address, timeout=5) as page:
                came[page.read().decode().strip()] += 1
        except OSError as error:
            lost.append(str(error))
        time.sleep(0.002)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for text, count in sorted(came.items()):
    print(f"{count:6} x {text}")
print(f"{len(lost):6} requests lost" + (f": {lost[0]}" if lost else ""))
PROGRAM
}
begin_load() {
    rm -f "$work/enough"
    load "http://$address/" "$work/enough" >"$work/load" &
    loader=$!
}
end_load() {
    touch "$work/enough"
    wait "$loader"
    loader=
    cat "$work/load"
}
write_manifest() {
    cat >"$work/web.yaml" <<MANIFEST
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 3
      containers:
      - name: web
        image: web:$1
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
MANIFEST
}
build() {
    printf '%s\n' "$2" >"$work/web/index.html"
    show boxship build --quiet --tag "web:$1" "$work/web"
}
field() { boxship get "$1" -o "jsonpath=$2"; }
restarts() {
    case $(boxship get pods -l app=web -o 'jsonpath={.items[*].status.containerStatuses[*].restartCount}') in *1*) ;; *) false ;; esac
}
only_three() { [ "$(boxship get pods -o name | wc -l)" = 3 ]; }
page() { .venv/bin/python -I -c 'import sys, urllib.request as web; web.urlopen(sys.argv[1], timeout=5)' "http://$address/"; }
# What of ours the machine still has: a line for each thing.
remains() {
    grep -l -s -F "$work/" /proc/[0-9]*/mountinfo | sed 's/^/mounts in /' || true
    ip -o link show | grep -v ': lo:' || true
    nft list tables || true
    find /sys/fs/cgroup -type d -path "*$instance*" 2>/dev/null | sed 's/^/cgroup /' || true
    pgrep -a -f -- "$work/" | grep -v "demo-cluster" | sed 's/^/process /' || true
    find "$work/data" -path '*/content/*' -type f 2>/dev/null | sed 's/^/file /' || true
}
clean_up() {
    local status=$?
    set +e
    touch "$work/enough" 2>/dev/null
    if [ $status -ne 0 ]; then
        printf '\nthe demo failed; this was said at last:\n' >&2
        tail -n 20 "$work"/run/*.log >&2
        boxship get pods >&2
    fi
    boxship cluster down --purge --quiet "${roots[@]}" >/dev/null 2>&1
    pkill -KILL -f -- "$work/run"
    rm -rf "$work"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

heading "A Kubernetes cluster of this one machine"
show boxship cluster up --node-name here "${roots[@]}"
instance=$(cat "$work/data/engine/instance")
show boxship get nodes

heading "An image that is built here and pushed nowhere, and three pods of it"
mkdir "$work/web"
cat >"$work/web/Dockerfile" <<'DOCKERFILE'
FROM busybox
COPY index.html /www/
CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
DOCKERFILE
show boxship base busybox
build one "Hello from version one"
write_manifest one
show cat "$work/web.yaml"
show boxship apply -f "$work/web.yaml"
show boxship rollout status deployment/web --timeout 30s
show boxship get pods -o wide
show boxship ps
address=$(field service/web '{.spec.clusterIP}')
await 10 "the service" page

heading "Under load: a container is killed, and comes back"
begin_load
victim=$(boxship ps --quiet | head -n 1)
show boxship kill "$victim"
await 20 "the container's new start" restarts
show boxship rollout status deployment/web --timeout 30s
end_load >/dev/null
show boxship get pods

heading "Under load: version two is rolled out, and no request is lost"
begin_load
build two "Hello from version two"
write_manifest two
show boxship apply -f "$work/web.yaml"
show boxship rollout status deployment/web --timeout 60s
sleep 0.5 # of version two alone
end_load
grep -q '^ *0 requests lost' "$work/load" || die "requests were lost"
grep -q 'version two' "$work/load" || die "version two was never seen"

heading "Under load: and back to version one"
begin_load
show boxship rollout undo deployment/web
show boxship rollout status deployment/web --timeout 60s
sleep 0.5
end_load
grep -q '^ *0 requests lost' "$work/load" || die "requests were lost"
show boxship rollout history deployment/web

await 20 "the old pods' end" only_three
heading "The agent and the control plane are killed; the pods serve on, and both find everything again"
begin_load
show pkill -KILL -f -- "--run-root $work/run"
await 5 "the processes' end" sh -c "! boxship version"
sleep 0.3
show boxship cluster up "${roots[@]}"
show boxship get pods
end_load
grep -q '^ *0 requests lost' "$work/load" || die "requests were lost"

before=$(remains | cut -d' ' -f1 | wc -l)
heading "Cleaned up to zero"
show boxship delete -f "$work/web.yaml"
show boxship cluster down --purge "${roots[@]}"
left=$(remains | grep -v '^file' || true)
if [ -n "$left" ]; then
    printf '%s\n' "$left" >&2
    die "something is left"
fi
printf 'there were %s interfaces, rules, cgroups, processes and files; now there are none but images, which go with\n' "$before"
show rm -r "$work"
