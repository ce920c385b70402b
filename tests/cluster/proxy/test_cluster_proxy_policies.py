"""Network policies → walls and groups: what is kept of objects, and what follows from it."""

from typing import Any

from boxship.cluster.proxy.routes import node_facts
from boxship.cluster.proxy.walls import PodFacts, pod_facts, policy_facts, walls_of
from boxship.network.policies_rules import Block, Match, Ports
from boxship.network.routes import Node


def policy(namespace: str = "default", **spec: Any) -> Any:
    return policy_facts({"metadata": {"name": "p", "namespace": namespace}, "spec": spec})


def pod(address: str = "10.244.0.2", node: str = "here", ports: Any = (), **labels: str) -> PodFacts:
    return PodFacts("", address, node, labels, dict(ports))


def test_what_a_policy_says() -> None:
    made = policy(
        podSelector={"matchLabels": {"app": "web"}},
        ingress=[
            {
                "from": [
                    {"podSelector": {"matchLabels": {"role": "cli"}}},
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.2.0/24"]}},
                    {"ipBlock": {"cidr": "fd00::/8"}},
                ],
                "ports": [{"port": 80}, {"port": 8000, "endPort": 9000, "protocol": "UDP"}, {"port": "web"}, {}],
            },
            {},
        ],
    )
    assert made.outgoing is None and made.named == (("web", "tcp"),)
    match, everything = made.incoming.matches
    assert match.blocks == (Block("10.0.0.0/8", ("10.1.0.0/16",)),)
    assert match.ports == (Ports("tcp", 80, 80), Ports("udp", 8000, 9000), Ports("tcp", 0, 0))
    assert match.sockets == ("web/tcp",) and match.groups == (made.groups[0].name,)
    assert everything == Match(anybody=True, anything=True)
    only_six = policy(podSelector={}, ingress=[{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}]).incoming.matches[0]
    assert not only_six.anybody and not only_six.blocks  # it lets nobody pass


def test_the_directions_of_a_policy() -> None:
    assert policy(podSelector={}).outgoing is None
    both = policy(podSelector={}, egress=[{}])
    assert both.incoming.matches == () and both.outgoing.matches
    only = policy(podSelector={}, policyTypes=["Egress"])
    assert only.incoming is None and only.outgoing.matches == ()


def test_whom_a_group_has() -> None:
    empty = policy(podSelector={}, ingress=[{"from": [{"podSelector": {}}]}]).groups[0]
    assert empty.matches("default", {}, pod()) and not empty.matches("other", {}, pod())
    spaces = policy(
        podSelector={},
        ingress=[
            {
                "from": [
                    {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"x": "y"}}}
                ]
            }
        ],
    ).groups[0]
    assert spaces.matches("other", {"team": "a"}, pod(x="y"))
    assert not spaces.matches("other", {"team": "b"}, pod(x="y"))
    assert not spaces.matches("other", {"team": "a"}, pod())
    assert not spaces.matches("other", None, pod(x="y"))


def test_the_walls_of_a_pod() -> None:
    web = policy(podSelector={"matchLabels": {"app": "web"}})
    out = policy(podSelector={}, policyTypes=["Egress"])
    assert walls_of([web, out]) == ((web.incoming,), (out.outgoing,))
    assert walls_of([out]) == (None, (out.outgoing,))
    assert walls_of([]) == (None, None)


def test_pods_that_count() -> None:
    made: Any = {
        "metadata": {"labels": {"a": "b"}, "uid": "u"},
        "spec": {
            "nodeName": "here",
            "containers": [{"ports": [{"name": "web", "containerPort": 80}, {"containerPort": 81}]}],
            "initContainers": [
                {"restartPolicy": "Always", "ports": [{"name": "m", "containerPort": 9, "protocol": "UDP"}]}
            ],
        },
        "status": {"podIP": "10.244.0.9", "phase": "Running"},
    }
    facts = PodFacts("u", "10.244.0.9", "here", {"a": "b"}, {("web", "tcp"): 80, ("m", "udp"): 9})
    assert pod_facts(made) == facts
    addressless = PodFacts("u", "", "here", facts.labels, facts.named)
    assert pod_facts({**made, "status": {"phase": "Pending"}}) == addressless
    assert pod_facts({**made, "status": {"podIP": "10.244.0.9", "phase": "Failed"}}) == addressless
    assert pod_facts({**made, "spec": {**made["spec"], "hostNetwork": True}}) is None


def test_what_is_kept_of_a_node() -> None:
    made = {
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["fd00::/64", "10.244.1.0/24"]},
        "status": {"addresses": [{"type": "Hostname", "address": "x"}, {"type": "InternalIP", "address": "192.0.2.1"}]},
    }
    assert node_facts(made) == Node("10.244.1.0/24", "192.0.2.1")
    assert node_facts({}) == Node("", "")
