"""NetworkPolicies: who reaches whom under each form of rule, on two nodes, over TCP and UDP."""

import itertools
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from network_kit import SILENT, answer, answering, service, started, until_answer
from network_policies_kit import World
from nodes_kit import Cluster

pytestmark = pytest.mark.slow

_numbers = itertools.count(1)
Spec = dict[str, Any]


@pytest.fixture(scope="module")
def whole(suite: Cluster) -> Iterator[World]:
    made = World(suite, f"policies-{next(_numbers)}")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def world(whole: World) -> Iterator[World]:
    """Without a policy everybody reaches everybody, before and after."""
    yield whole
    whole.clear()
    whole.until(everybody)


def everybody(asking: str, asked: str) -> bool:
    return True


def outside(asking: str, asked: str) -> bool:
    """What no policy of namespace x, for pods that are asked, is about."""
    return asked[0] != "x"


def ingress(*rules: Spec, pods: Spec | None = None) -> Spec:
    return {"podSelector": pods or {}, "policyTypes": ["Ingress"], "ingress": list(rules)}


def egress(*rules: Spec, pods: Spec | None = None) -> Spec:
    return {"podSelector": pods or {}, "policyTypes": ["Egress"], "egress": list(rules)}


def labels(**wanted: str) -> Spec:
    return {"matchLabels": wanted}


def expression(key: str, operator: str, *values: str) -> Spec:
    one = {"key": key, "operator": operator}
    return {"matchExpressions": [{**one, "values": list(values)} if values else one]}


def test_nothing_and_everything(world: World) -> None:
    world.policies("x", {"podSelector": {}})
    for protocol, port in (("tcp", 80), ("udp", 81)):
        world.until(outside, protocol, port)
    world.policies("x", {"podSelector": {}}, ingress({}))
    world.until(everybody)
    world.policies("x", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    world.until(lambda asking, asked: "x" not in (asking[0], asked[0]))
    world.policies("x", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]})
    world.until(everybody)
    world.policies("x", egress())
    world.until(lambda asking, asked: asking[0] != "x")
    world.policies("x", {"podSelector": labels(pod="a"), "egress": [{"ports": [{"port": 80}]}]})
    # without policyTypes, rules for what goes out are of both types
    world.until(lambda asking, asked: asked != "x/a")
    world.until(lambda asking, asked: "x/a" not in (asking, asked), "tcp", 81)


FORMS: dict[str, tuple[list[Spec], Callable[[str], bool]]] = {
    "namespace": ([{"namespaceSelector": labels(ns="y")}], lambda asking: asking[0] == "y"),
    "pod": ([{"podSelector": labels(pod="b")}], lambda asking: asking == "x/b"),
    "both": ([{"namespaceSelector": labels(ns="y"), "podSelector": labels(pod="a")}], lambda asking: asking == "y/a"),
    "either": (
        [{"namespaceSelector": labels(ns="y")}, {"podSelector": labels(pod="b")}],
        lambda asking: asking[0] == "y" or asking == "x/b",
    ),
    "all namespaces": ([{"namespaceSelector": {}}], lambda asking: True),
    "all pods": ([{"podSelector": {}}], lambda asking: asking[0] == "x"),
    "in": (
        [{"namespaceSelector": expression("ns", "In", "y", "z"), "podSelector": expression("pod", "In", "b")}],
        lambda asking: asking in ("y/b", "z/b"),
    ),
    "not in": (
        [{"namespaceSelector": expression("ns", "NotIn", "x"), "podSelector": expression("pod", "NotIn", "b")}],
        lambda asking: asking in ("y/a", "z/a"),
    ),
    "exists": ([{"namespaceSelector": expression("ns", "Exists")}], lambda asking: True),
    "does not exist": ([{"namespaceSelector": expression("ns", "DoesNotExist")}], lambda asking: False),
    "nobody": ([], lambda asking: True),
}


@pytest.mark.parametrize("form", FORMS)
def test_whom_rules_name(world: World, form: str) -> None:
    peers, allowed = FORMS[form]
    pods = expression("pod", "In", "a", "c")
    world.policies("x", ingress({"from": peers}, pods=pods))
    world.until(lambda asking, asked: asked != "x/a" or allowed(asking))
    world.policies("x", egress({"to": peers}, pods=pods))
    world.until(lambda asking, asked: asking != "x/a" or allowed(asked))


def test_a_namespace_by_its_name(world: World) -> None:
    name = world.spaces["z"].name
    world.policies(
        "x", ingress({"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}]})
    )
    world.until(lambda asking, asked: asked[0] != "x" or asking[0] == "z")


def test_ports_by_number_name_range_and_protocol(world: World) -> None:
    def ports(*ports: Spec) -> None:
        world.policies("x", ingress({"ports": list(ports)}))

    def open_ports(*wanted: str) -> None:
        for word in ("tcp:80", "tcp:81", "udp:80", "udp:81"):
            protocol, _, port = word.partition(":")
            world.until(everybody if word in wanted else outside, protocol, int(port))

    ports({"port": 81, "protocol": "TCP"})
    open_ports("tcp:81")
    ports({"port": "tcp-80"}, {"port": "udp-81", "protocol": "UDP"})
    open_ports("tcp:80", "udp:81")
    ports({"port": 80, "endPort": 81, "protocol": "UDP"})
    open_ports("udp:80", "udp:81")
    ports({"port": 81, "endPort": 100})
    open_ports("tcp:81")
    ports({"protocol": "UDP"})
    open_ports("udp:80", "udp:81")
    ports({"port": 80, "protocol": "SCTP"})
    open_ports()
    ports({"port": "udp-80"})  # the name is another protocol's
    open_ports()
    world.policies("x", egress({"ports": [{"port": "tcp-81"}], "to": [{"namespaceSelector": labels(ns="y")}]}))
    world.until(lambda asking, asked: asking[0] != "x" or asked[0] == "y", "tcp", 81)
    world.until(lambda asking, asked: asking[0] != "x")


def test_blocks_of_addresses(world: World) -> None:
    only, but = f"{world.addresses['y/a']}/32", f"{world.addresses['z/b']}/32"
    world.policies("x", ingress({"from": [{"ipBlock": {"cidr": only}}]}))
    world.until(lambda asking, asked: asked[0] != "x" or asking == "y/a")
    block = {"ipBlock": {"cidr": "10.244.0.0/16", "except": [only, but]}}
    world.policies("x", ingress({"from": [block]}))
    world.until(lambda asking, asked: asked[0] != "x" or asking not in ("y/a", "z/b"))
    world.policies("x", ingress({"from": [block]}), ingress({"from": [{"ipBlock": {"cidr": only}}]}))
    world.until(lambda asking, asked: asked[0] != "x" or asking != "z/b")
    world.policies("x", egress({"to": [block]}))
    world.until(lambda asking, asked: asking[0] != "x" or asked not in ("y/a", "z/b"))
    world.policies("x", egress({"to": [{"ipBlock": {"cidr": only}}], "ports": [{"port": 81}]}))
    world.until(lambda asking, asked: asking[0] != "x" or asked == "y/a", "tcp", 81)
    world.until(lambda asking, asked: asking[0] != "x")


def test_policies_add_up_and_both_ends_count(world: World) -> None:
    world.policies("x", ingress({"ports": [{"port": 80}]}), ingress({"ports": [{"port": 81}]}, pods=labels(pod="a")))
    world.until(everybody)
    world.until(lambda asking, asked: asked != "x/b", "tcp", 81)
    world.policies("x", ingress({"from": [{"namespaceSelector": labels(ns="y")}]}))
    world.policies("y", egress({"to": [{"podSelector": labels(pod="a"), "namespaceSelector": {}}]}))
    world.until(
        lambda asking, asked: (asked[0] != "x" or asking[0] == "y") and (asking[0] != "y" or asked.endswith("/a"))
    )


def test_labels_change(world: World) -> None:
    y, z = world.spaces["y"], world.spaces["z"]
    world.policies(
        "x", ingress({"from": [{"namespaceSelector": labels(team="blue"), "podSelector": labels(role="in")}]})
    )
    world.until(outside)
    try:
        for name in (y.name, z.name):
            world.cluster.kubectl("label", "namespace", name, "team=blue")
        for space in (y, z):
            space.kubectl("label", "pod", "a", "role=in")
        world.until(lambda asking, asked: asked[0] != "x" or asking in ("y/a", "z/a"))
        world.cluster.kubectl("label", "namespace", y.name, "team=red", "--overwrite")
        world.until(lambda asking, asked: asked[0] != "x" or asking == "z/a")
        z.kubectl("label", "pod", "a", "role=out", "--overwrite")
        z.kubectl("label", "pod", "b", "role=in")
        world.until(lambda asking, asked: asked[0] != "x" or asking == "z/b")
        world.more("z", "c", role="in")
        world.until(lambda asking, asked: asked[0] != "x" or asking in ("z/b", "z/c"))
        world.fewer("z", "c")
    finally:
        for name in (y.name, z.name):
            world.cluster.kubectl("label", "namespace", name, "team-")
        for space in (y, z):
            space.kubectl("label", "pod", "--all", "role-")


def test_what_goes_through_services(world: World) -> None:
    """Rules count for the pod behind a service and its own port; a pod reaches itself under the service's address."""
    space = world.spaces["y"]
    made = space.made("services", service("web", {"port": 8080, "targetPort": 80}, selector={"pod": "a"}))
    address, asking = made["spec"]["clusterIP"], world.insides["x/a"]
    until_answer(space, lambda: answer(asking, "tcp", address, 8080), "a", "the service answers")
    to = {"to": [{"namespaceSelector": labels(ns="y"), "podSelector": labels(pod="a")}], "ports": [{"port": 80}]}
    world.policies("x", egress(to))
    world.until(lambda asking, asked: asking[0] != "x" or asked == "y/a")
    assert answer(asking, "tcp", address, 8080) == "a"
    world.policies("x", egress({**to, "ports": [{"port": 8080}]}))
    world.until(lambda asking, asked: asking[0] != "x")
    assert answer(asking, "tcp", address, 8080) != "a"
    world.policies("y", ingress({"from": [{"podSelector": {}}]}))
    world.policies("x")
    world.until(lambda asking, asked: asked[0] != "y" or asking[0] == "y")
    assert answer(asking, "tcp", address, 8080) != "a"
    assert answer(world.insides["y/b"], "tcp", address, 8080) == "a"
    until_answer(space, lambda: answer(world.insides["y/a"], "tcp", address, 8080), "a", "a pod reaches itself")
    space.kubectl("delete", "service", "web")


def test_open_connections_end_when_they_may_no_longer_be(world: World) -> None:
    def opened() -> socket.socket:
        made = socket.create_connection((world.addresses["x/a"], 80), 5)
        made.sendall(b"hold")
        assert made.recv(10) == b"a"
        return made

    connections = {name: world.insides[name].run(opened) for name in ("y/a", "y/b", "z/a")}
    world.policies("x", ingress({"from": [{"namespaceSelector": labels(ns="z")}]}))
    world.until(lambda asking, asked: asked[0] != "x" or asking[0] == "z")

    def goes_on(connection: socket.socket) -> bool:
        connection.settimeout(0.5)
        try:
            connection.sendall(b"more")
            return connection.recv(10) == b"a"
        except OSError:
            return False

    world.cluster.until(lambda: not goes_on(connections["y/a"]) and not goes_on(connections["y/b"]), 10, "they ended")
    assert goes_on(connections["z/a"])
    for connection in connections.values():
        connection.close()


def test_who_comes_from_outside_and_what_goes_there(world: World) -> None:
    """A client that is no node, nodes, and a server on another node's own network."""
    space, node = world.spaces["x"], world.cluster.nodes
    spec = {"selector": {"pod": "a"}, "type": "NodePort", "externalTrafficPolicy": "Local"}
    made = space.made("services", service("open", {"port": 80}, **spec))
    own, other = (node[0], node[1]) if space.pod("a")["spec"]["nodeName"] == "node1" else (node[1], node[0])
    port, address = made["spec"]["ports"][0]["nodePort"], world.addresses["x/a"]
    clients = world.cluster.clients

    def until_reached(*, client: str = SILENT, other_node: str = SILENT) -> None:
        until_answer(space, lambda: answer(clients, "tcp", own.address, port), client, f"the client: {client}")
        until_answer(space, lambda: answer(other.namespace, "tcp", address, 80), other_node, f"a node: {other_node}")
        assert answer(own.namespace, "tcp", address, 80) == "a", "a pod's own node may always ask, as probes do"

    until_reached(client="a", other_node="a")
    world.policies("x", ingress(pods=labels(pod="a")) | {"ingress": []})
    until_reached()
    world.policies("x", ingress({"from": [{"ipBlock": {"cidr": "192.168.50.100/32"}}]}, pods=labels(pod="a")))
    until_reached(client="a")
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.168.50.100/32"]}}
    world.policies("x", ingress({"from": [block]}, pods=labels(pod="a")))
    until_reached(other_node="a")
    world.policies("x")
    space.kubectl("delete", "service", "open")

    started(space, answering("server", "tcp:18083", hostNetwork=True, nodeName=other.name))
    asking = world.insides["x/a"]
    there = world.spaces["x"].shell("server", "hostname").strip()
    until_answer(space, lambda: answer(asking, "tcp", other.address, 18083), there, "the server answers")
    world.policies("x", egress({"to": [{"namespaceSelector": {}}]}))
    until_answer(space, lambda: answer(asking, "tcp", other.address, 18083), SILENT, "it is no pod's address")
    world.policies("x", egress({"to": [{"ipBlock": {"cidr": f"{other.address}/32"}}], "ports": [{"port": 18083}]}))
    until_answer(space, lambda: answer(asking, "tcp", other.address, 18083), there, "the address is allowed")
    space.kubectl("delete", "pod", "server", "--now")
