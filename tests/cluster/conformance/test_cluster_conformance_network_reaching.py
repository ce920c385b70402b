"""Who reaches whom: pods and nodes, over TCP and UDP, by names, cluster addresses, node ports and host ports."""

import pytest
from conformance_kit import Space
from namespaces_kit import Namespace
from network_kit import (
    REFUSED,
    addresses,
    answer,
    answering,
    answers,
    idle,
    inside,
    replicated,
    service,
    started,
    until_all_answer,
    until_answer,
)

pytestmark = pytest.mark.slow


def places(space: Space, *pods: str) -> dict[str, Namespace]:
    """Where questions come from: pods, and both nodes."""
    return {**{pod: inside(space, pod) for pod in pods}, **{node.name: node.namespace for node in space.cluster.nodes}}


def page(space: Space, pod: str, url: str) -> str:
    """What a pod's own wget reads, or "" where nothing is."""
    return space.shell(pod, f"timeout 3 wget -q -O - {url} || true")


def until_page(space: Space, pod: str, url: str, wanted: str) -> None:
    space.until(lambda: page(space, pod, url) == wanted, f"{pod} reads {wanted!r} at {url}")


# Covers: Networking, intra pod http; Networking, intra pod udp; Networking, intra pod http, from node.
def test_pods_and_nodes_reach_every_pod(space: Space) -> None:
    serving = ("tcp:8083", "udp:8081")
    pods = [answering(f"server-{node}", *serving, nodeName=f"node{node}") for node in (1, 2)]
    started(space, *pods, *(idle(f"asker-{node}", nodeName=f"node{node}") for node in (1, 2)))
    targets = {name: space.pod(name)["status"]["podIP"] for name in ("server-1", "server-2")}
    asking = places(space, "asker-1", "asker-2", *targets)
    for where, place in asking.items():
        for name, address in targets.items():
            for protocol, port in (("tcp", 8083), ("udp", 8081)):
                until_answer(space, lambda: answer(place, protocol, address, port), name, f"{name} answers {where}")  # noqa: B023
    for name, address in targets.items():
        for pod in ("asker-1", "asker-2"):
            own = space.pod(pod)["status"]["podIP"]
            assert answer(asking[pod], "tcp", address, 8083, "client") == own, "no address is changed between pods"
            assert answer(asking[pod], "udp", address, 8081, "client") == own
            assert page(space, pod, f"http://{address}:8083/") == name


# Covers: Service, NodePort Service.
def test_a_node_port_is_reached_from_everywhere(space: Space) -> None:
    space.made("replicationcontrollers", replicated("web", 2, "tcp:9376", labels={"app": "web"}))
    made = space.made(
        "services", service("web", {"port": 80, "targetPort": 9376}, selector={"app": "web"}, type="NodePort")
    )
    for number in (1, 2):
        space.made("pods", idle(f"asker-{number}", nodeName=f"node{number}"))
    space.until_pods(2, "app=web")
    space.until_ready("asker-1", "asker-2")
    wanted = set(addresses(space, "app=web"))
    cluster, node_port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    for place in places(space, "asker-1", "asker-2").values():
        until_all_answer(space, place, "tcp", cluster, 80, wanted)
        for node in space.cluster.nodes:
            until_all_answer(space, place, "tcp", node.address, node_port, wanted)
    for node in space.cluster.nodes:
        until_all_answer(space, space.cluster.clients, "tcp", node.address, node_port, wanted)
    assert page(space, "asker-2", "http://web/") in wanted


# Covers: Service, change type, ExternalName to ClusterIP; Service, change type, ClusterIP to ExternalName; Service,
# change type, ExternalName to NodePort; Service, change type, NodePort to ExternalName.
def test_a_service_changes_its_type(space: Space) -> None:
    for name in ("target", "web"):
        space.made("services", service(name, {"port": 80, "targetPort": 9376}, selector={"app": "web"}))
    target = f"target.{space.name}.svc.cluster.local"
    started(
        space, answering("web", "tcp:9376", labels={"app": "web"}, nodeName="node1"), idle("asker", nodeName="node2")
    )
    asker = inside(space, "asker")
    first = space.read("services/web")["spec"]["clusterIP"]
    until_page(space, "asker", "http://web/", "web")

    alias = {"type": "ExternalName", "externalName": target}
    changed = space.patched("services/web", {"spec": alias})["spec"]
    assert "clusterIP" not in changed and "clusterIPs" not in changed
    space.until(lambda: answer(asker, "tcp", first, 80) != "web", "nobody is at the old address")
    named = f"nslookup web.{space.name}.svc.cluster.local 10.96.0.10 || true"
    space.until(lambda: f"canonical name = {target}" in space.shell("asker", named), "the name is an alias")
    until_page(space, "asker", "http://web/", "web")

    spec = {"type": "NodePort", "externalName": None, "ports": [{"port": 80, "targetPort": 9376, "protocol": "TCP"}]}
    changed = space.patched("services/web", {"spec": spec})["spec"]
    cluster, node_port = changed["clusterIP"], changed["ports"][0]["nodePort"]
    until_answer(space, lambda: answer(asker, "tcp", cluster, 80), "web", "the cluster's address answers")
    for node in space.cluster.nodes:
        until_answer(space, lambda: answer(asker, "tcp", node.address, node_port), "web", "node port answers")  # noqa: B023
    until_page(space, "asker", "http://web/", "web")

    changed = space.patched("services/web", {"spec": alias})["spec"]
    assert "clusterIP" not in changed and "nodePort" not in changed["ports"][0]
    first_node = space.cluster.nodes[0].address
    until_answer(space, lambda: answer(asker, "tcp", first_node, node_port), REFUSED, "the node port is gone")
    taken = service("other", {"port": 1, "nodePort": node_port}, type="NodePort")
    assert space.made("services", taken)["spec"]["ports"][0]["nodePort"] == node_port, "the port was released"

    spec = {"type": "ClusterIP", "externalName": None}
    changed = space.patched("services/web", {"spec": spec})["spec"]
    until_answer(space, lambda: answer(asker, "tcp", changed["clusterIP"], 80), "web", "it has an address again")
    until_page(space, "asker", "http://web/", "web")


# Covers: Service, should serve endpoints on same port and different protocols.
def test_one_port_of_two_protocols(space: Space) -> None:
    both = [{"name": f"p{kind}", "port": 80, "protocol": kind.upper(), "targetPort": 8080} for kind in ("tcp", "udp")]
    made = space.made("services", service("both", *both, selector={"app": "both"}))
    server = answering("both", "tcp:8080", "udp:8080", labels={"app": "both"}, nodeName="node1")
    started(space, server, idle("asker", nodeName="node2"))
    cluster, asking = made["spec"]["clusterIP"], places(space, "asker")
    for place in asking.values():
        until_answer(space, lambda: answer(place, "tcp", cluster, 80), "both", "TCP answers")  # noqa: B023
        until_answer(space, lambda: answer(place, "udp", cluster, 80), "both", "UDP answers")  # noqa: B023
    for kept, stays, goes in ((0, "tcp", "udp"), (1, "udp", "tcp")):
        space.patched("services/both", {"spec": {"ports": [both[kept]]}})
        for place in asking.values():
            until_answer(space, lambda: answer(place, stays, cluster, 80), "both", "it stays")  # noqa: B023
            space.until(lambda: answer(place, goes, cluster, 80) != "both", f"{goes} is gone")  # noqa: B023


# Covers: Scheduling, HostPort matching and HostIP and Protocol not-matching.
def test_host_ports_of_different_addresses_do_not_conflict(space: Space) -> None:
    node = space.cluster.nodes[1]
    wanted = (("pod1", "127.0.0.1", "TCP"), ("pod2", node.address, "TCP"), ("pod3", node.address, "UDP"))

    def pod(name: str, address: str, protocol: str) -> dict[str, object]:
        ports = [{"containerPort": 8080, "hostPort": 54323, "hostIP": address, "protocol": protocol}]
        only = {"kubernetes.io/hostname": node.name}
        return answering(name, "tcp:8080", "udp:8080", ports=ports, nodeSelector=only)

    started(space, *(pod(*one) for one in wanted), idle("asker", nodeName="node1"))
    for name, address, protocol in wanted:
        where = node.namespace if address == "127.0.0.1" else inside(space, "asker")
        until_answer(space, lambda: answer(where, protocol.lower(), address, 54323), name, f"{name} answers")  # noqa: B023
        asked = answers(where, protocol.lower(), address, 54323, 5)
        assert set(asked) == {name}
    until_answer(space, lambda: answer(node.namespace, "tcp", node.address, 54323), "pod2", "the node asks itself")
    space.made("pods", pod("pod4", node.address, "TCP"))
    space.until(
        lambda: any("free ports" in event.get("message", "") for event in space.events()), "a fourth one has no place"
    )
