"""Events of both APIs and figures, as the conformance list's section on instrumentation asks for them."""

import datetime
from typing import Any

import pytest
from conformance_kit import Space
from watching_kit import watching

pytestmark = pytest.mark.slow

STAMP = "2026-01-02T03:04:05.678901Z"


def _about(space: Space) -> dict[str, Any]:
    return {"kind": "Pod", "apiVersion": "v1", "name": "some-pod", "namespace": space.name}


def _newer(space: Space, name: str, **labels: str) -> dict[str, Any]:
    """An event of events.k8s.io."""
    return {
        "metadata": {"name": name, "labels": {"case": "yes", **labels}},
        "eventTime": STAMP,
        "note": "first words",
        "type": "Normal",
        "reason": "Testing",
        "action": "Tried",
        "regarding": _about(space),
        "reportingController": "case-controller",
        "reportingInstance": "case-instance",
    }


def _selected(space: Space, path: str, query: str, everywhere: bool = True) -> list[str]:
    """Names of the events of all namespaces that are selected, or of this one."""
    root = "/api/v1" if path == "events" else "/apis/events.k8s.io/v1"
    place = f"{root}/events" if everywhere else space.path(path)
    answer = space.cluster.control.request("GET", f"{place}?{query}")
    assert answer.status == 200, answer
    items = [one for one in answer.object["items"] if one["metadata"]["namespace"] == space.name]
    return sorted(one["metadata"]["name"] for one in items)


# Covers: Event, manage lifecycle of an Event.
def test_an_event_lives_and_dies(space: Space) -> None:
    body = {
        "metadata": {"name": "one", "labels": {"case": "yes"}},
        "message": "first words",
        "reason": "Testing",
        "type": "Normal",
        "count": 1,
        "involvedObject": _about(space),
    }
    made = space.made("events", body)
    assert made["message"] == "first words"
    assert _selected(space, "events", "labelSelector=case%3Dyes") == ["one"]
    assert space.patched("events/one", {"message": "other words"})["message"] == "other words"
    found = space.read("events/one")
    assert (found["message"], found["reason"]) == ("other words", "Testing")
    found["series"] = {"count": 100, "lastObservedTime": STAMP}
    assert space.replaced("events/one", found)["series"]["count"] == 100
    assert space.read("events/one")["series"] == {"count": 100, "lastObservedTime": STAMP}
    assert space.request("DELETE", "events/one").status == 200
    assert _selected(space, "events", "labelSelector=case%3Dyes") == []


# Covers: Event, delete a collection; New Event resource lifecycle, testing a list of events.
@pytest.mark.parametrize("path", ["events", "events.k8s.io/v1/events"])
def test_many_events_are_deleted(space: Space, path: str) -> None:
    for name in ("one", "two", "three"):
        if path == "events":
            space.made(path, {"metadata": {"name": name, "labels": {"case": "yes"}}, "involvedObject": _about(space)})
        else:
            space.made(path, _newer(space, name))
    assert _selected(space, path, "labelSelector=case%3Dyes") == ["one", "three", "two"]
    assert space.request("DELETE", f"{path}?labelSelector=case%3Dyes").status == 200
    space.until(lambda: not _selected(space, path, "labelSelector=case%3Dyes"), "all are gone")


# Covers: New Event resource lifecycle, testing a single event.
def test_an_event_of_the_newer_api(space: Space) -> None:
    path = "events.k8s.io/v1/events"
    made = space.made(path, _newer(space, "one"))
    assert _selected(space, path, "", everywhere=False) == ["one"]
    for query in ("reportingController%3Dcase-controller", "reason%3DTesting", "regarding.name%3Dsome-pod"):
        assert _selected(space, path, f"fieldSelector={query}") == ["one"]
    assert _selected(space, path, "fieldSelector=reportingController%3Dother") == []
    with watching(space.cluster, space.path(path), resourceVersion=made["metadata"]["resourceVersion"]) as seen:
        patched = space.patched(f"{path}/one", {"series": {"count": 2, "lastObservedTime": STAMP}}, _STRATEGIC)
        assert patched["series"]["count"] == 2 and patched["note"] == "first words"
        seen.until(("MODIFIED", "one"))
    found = space.read(f"{path}/one")
    later = datetime.datetime(2026, 1, 2, 3, 4, 6, 500, tzinfo=datetime.UTC).isoformat(timespec="microseconds")
    found["series"] = {"count": 100, "lastObservedTime": later.replace("+00:00", "Z")}
    assert space.replaced(f"{path}/one", found)["series"]["count"] == 100
    # The older API shows the same event under its own names.
    same = space.read("events/one")
    assert (same["message"], same["involvedObject"]["name"], same["reportingComponent"]) == (
        "first words",
        "some-pod",
        "case-controller",
    )
    refused = space.request("POST", path, {**_newer(space, "two"), "eventTime": None})
    assert refused.status == 422 and "eventTime" in refused.object["message"]
    changed = space.request("PUT", f"{path}/one", {**space.read(f"{path}/one"), "note": "it may not change"})
    assert changed.status == 422, changed
    assert space.request("DELETE", f"{path}/one").status == 200
    assert _selected(space, path, "", everywhere=False) == []


_STRATEGIC = "application/strategic-merge-patch+json"


def test_figures_of_pods_and_nodes(space: Space) -> None:
    space.kubectl(
        "run", "p", "--image=busybox", "--image-pull-policy=IfNotPresent", "--", "sh", "-c", "while :; do :; done"
    )
    space.until_ready("p")
    root = "/apis/metrics.k8s.io/v1beta1"

    def told() -> bool:
        answer = space.cluster.control.request("GET", f"{root}/namespaces/{space.name}/pods/p")
        return answer.status == 200 and answer.object["containers"][0]["usage"]["cpu"] != "0"

    space.until(told, "the pod has figures")
    nodes = space.cluster.control.request("GET", f"{root}/nodes").object["items"]
    assert {one["metadata"]["name"] for one in nodes} == {"node1", "node2"}
    assert all({"cpu", "memory"} <= set(one["usage"]) for one in nodes)
    assert space.kubectl("top", "pod", "p", "--no-headers").split()[0] == "p"
    assert len(space.kubectl("top", "nodes", "--no-headers").splitlines()) == 2
    metrics = space.cluster.control.request("GET", "/metrics")
    assert metrics.status == 200 and b"apiserver_request_total" in metrics.body
    space.kubectl("delete", "pod", "p", "--grace-period=0", "--force")
