"""Whether one client always comes to the same pod."""

import threading
from typing import Any

import pytest
from conformance_kit import Space
from namespaces_kit import Namespace
from network_kit import addresses, answers, idle, inside, replicated, service, until_all_answer

pytestmark = pytest.mark.slow

PODS = 3


def behind(space: Space, **spec: Any) -> tuple[dict[str, Any], set[str]]:
    """A service of three pods on both nodes and two pods that ask: the service's spec and the pods' names."""
    space.made("replicationcontrollers", replicated("web", PODS, "tcp:9376", "udp:9376", labels={"app": "web"}))
    ports = [{"name": kind, "port": 80, "targetPort": 9376, "protocol": kind.upper()} for kind in ("tcp", "udp")]
    made = space.made("services", service("web", *ports, selector={"app": "web"}, **spec))
    for node in (1, 2):
        space.made("pods", idle(f"asker-{node}", nodeName=f"node{node}"))
    space.until_pods(PODS, "app=web")
    space.until_ready("asker-1", "asker-2")
    found: dict[str, Any] = made["spec"]
    return found, {str(pod["metadata"]["name"]) for pod in space.cluster.pods("app=web", space.name)}


def until_faithful(space: Space, place: Namespace, protocol: str, address: str, port: int, names: set[str]) -> None:
    """One of those answers, and always the same."""

    def holds() -> bool:
        found = answers(place, protocol, address, port, 15)
        return len(found) == 1 and set(found) <= names

    space.until(holds, f"one pod answers at {protocol} {address}:{port}", 20)


# Covers: Service, ClusterIP type, session affinity to ClientIP; Service, NodePort type, session affinity to ClientIP;
# Service, ClusterIP type, session affinity to None; Service, NodePort type, session affinity to None.
@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_a_client_stays_with_its_pod_while_it_should(space: Space, kind: str) -> None:
    spec, names = behind(space, type=kind, sessionAffinity="ClientIP")
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    asking = [inside(space, "asker-1"), inside(space, "asker-2")]
    targets = [(spec["clusterIP"], 80, protocol) for protocol in ("tcp", "udp")]
    if kind == "NodePort":
        ports = {port["name"]: port["nodePort"] for port in spec["ports"]}
        targets += [(node.address, port, name) for node in space.cluster.nodes for name, port in ports.items()]
    everywhere = [(place, protocol, address, port) for place in asking for address, port, protocol in targets]
    for where in everywhere:
        until_faithful(space, *where, names)
    assert "sessionAffinityConfig" not in space.patched("services/web", {"spec": {"sessionAffinity": "None"}})["spec"]
    for where in everywhere:
        until_all_answer(space, *where, names)
    space.patched("services/web", {"spec": {"sessionAffinity": "ClientIP"}})
    for where in everywhere:
        until_faithful(space, *where, names)


def test_affinity_ends_after_its_time_and_outlives_no_pod(space: Space) -> None:
    short = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}}
    spec, names = behind(space, **short)
    place = inside(space, "asker-1")
    until_faithful(space, place, "tcp", spec["clusterIP"], 80, names)
    seen: set[str] = set()
    rests = [0.9]

    def another() -> bool:
        """Each look comes later than the affinity lasts: rests between looks grow until one is long enough."""
        rests.append(rests[-1] + 0.2)
        threading.Event().wait(rests[-1])
        seen.update(answers(place, "tcp", spec["clusterIP"], 80, 1))
        return len(seen) > 1

    space.until(another, "another pod answers after the time", 60)
    long = {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1000}}}
    space.patched("services/web", {"spec": long})
    until_faithful(space, place, "tcp", spec["clusterIP"], 80, names)
    (faithful,) = answers(place, "tcp", spec["clusterIP"], 80, 1)
    space.kubectl("delete", "pod", faithful, "--now")
    space.until(lambda: space.is_gone(f"pods/{faithful}"), "the pod is gone")
    space.until_pods(PODS, "app=web")
    until_faithful(space, place, "tcp", spec["clusterIP"], 80, set(addresses(space, "app=web")))
