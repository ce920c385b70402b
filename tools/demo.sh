#!/bin/bash
# `make demo`: the engine at work on this machine, in folders of its own, cleaned up to zero at the end.
# Every line after a "$" is the real output of that command.
set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."
. tools/apt.sh

[ "$(id -u)" = 0 ] || die "the demo needs root: it makes namespaces, mounts and interfaces"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/boxship-demo.XXXXXX")
data=$work/data run=$work/run log=$work/boxshipd.log
export BOXSHIP_HOST=unix://$work/boxship.sock
export PATH=$PWD/.venv/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
daemon=

heading() { printf '\n== %s\n' "$*"; }
show() {
    local word line=
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./:=@%,+-]* | '') line+=" '$word'" ;;
            *) line+=" $word" ;;
        esac
    done
    printf '$%s\n' "$line"
    "$@" 2>&1
}
# Waits for a condition, looking often; gives up after the given seconds.
await() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if [ -n "$daemon" ] && ! kill -0 "$daemon" 2>/dev/null; then die "the daemon ended, before: $what"; fi
        if [ $SECONDS -ge $end ]; then
            die "waited $seconds s for: $what"
        fi
        sleep 0.05
    done
}
start_daemon() {
    printf '$ boxshipd --data-root %s --run-root %s --host %s --registry %s &\n' "$data" "$run" "$BOXSHIP_HOST" "$registry"
    boxshipd --data-root "$data" --run-root "$run" --host "$BOXSHIP_HOST" --registry "$registry" >>"$log" 2>&1 &
    daemon=$!
    await 30 "the daemon to answer" boxship version
}
# Prints a page; with a number, fetches it so often and prints how often it came.
fetch() {
    .venv/bin/python -I - "$@" <<'PROGRAM'
import sys, urllib.request

address, times = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
came = 0
for _ in range(times or 1):
    with urllib.request.urlopen(address, timeout=5) as page:
        text = page.read().decode()
    came += 1
print(came if times else text, end="" if not times else "\n")
PROGRAM
}
# Takes a name out of the registry, by the registry's own API.
unpublish() {
    .venv/bin/python -I -c 'import sys, urllib.request as web
print(web.urlopen(web.Request(sys.argv[1], method="DELETE"), timeout=5).status)' "$1"
}
is_empty() { [ -z "$(find "$1" -type f)" ]; }
free_port() {
    .venv/bin/python -c 'import socket; place = socket.socket(); place.bind(("", 0)); print(place.getsockname()[1])'
}
compose() { show boxship compose --file examples/counter/compose.yaml "$@"; }
# The Debian base; its packages are fetched once in a few days, which is most of its time.
debian_base() {
    local tar=build/examples/debian.tar
    if [ -z "$(find $tar -mtime -3 2>/dev/null)" ]; then
        mkdir -p build/examples
        show boxship base debian --output $tar
    fi
    show boxship import --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        $tar debian:latest
}
pid_of() { boxship inspect --format '{{.State.Pid}}' "$1"; }
runs_again() { [ "$(boxship inspect --format '{{.State.Running}} {{.RestartCount}}' web)" = "true 1" ]; }

# While the container runs: the names of what the kernel holds for it, to look for at the end.
note_what_is_ours() {
    local bridge container
    ip -o link show type bridge | grep -F "alias boxship:$(cat "$data/instance"):" | awk -F': ' '{print $2}' >"$work/bridges"
    { cat "$work/bridges"; while read -r bridge; do
        ip -o link show master "$bridge" | awk -F': ' '{print $2}' | sed 's/@.*//'
    done <"$work/bridges"; } | sort -u >>"$work/interfaces"
    for container in $(boxship ps --quiet); do
        readlink "/proc/$(pid_of "$container")/ns/net" >>"$work/namespaces"
    done
}
# What of ours the machine still has: a line for each thing. No line means that nothing is left.
remains() {
    local instance
    instance=$(cat "$data/instance")
    grep -l -s -F "$work/" /proc/[0-9]*/mountinfo | sed 's/^/mounts in /' || true
    ip -o link show | awk -F': ' '{print $2}' | sed 's/@.*//' | grep -x -F -f "$work/interfaces" | sed 's/^/interface /' || true
    ip -o link show | grep -o -F "alias boxship:$instance:" | sed 's/^/interface with /' || true
    nft list tables | grep -w -F "boxship_$instance" | sed 's/^/rules in /' || true
    find /proc/[0-9]*/ns/net -maxdepth 0 -printf '%p %l\n' 2>/dev/null | grep -F -f "$work/namespaces" | sed 's/^/network namespace of /' || true
    find /sys/fs/cgroup -type d -path "*boxship-$instance*" 2>/dev/null | sed 's/^/cgroup /' || true
    pgrep -a -f -- "$work/" | sed 's/^/process /' || true
    find "$data/content" "$data/snapshots" "$data/containers" "$data/volumes" -type f 2>/dev/null | sed 's/^/file /' || true
}

# After a failure: whatever carries the instance's name or lies in its folder, without the daemon's help.
take_back() {
    local instance group
    instance=$(cat "$data/instance") || return
    pkill -KILL -f -- "$run/"
    find /sys/fs/cgroup -depth -type d -path "*boxship-$instance*" | while read -r group; do
        xargs -r -n 1 kill -KILL <"$group/cgroup.procs"
        await 5 "control group $group" rmdir "$group"
    done
    ip -o link show type bridge | grep "alias boxship:$instance:" | awk -F': ' '{print $2}' | xargs -r -n 1 ip link delete
    nft delete table ip "boxship_$instance"
} 2>/dev/null

clean_up() {
    local status=$?
    set +e
    if [ $status -ne 0 ]; then
        printf '\nthe demo failed; the daemon said at last:\n' >&2
        tail -n 30 "$log" >&2
    fi
    if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
        boxship ps -aq 2>/dev/null | xargs -r boxship rm -f >/dev/null 2>&1
        kill "$daemon"
        wait "$daemon" 2>/dev/null
    fi
    if [ $status -ne 0 ]; then take_back; fi
    rm -rf "$work"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

registry=127.0.0.1:$(free_port)
heading "The daemon, with its own data and run folders and a registry"
start_daemon
show boxship version --format 'client {{.Client.Version}}, daemon {{.Server.Version}}, API {{.Server.APIVersion}}'

heading "A base image from this distribution's own packages: no registry"
show boxship base busybox
show boxship images

heading "The web image, built from a Dockerfile"
mkdir "$work/web"
cat >"$work/web/Dockerfile" <<'DOCKERFILE'
FROM busybox
ARG GREETING=Hello
WORKDIR /www
COPY page.html .
RUN sed -i "s/GREETING/$GREETING/" page.html && mv page.html index.html
EXPOSE 80
CMD ["httpd", "-f", "-vv", "-p", "80", "-h", "/www"]
DOCKERFILE
printf 'GREETING from an image that was built here\n' >"$work/web/page.html"
show cat "$work/web/Dockerfile"
web=$registry/demo/web
show boxship build --progress plain --tag "$web" "$work/web"
printf 'once more, with nothing changed:\n'
show boxship build --progress plain --tag "$web" "$work/web"

heading "Pushed to the built-in registry, removed, pulled back"
built=$(boxship image inspect --format '{{.Id}}' "$web")
show boxship push "$web"
show boxship rmi "$web"
show boxship builder prune --all --force
if boxship image inspect "$web" >/dev/null 2>&1; then die "the image is still there"; fi
show boxship pull "$web"
[ "$(boxship image inspect --format '{{.Id}}' "$web")" = "$built" ] || die "what came back is another image"
printf 'the same image came back: %s\n' "$built"

heading "A container of it that serves a page on a published port"
port=$(free_port)
url=http://127.0.0.1:$port/
show boxship run --detach --name web --restart always --publish "$port:80" "$web"
await 10 "the page" fetch "$url"
show fetch "$url"

heading "Looking at it"
show boxship ps
show boxship logs web
show boxship stats --no-stream
note_what_is_ours
show boxship exec web sh -c 'id; ip -4 -o addr show eth0; ps'

heading "Its process is killed: the restart policy brings it back"
first=$(pid_of web)
show kill -KILL "$first"
await 15 "the container to run again" runs_again
printf 'process %s is gone, process %s runs\n' "$first" "$(pid_of web)"
await 10 "the page" fetch "$url"
show boxship ps
show fetch "$url"

note_what_is_ours
heading "The daemon itself is killed while the container serves"
second=$(pid_of web)
show kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon=
served=$(fetch "$url" 100) || die "a page was not served while the daemon was away"
printf 'without a daemon: %s of 100 pages served\n' "$served"

heading "The daemon starts again and finds everything"
start_daemon
show boxship ps
[ "$(pid_of web)" = "$second" ] || die "the container is not the one that ran before"
printf 'the same process %s runs\n' "$second"
show boxship exec web cat /www/index.html
printf '%s requests are in the log, those of the time without a daemon among them\n' "$(boxship logs web 2>&1 | grep -c 'response:200')"
show boxship why web

heading "An application of two services, from one file: examples/counter"
debian_base
PORT=$(free_port)
export PORT
counter=http://127.0.0.1:$PORT
compose graph
compose up --build --quiet-build --detach --wait
compose ps
note_what_is_ours
show fetch "$counter/"
show fetch "$counter/"
compose restart redis
compose up --detach --wait
[ "$(fetch "$counter/count")" = '{"visits":2}' ] || die "the restart took the count"
show fetch "$counter/"
printf 'another greeting needs another web, and nothing else:\n$ export GREETING=Welcome\n'
export GREETING=Welcome
compose up --detach --wait
show fetch "$counter/"
compose down --volumes --rmi local

note_what_is_ours
before=$(remains | cut -d' ' -f1 | sort | uniq -c | awk '{printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2}')
for kind in mounts interface rules network cgroup process file; do
    case $before in *$kind*) ;; *) die "the look for what is left is blind: it sees no $kind now ($before)" ;; esac
done
heading "Cleaned up to zero"
show boxship rm --force web
show boxship rmi "$web" busybox debian
boxship builder prune --all --force >/dev/null
show unpublish "http://$registry/v2/demo/web/manifests/latest"
show boxship system df
await 5 "the registry's blobs to be gone" is_empty "$data/content/blobs"
show kill "$daemon"
wait "$daemon" || die "the daemon ended with an error"
daemon=
left=$(remains)
if [ -n "$left" ]; then
    printf '%s\n' "$left" >&2
    die "something is left"
fi
printf 'looked for mounts, network namespaces, interfaces, rules, cgroups, processes, files of images and containers:\n'
printf 'there were %s; now there are none\n' "$before"
show rm -r "$work"

tools/demo-cluster.sh
printf '\nThe demo is done; nothing of it is left on this machine.\n'
