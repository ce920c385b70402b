"""Probes beyond the list: answers that come late or lead elsewhere, how startup holds back the others, a probe's own
grace, and pods that are ending."""

import time
from typing import Any

import pytest
from conformance_kit import Space
from containers_kit import Spec, begin, pod, status
from nodes_kit import condition

pytestmark = pytest.mark.slow

EVERY = {"periodSeconds": 1, "failureThreshold": 1}
REDIRECTS = """mkdir -p /w/cgi-bin; echo ok > /w/page
say='printf "Status: 302 Found\\\\r\\\\nLocation: %s\\\\r\\\\n\\\\r\\\\nmoved"'
lead() { printf "#!/bin/sh\\n$say\\n" $2 > /w/cgi-bin/$1; }
lead away http://0.0.0.0/; lead near /page; lead nowhere /nothing; chmod +x /w/cgi-bin/*
httpd -p 8080 -h /w; exec sleep 600"""


def runs(*command: str, **more: object) -> Spec:
    return {"exec": {"command": list(command)}, **EVERY, **more}


def page(path: str, port: int | str, **more: object) -> Spec:
    return {"httpGet": {"path": path, "port": port, **more}, **EVERY}


def serves(name: str, script: str = "exec sleep 600", *, grace: int = 0, **probes: Any) -> Spec:
    return pod(name, script, probes, {"restartPolicy": "Always", "terminationGracePeriodSeconds": grace})


def restarts(space: Space, name: str) -> int:
    return int(status(space, name).get("restartCount") or 0)


def messages(space: Space, name: str, reason: str) -> set[str]:
    found = space.request("GET", "events").object["items"]
    return {one["message"] for one in found if one["involvedObject"]["name"] == name and one["reason"] == reason}


def test_answers_that_come_late(space: Space) -> None:
    """A command counts until its time is over, whatever it says later, and whoever holds its output."""
    begin(
        space,
        serves("slow", livenessProbe=runs("sleep", "10")),
        serves("unready", readinessProbe=runs("sleep", "10")),
        serves("fails", livenessProbe=runs("sh", "-c", "sleep 10 & exit 1")),
        serves("loud", readinessProbe=runs("sh", "-c", "yes | head -c 300000")),
    )
    space.until(lambda: restarts(space, "slow") and restarts(space, "fails"), "both are restarted")
    space.until_ready("loud")
    assert any("timed out after 1s" in text for text in messages(space, "slow", "Unhealthy"))
    space.until(lambda: messages(space, "unready", "Unhealthy"), "one is told of")
    assert condition(space.pod("unready"), "Ready") == "False" and not restarts(space, "unready")


def test_where_questions_lead(space: Space) -> None:
    """Other hosts are not asked, the same one is; ports have names, and a host may be named."""
    named: Spec = {"ports": [{"name": "web", "containerPort": 8080}]}
    begin(
        space,
        serves("away", REDIRECTS, livenessProbe=page("/cgi-bin/away", 8080)),
        serves("nowhere", REDIRECTS, livenessProbe=page("/cgi-bin/nowhere", 8080)),
        serves("named", REDIRECTS, readinessProbe=page("/cgi-bin/near", "web"), **named),
        serves("stranger", REDIRECTS, readinessProbe=page("/page", "other"), **named),
        serves("host", REDIRECTS, readinessProbe=page("/page", 8080, host="127.0.0.1")),
    )
    space.until_ready("named")
    space.until(lambda: messages(space, "away", "ProbeWarning"), "a warning tells of the other host")
    assert messages(space, "away", "ProbeWarning") == {
        "Liveness probe warning: Probe terminated redirects, Response body: moved"
    }
    space.until(lambda: restarts(space, "nowhere"), "the page that it leads to is not there")
    space.until(lambda: messages(space, "stranger", "Unhealthy"), "nobody knows the port's name")
    assert restarts(space, "away") == 0
    assert condition(space.pod("host"), "Ready") == condition(space.pod("stranger"), "Ready") == "False"


def test_startup_holds_back_the_others(space: Space) -> None:
    late = "sleep 3; touch /tmp/startup; exec sleep 600"
    begins = runs("cat", "/tmp/startup", failureThreshold=60)
    begin(
        space,
        serves("never", livenessProbe=runs("true"), startupProbe=runs("false", failureThreshold=2)),
        serves("held", livenessProbe=runs("false"), startupProbe=runs("false", failureThreshold=60)),
        serves("then", late, livenessProbe=runs("false"), startupProbe=begins),
        serves("ready", late, readinessProbe=runs("true", periodSeconds=30), startupProbe=begins),
    )
    space.until(lambda: restarts(space, "never"), "who does not begin is restarted")
    assert "Container main failed startup probe, will be restarted" in messages(space, "never", "Killing")
    assert not status(space, "ready")["ready"] or status(space, "ready")["started"]
    space.until(lambda: status(space, "ready").get("started"), "it has begun")
    space.until_ready("ready", seconds=10)  # at once, though its period is longer
    space.until(lambda: restarts(space, "then"), "it is asked as soon as it has begun")
    assert restarts(space, "held") == 0 and status(space, "held")["started"] is False


def test_who_is_ended_by_a_probe_has_not_done_its_work(space: Space) -> None:
    """Under OnFailure it is restarted though it ended well, under Never the pod fails."""
    well, sick = "trap 'exit 0' TERM; while true; do sleep 0.2; done", {"livenessProbe": runs("false")}
    grace = {"terminationGracePeriodSeconds": 5}
    begin(
        space,
        pod("again", well, sick, {**grace, "restartPolicy": "OnFailure"}),
        pod("ends", "trap 'exit 3' TERM; while true; do sleep 0.2; done", sick, grace),
    )
    space.until(lambda: restarts(space, "again"), "it is restarted")
    assert status(space, "again")["lastState"]["terminated"]["exitCode"] == 0
    assert space.until_phase("ends", "Failed")["status"]["containerStatuses"][0]["restartCount"] == 0
    assert messages(space, "ends", "Killing") == {"Container main failed liveness probe"}


def test_a_probes_own_grace(space: Space) -> None:
    """Shorter than the pod's, whose program does not hear of its end."""
    deaf = "trap '' TERM; while true; do sleep 1; done"
    begin(
        space,
        serves("liveness", deaf, grace=500, livenessProbe=runs("false", terminationGracePeriodSeconds=1)),
        serves("startup", deaf, grace=500, startupProbe=runs("false", terminationGracePeriodSeconds=1)),
    )
    space.until(lambda: restarts(space, "liveness") and restarts(space, "startup"), "both are restarted", 30)
    space.kubectl("delete", "pod", "liveness", "startup", "--grace-period=0", "--force")


def test_who_ends_is_asked_for_readiness_alone(space: Space) -> None:
    ends = "trap 'rm /tmp/ready /tmp/live; sleep 6; exit 0' TERM"
    script = f"{ends}; touch /tmp/ready /tmp/live; while true; do sleep 0.2; done"
    ready, live = runs("cat", "/tmp/ready"), runs("cat", "/tmp/live", initialDelaySeconds=1)
    begin(space, serves("ends", script, grace=30, readinessProbe=ready, livenessProbe=live))
    space.until_ready("ends")
    space.kubectl("delete", "pod", "ends", "--wait=false")
    seen = []

    def unready() -> bool:
        seen.append(space.pod("ends"))
        return condition(seen[-1], "Ready") == "False"

    space.until(unready, "it is not ready any more while it ends", 15)
    assert (
        seen[-1]["metadata"]["deletionTimestamp"] and "running" in seen[-1]["status"]["containerStatuses"][0]["state"]
    )
    space.until(lambda: space.is_gone("pods/ends"), "it has ended by itself", 30)
    assert not any("liveness" in text for text in messages(space, "ends", "Killing"))


def test_sidecars_are_asked_too(space: Space) -> None:
    """The next container waits until it has begun; it is restarted alone, and counts for the pod's readiness."""
    side = {
        "name": "side",
        "image": "busybox",
        "restartPolicy": "Always",
        "command": ["sh", "-c", "sleep 1; touch /tmp/up; exec sleep 600"],
        "startupProbe": runs("cat", "/tmp/up", failureThreshold=30),
        "readinessProbe": runs("cat", "/tmp/ready"),
        "livenessProbe": runs("test", "!", "-e", "/tmp/sick"),
    }
    begin(space, pod("both", "exec sleep 600", spec={"initContainers": [side]}))
    space.until_phase("both", "Running")
    beside = space.pod("both")["status"]["initContainerStatuses"][0]
    assert beside["started"] is True and condition(space.pod("both"), "Ready") == "False"
    space.shell("both", "touch /tmp/ready", "side")
    space.until_ready("both")
    began = time.monotonic()
    space.shell("both", "touch /tmp/sick", "side")
    space.until(lambda: space.pod("both")["status"]["initContainerStatuses"][0]["restartCount"] == 1, "it is restarted")
    assert time.monotonic() - began < 40 and restarts(space, "both") == 0
