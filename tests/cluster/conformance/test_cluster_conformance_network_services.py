"""Services in what the list leaves out and users notice: traffic policies, clients' addresses, terminating and unready
endpoints, UDP whose backend is replaced, balancers, services that are another proxy's."""

import contextlib
import socket
from typing import Any

import pytest
from conformance_kit import Space
from namespaces_kit import Namespace
from network_kit import (
    REFUSED,
    SILENT,
    answer,
    answering,
    answers,
    idle,
    inside,
    service,
    started,
    until_all_answer,
    until_answer,
)
from nodes_kit import condition

pytestmark = pytest.mark.slow

WEB = {"selector": {"app": "web"}}
PORT = {"port": 80, "targetPort": 8080}


def web(name: str, node: int, *serving: str, **more: Any) -> dict[str, Any]:
    return answering(name, "tcp:8080", *serving, labels={"app": "web"}, nodeName=f"node{node}", **more)


def both_askers(space: Space) -> dict[str, Namespace]:
    return {f"asker{number}": inside(space, f"asker{number}") for number in (1, 2)}


def askers() -> list[dict[str, Any]]:
    return [idle(f"asker{number}", nodeName=f"node{number}") for number in (1, 2)]


def test_pods_are_seen_under_their_own_addresses(space: Space) -> None:
    cluster = space.made("services", service("web", PORT, **WEB))["spec"]["clusterIP"]
    started(space, web("web", 1), *askers())
    for name, place in both_askers(space).items():
        own = space.pod(name)["status"]["podIP"]
        until_answer(space, lambda: answer(place, "tcp", cluster, 80, "client"), own, f"{name} is seen as itself")  # noqa: B023
    itself = inside(space, "web")
    until_answer(space, lambda: answer(itself, "tcp", cluster, 80), "web", "a pod reaches itself through its service")


def test_external_traffic_stays_on_its_node_where_it_should(space: Space) -> None:
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": True}
    made = space.made("services", service("web", PORT, **WEB, **local))["spec"]
    port, health = made["ports"][0]["nodePort"], made["healthCheckNodePort"]
    started(space, web("web", 1), *askers())
    clients = space.cluster.clients
    first, second = (node.address for node in space.cluster.nodes)
    until_answer(space, lambda: answer(clients, "tcp", first, port, "client"), "192.168.50.100", "the client is seen")
    until_answer(space, lambda: answer(clients, "tcp", second, port), SILENT, "the other node lets it fall")
    asking = both_askers(space)
    for place, address in ((asking["asker1"], first), (asking["asker2"], second)):
        until_answer(space, lambda: answer(place, "tcp", address, port), "web", "a node's own pods always reach it")  # noqa: B023
    space.until(lambda: len(space.read("services/web")["status"]["loadBalancer"].get("ingress", ())) == 2, "addresses")
    for place in asking.values():
        for address in (first, second):
            until_answer(space, lambda: answer(place, "tcp", address, 80), "web", "pods reach the balancer")  # noqa: B023

    def healthy(address: str) -> bool:
        return clients.answers(f"http://{address}:{health}/healthz")

    space.until(lambda: healthy(first) and not healthy(second), "one node is healthy")
    assert answer(clients, "tcp", second, health) != REFUSED
    changed = space.patched("services/web", {"spec": {"externalTrafficPolicy": "Cluster"}})["spec"]
    assert "healthCheckNodePort" not in changed
    for address in (first, second):
        until_answer(space, lambda: answer(clients, "tcp", address, port), "web", "all nodes lead there")  # noqa: B023
        until_answer(space, lambda: answer(clients, "tcp", address, health), REFUSED, "nobody tells of health")  # noqa: B023


def test_internal_traffic_stays_on_its_node_where_it_should(space: Space) -> None:
    made = space.made("services", service("web", PORT, internalTrafficPolicy="Local", **WEB))["spec"]
    started(space, web("web", 1), *askers())
    asking = both_askers(space)
    for place in (asking["asker1"], space.cluster.nodes[0].namespace):
        until_answer(space, lambda: answer(place, "tcp", made["clusterIP"], 80), "web", "it is here")  # noqa: B023
    for place in (asking["asker2"], space.cluster.nodes[1].namespace):
        until_answer(space, lambda: answer(place, "tcp", made["clusterIP"], 80), SILENT, "it is not there")  # noqa: B023
    space.patched("services/web", {"spec": {"internalTrafficPolicy": "Cluster"}})
    until_answer(space, lambda: answer(asking["asker2"], "tcp", made["clusterIP"], 80), "web", "it is elsewhere")


def test_traffic_goes_to_the_same_node_or_zone_first(space: Space) -> None:
    nodes = [node.name for node in space.cluster.nodes]
    for node in nodes:
        space.cluster.kubectl("label", "node", node, f"topology.kubernetes.io/zone=zone-{node}")
    try:
        kinds = ("PreferSameNode", "PreferSameZone", "PreferClose")
        made = {
            kind: space.made("services", service(kind.lower(), PORT, trafficDistribution=kind, **WEB))["spec"]
            for kind in kinds
        }
        started(space, web("web1", 1), web("web2", 2), *askers())
        asking = both_askers(space)
        for kind in kinds:
            for number in (1, 2):
                place, address = asking[f"asker{number}"], made[kind]["clusterIP"]
                until_all_answer(space, place, "tcp", address, 80, {f"web{number}"})
            (one,) = space.read(
                f"discovery.k8s.io/v1/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{kind.lower()}"
            )["items"]
            hints = {end["targetRef"]["name"]: end["hints"] for end in one["endpoints"]}
            zones = {f"web{n}": {"forZones": [{"name": f"zone-node{n}"}]} for n in (1, 2)}
            if kind == "PreferSameNode":
                zones = {name: {**zone, "forNodes": [{"name": f"node{name[-1]}"}]} for name, zone in zones.items()}
            assert hints == zones, kind
        space.kubectl("delete", "pod", "web1", "--now")
        for kind in kinds:
            until_all_answer(space, asking["asker1"], "tcp", made[kind]["clusterIP"], 80, {"web2"})
    finally:
        for node in nodes:
            space.cluster.kubectl("label", "node", node, "topology.kubernetes.io/zone-")


def unready(name: str, node: int) -> dict[str, Any]:
    made = web(name, node)
    made["spec"]["containers"][0]["readinessProbe"] = {
        "exec": {"command": ["test", "-e", "/ready"]},
        "periodSeconds": 1,
    }
    return made


def test_unready_pods_answer_where_that_is_wished(space: Space) -> None:
    plain = space.made("services", service("plain", PORT, **WEB))["spec"]["clusterIP"]
    early = space.made("services", service("early", PORT, publishNotReadyAddresses=True, **WEB))["spec"]["clusterIP"]
    space.made("pods", unready("web", 1))
    started(space, *askers())
    for place in both_askers(space).values():
        until_answer(space, lambda: answer(place, "tcp", early, 80), "web", "it answers before it is ready")  # noqa: B023
        until_answer(space, lambda: answer(place, "tcp", plain, 80), REFUSED, "nobody is ready")  # noqa: B023
    space.shell("web", "touch /ready")
    place = inside(space, "asker2")
    until_answer(space, lambda: answer(place, "tcp", plain, 80), "web", "it is ready")
    space.shell("web", "rm /ready")
    until_answer(space, lambda: answer(place, "tcp", plain, 80), REFUSED, "it is not ready any more")
    assert answer(place, "tcp", early, 80) == "web"


def test_terminating_pods_answer_while_nobody_else_does(space: Space) -> None:
    made = space.made("services", service("web", PORT, type="NodePort", externalTrafficPolicy="Local", **WEB))["spec"]
    slow = web("old", 1)
    slow["spec"]["terminationGracePeriodSeconds"] = 100
    slow["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 90}}}
    started(space, slow, *askers())
    first, clients = space.cluster.nodes[0].address, space.cluster.clients
    port = made["ports"][0]["nodePort"]
    places = list(both_askers(space).values())
    for place in places:
        until_answer(space, lambda: answer(place, "tcp", made["clusterIP"], 80), "old", "it answers")  # noqa: B023
    space.kubectl("delete", "pod", "old", "--wait=false")

    def conditions() -> list[dict[str, bool]]:
        found = space.read("discovery.k8s.io/v1/endpointslices")["items"]
        return [end["conditions"] for one in found for end in one["endpoints"] or ()]

    space.until(
        lambda: conditions() == [{"ready": False, "serving": True, "terminating": True}], "the slice says how it is"
    )
    for place in places:
        until_answer(space, lambda: answer(place, "tcp", made["clusterIP"], 80), "old", "it still answers")  # noqa: B023
    until_answer(space, lambda: answer(clients, "tcp", first, port), "old", "it still answers from outside")
    started(space, web("new", 1))
    for place in places:
        until_all_answer(space, place, "tcp", made["clusterIP"], 80, {"new"})
    space.kubectl("delete", "pod", "old", "--force", "--grace-period=0")


def test_udp_finds_its_new_backend(space: Space) -> None:
    """A client that always sends from the same port, as resolvers and SIP do, is not held by what conntrack knew."""
    ports = {"port": 80, "targetPort": 8081, "protocol": "UDP"}
    made = space.made("services", service("web", ports, type="NodePort", **WEB))["spec"]
    started(space, *askers())
    targets = {
        "cluster": (made["clusterIP"], 80),
        "node": (space.cluster.nodes[0].address, made["ports"][0]["nodePort"]),
    }

    def opened(address: str, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(0.3)
        made.connect((address, port))
        return made

    nodes = {node.name: node.namespace for node in space.cluster.nodes}
    places = {**both_askers(space), **nodes, "clients": space.cluster.clients}
    asking = {
        f"{name} {kind}": place.run(lambda: opened(*target))  # noqa: B023
        for name, place in places.items()
        for kind, target in targets.items()
        if (name, kind) != ("clients", "cluster")
    }

    def told(one: socket.socket) -> str:
        with contextlib.suppress(OSError):
            one.send(b"name")
            return one.recv(100).decode()
        return ""

    assert {told(one) for one in asking.values()} == {""}
    for name, node in (("web1", 1), ("web2", 2), ("web3", 1)):
        started(space, web(name, node, "udp:8081"))
        for what, one in asking.items():
            space.until(lambda: told(one) == name, f"{name} answers {what}", 20)  # noqa: B023
        space.kubectl("delete", "pod", name, "--now", "--wait=false")
    for one in asking.values():
        one.close()


def test_services_of_another_proxy_are_left_alone(space: Space) -> None:
    key = {"other": "service.kubernetes.io/service-proxy-name", "headless": "service.kubernetes.io/headless"}
    made = {}
    for name, label in {**key, "plain": ""}.items():
        one = service(name, PORT, **WEB)
        one["metadata"]["labels"] = {label: "mine"} if label else {}
        made[name] = space.made("services", one)["spec"]["clusterIP"]
    started(space, web("web", 1), *askers())
    place = inside(space, "asker2")
    until_answer(space, lambda: answer(place, "tcp", made["plain"], 80), "web", "a plain one answers")
    for name in key:
        assert answer(place, "tcp", made[name], 80) != "web"
        space.patched(f"services/{name}", {"metadata": {"labels": {key[name]: None}}})
        until_answer(space, lambda: answer(place, "tcp", made[name], 80), "web", "it is ours now")  # noqa: B023
    space.patched("services/plain", {"metadata": {"labels": {key["other"]: "mine"}}})
    space.until(lambda: answer(place, "tcp", made["plain"], 80) != "web", "it is not ours any more")


def test_balancers_ranges_ports_and_classes(space: Space) -> None:
    """Without a pool the nodes' addresses are given, each port once."""
    ranges = {"loadBalancerSourceRanges": ["192.168.50.100/32"], "allocateLoadBalancerNodePorts": False}
    ours = {"port": 18080, "targetPort": 8080}
    made = space.made("services", service("web", ours, type="LoadBalancer", **ranges, **WEB))["spec"]
    assert "nodePort" not in made["ports"][0]
    other = {"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}
    space.made("services", service("other", PORT, **other, **WEB))
    started(space, web("web", 1), *askers())
    addresses = [node.address for node in space.cluster.nodes]

    def given(name: str) -> list[str]:
        found = space.read(f"services/{name}")["status"]["loadBalancer"]
        return sorted(one["ip"] for one in found.get("ingress", ()))

    space.until(lambda: given("web") == addresses, "the nodes' addresses are given")
    clients = space.cluster.clients
    for address in addresses:
        until_answer(space, lambda: answer(clients, "tcp", address, 18080), "web", "the client is within the range")  # noqa: B023
    space.patched("services/web", {"spec": {"loadBalancerSourceRanges": ["203.0.113.0/24"]}})
    for address in addresses:
        until_answer(space, lambda: answer(clients, "tcp", address, 18080), SILENT, "the client is without")  # noqa: B023
    assert given("other") == [], "another class is another's"
    assert "may not change once set" in space.refusal(
        "patch", "svc", "other", "-p", '{"spec":{"loadBalancerClass":"x.io/y"}}'
    )
    space.patched("services/web", {"spec": {"type": "ClusterIP", "loadBalancerSourceRanges": None}})
    space.until(lambda: given("web") == [], "they are taken back")
    for address in addresses:
        until_answer(space, lambda: answer(clients, "tcp", address, 18080), REFUSED, "nobody is there")  # noqa: B023


def test_an_external_address_is_served_inside(space: Space) -> None:
    space.made("services", service("web", PORT, externalIPs=["203.0.113.250"], **WEB))
    started(space, web("web", 1), *askers())
    for place in (*both_askers(space).values(), *(node.namespace for node in space.cluster.nodes)):
        until_answer(space, lambda: answer(place, "tcp", "203.0.113.250", 80), "web", "it answers")  # noqa: B023


def test_one_family_of_addresses(space: Space) -> None:
    prefers = space.made("services", service("prefers", PORT, ipFamilyPolicy="PreferDualStack", **WEB))["spec"]
    assert prefers["ipFamilies"] == ["IPv4"] and prefers["clusterIPs"] == [prefers["clusterIP"]]
    plain = space.made("services", service("plain", PORT, **WEB))["spec"]
    assert (plain["ipFamilyPolicy"], plain["ipFamilies"]) == ("SingleStack", ["IPv4"])
    none = space.made("services", service("none", PORT, clusterIP="None", **WEB))["spec"]
    assert (none["ipFamilyPolicy"], none["ipFamilies"], none["clusterIPs"]) == ("SingleStack", ["IPv4"], ["None"])
    for wrong in ({"ipFamilyPolicy": "RequireDualStack"}, {"ipFamilies": ["IPv6"]}, {"ipFamilies": ["IPv4", "IPv6"]}):
        refused = space.request("POST", "services", service("wrong", PORT, **wrong, **WEB))
        assert refused.status == 422, (wrong, refused)
    alone = space.made("services", service("alone", PORT, clusterIP="None", ipFamilyPolicy="RequireDualStack"))["spec"]
    assert alone["ipFamilies"] == ["IPv4", "IPv6"], "a headless one without selector may have both"


def test_node_ports_collide_and_are_given_back(space: Space) -> None:
    first = space.made("services", service("one", PORT, type="NodePort", **WEB))["spec"]["ports"][0]["nodePort"]
    again = service("two", {**PORT, "nodePort": first}, type="NodePort", **WEB)
    refused = space.request("POST", "services", again)
    assert refused.status == 422 and "provided port is already allocated" in refused.object["message"]
    outside = space.request("POST", "services", service("two", {**PORT, "nodePort": 80}, type="NodePort", **WEB))
    assert outside.status == 422 and "not in the valid range" in outside.object["message"]
    space.kubectl("delete", "service", "one")
    assert space.made("services", again)["spec"]["ports"][0]["nodePort"] == first
    both = [
        {"name": n, "port": 53, "protocol": n.upper(), "targetPort": 8080, "nodePort": first} for n in ("tcp", "udp")
    ]
    space.kubectl("delete", "service", "two")
    made = space.made("services", service("two", *both, type="NodePort", **WEB))["spec"]["ports"]
    assert [port["nodePort"] for port in made] == [first, first]
    assert condition(space.read("services/two"), "Ready") == "", "a service has no such condition"
    assert not answers(space.cluster.clients, "tcp", space.cluster.nodes[0].address, first, 2)["web"]


def test_large_datagrams_come_through(space: Space) -> None:
    """Questions in several fragments, to pods and services, on the same and the other node."""
    port = {"port": 80, "targetPort": 8081, "protocol": "UDP"}
    cluster = space.made("services", service("web", port, **WEB))["spec"]["clusterIP"]
    started(space, web("web", 1, "udp:8081"), *askers())
    address = space.pod("web")["status"]["podIP"]
    for place in both_askers(space).values():
        for target, number in ((address, 8081), (cluster, 80)):
            for size in (1473, 9000, 40_000):
                said = "x" * size
                until_answer(space, lambda: answer(place, "udp", target, number, said), "web", f"{size} bytes arrive")  # noqa: B023


def test_a_pod_that_ends_still_reaches_others(space: Space) -> None:
    cluster = space.made("services", service("web", PORT, **WEB))["spec"]["clusterIP"]
    slow = idle("ends", nodeName="node2")
    slow["spec"]["terminationGracePeriodSeconds"] = 100
    slow["spec"]["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 90}}}
    started(space, web("web", 1), slow)
    place = inside(space, "ends")
    until_answer(space, lambda: answer(place, "tcp", cluster, 80), "web", "it reaches the service")
    space.kubectl("delete", "pod", "ends", "--wait=false")
    space.until(lambda: "deletionTimestamp" in space.pod("ends")["metadata"], "it is ending")
    assert answer(place, "tcp", cluster, 80, seconds=5) == "web"
    assert answer(place, "tcp", space.pod("web")["status"]["podIP"], 8080, seconds=5) == "web"
    assert "10.96." in space.shell("ends", "ping -c 1 -W 1 web | head -n 1")
    space.kubectl("delete", "pod", "ends", "--force", "--grace-period=0")


def test_slices_of_people_are_served(space: Space) -> None:
    """A service without selector whose pods and ports stand in several slices."""
    ports = [{"name": "one", "port": 80}, {"name": "two", "port": 81}]
    cluster = space.made("services", service("own", *ports))["spec"]["clusterIP"]
    started(
        space, answering("a", "tcp:8080", nodeName="node1"), answering("b", "tcp:8080", "tcp:9090", nodeName="node2")
    )
    for name, served in (("a", {"one": 8080}), ("b", {"one": 8080, "two": 9090})):
        labels = {"kubernetes.io/service-name": "own", "endpointslice.kubernetes.io/managed-by": "test"}
        made: dict[str, Any] = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
        made["metadata"] = {"name": name, "labels": labels}
        made["endpoints"] = [{"addresses": [space.pod(name)["status"]["podIP"]]}]
        made["ports"] = [{"name": port, "port": number, "protocol": "TCP"} for port, number in served.items()]
        space.made("discovery.k8s.io/v1/endpointslices", made)
    for place in (*(node.namespace for node in space.cluster.nodes), inside(space, "a")):
        until_all_answer(space, place, "tcp", cluster, 80, {"a", "b"})
        until_all_answer(space, place, "tcp", cluster, 81, {"b"})
        assert answer(place, "tcp", cluster, 82) == REFUSED, "a port that the service does not have"
