"""Probes: who is restarted, who is not, and who is ready when. All pods of a test begin at once, for most of the time
is waiting."""

import json
import time
from typing import Any

import pytest
from conformance_kit import Space
from nodes_kit import condition

from boxship.cluster.objects import times

pytestmark = pytest.mark.slow

# Says SERVING to whoever asks for its health, as gRPC does: what HTTP/2 needs for that is always the same bytes.
HEALTHY = (
    r"\000\000\000\004\000\000\000\000\000"  # settings
    r"\000\000\024\001\004\000\000\000\001\210\017\020\020application/grpc"
    r"\000\000\007\000\000\000\000\000\001\000\000\000\000\002\010\001"
    r"\000\000\017\001\005\000\000\000\001\000\013grpc-status\0010"
)
GRPC = (
    f"printf 'head -c 40 >/dev/null; printf \"%s\"; cat >/dev/null' '{HEALTHY}' > /say; exec nc -ll -p 5000 -e sh /say"
)
WEB = "mkdir /w && echo ok > /w/healthz && httpd -p 8080 -h /w"
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sh, -c, {script}]
    {probe}
---
"""


def pods(wanted: dict[str, tuple[str, str]]) -> str:
    """By name: what it runs, and its probes."""
    return "".join(
        POD.format(name=name, script=json.dumps(script), probe=probe) for name, (script, probe) in wanted.items()
    )


def status(space: Space, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = space.pod(name)["status"].get("containerStatuses") or [{}]
    return found[0]


def restarts(space: Space, name: str) -> int:
    return int(status(space, name).get("restartCount") or 0)


EVERY = "periodSeconds: 1, failureThreshold: 1"
HTTP = "httpGet: {path: /healthz, port: 8080}"
CAT = "exec: {command: [cat, /tmp/health]}"
STEADY = {
    "http": (f"{WEB}; exec sleep 600", f"livenessProbe: {{{HTTP}, {EVERY}}}"),
    "exec": ("echo ok > /tmp/health; exec sleep 600", f"livenessProbe: {{{CAT}, {EVERY}}}"),
    "tcp": (f"{WEB}; rm /w/healthz; exec sleep 600", f"livenessProbe: {{tcpSocket: {{port: 8080}}, {EVERY}}}"),
    "grpc": (GRPC, f"livenessProbe: {{grpc: {{port: 5000}}, {EVERY}}}"),
}
SICK = {
    "http": (f"{WEB}; sleep 2; rm /w/healthz; exec sleep 600", f"livenessProbe: {{{HTTP}, {EVERY}}}"),
    "exec": (
        "echo ok > /tmp/health; sleep 2; rm /tmp/health; exec sleep 600",
        f"livenessProbe: {{{CAT}, {EVERY}}}",
    ),
    "grpc": (GRPC, f"livenessProbe: {{grpc: {{port: 2333}}, {EVERY}}}"),
}


# Covers: Pod liveness probe, using http endpoint, failure; Pod liveness probe, using grpc call, success;
# Pod liveness probe, using local file, no restart; Pod liveness probe, using tcp socket, no restart.
def test_who_is_well_goes_on(space: Space) -> None:
    both = {
        name: (script, probe + "\n    " + probe.replace("live", "readi")) for name, (script, probe) in STEADY.items()
    }
    space.apply(pods(both))
    space.until_ready(*STEADY)  # each kind has been answered well once
    began = time.monotonic()
    space.until(lambda: time.monotonic() > began + 4, "some answers later")
    assert {name: restarts(space, name) for name in STEADY} == dict.fromkeys(STEADY, 0)
    assert not space.events("--field-selector=reason=Killing")


# Covers: Pod liveness probe, using http endpoint, restart; Pod liveness probe, using grpc call, failure;
# Pod liveness probe, using local file, restart; Pod liveness probe, using http endpoint, multiple restarts (slow).
def test_who_is_sick_is_restarted_each_time(space: Space) -> None:
    space.apply(pods(SICK))
    seen: list[int] = []

    def often() -> bool:
        seen.append(restarts(space, "http"))
        return seen[-1] >= 2 and restarts(space, "exec") >= 1 and restarts(space, "grpc") >= 1

    space.until(often, "all are restarted, one of them twice")
    assert seen == sorted(seen)
    ended = status(space, "exec")["lastState"]["terminated"]
    assert ended["exitCode"] == 137, ended
    told = {(one["involvedObject"]["name"], one["message"]) for one in space.events()}
    assert ("exec", "Container main failed liveness probe, will be restarted") in told
    unwell = {name: text for name, text in told if text.startswith("Liveness probe failed: ")}
    assert unwell["http"] == "Liveness probe failed: HTTP probe failed with statuscode: 404"
    assert "cat: can't open '/tmp/health'" in unwell["exec"]
    assert "timeout: failed to connect service" in unwell["grpc"] and "within 1s" in unwell["grpc"]


# Covers: Pod readiness probe, with initial delay; Pod readiness probe, failure.
def test_readiness_restarts_nobody(space: Space) -> None:
    late = f"readinessProbe: {{{HTTP}, initialDelaySeconds: 3, {EVERY}}}"
    never = f"readinessProbe: {{exec: {{command: ['false']}}, {EVERY}}}"
    space.apply(pods({"late": (f"{WEB}; exec sleep 600", late), "never": ("exec sleep 600", never)}))
    space.until_ready("late")
    began = times.moment(status(space, "late")["state"]["running"]["startedAt"])
    pod = space.pod("late")
    ready = next(one for one in pod["status"]["conditions"] if one["type"] == "Ready")
    assert (times.moment(ready["lastTransitionTime"]) - began).total_seconds() >= 2  # whole seconds are told
    failed = "--field-selector=reason=Unhealthy,involvedObject.name=never"
    space.until(lambda: any(one.get("count", 1) > 1 for one in space.events(failed)), "it has failed more than once")
    never_pod = space.pod("never")
    assert never_pod["status"]["phase"] == "Running"
    assert condition(never_pod, "Ready") == "False" and condition(never_pod, "ContainersReady") == "False"
    assert [restarts(space, name) for name in ("late", "never")] == [0, 0]
