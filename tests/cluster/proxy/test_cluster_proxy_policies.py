"""Network policies → walls and groups, and that they are kept after the cluster's pods and namespaces."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_kit import Objects, RememberingNetwork

from boxship.cluster.proxy.groups import Members
from boxship.cluster.proxy.policies import PolicyEnforcer
from boxship.cluster.proxy.routes import node_facts
from boxship.cluster.proxy.walls import Group, PodFacts, pod_facts, policy_facts, walls_of
from boxship.network.policies_rules import Block, Match, Ports
from boxship.network.routes import Node


def policy(namespace: str = "default", **spec: Any) -> Any:
    return policy_facts({"metadata": {"name": "p", "namespace": namespace}, "spec": spec})


def pod(address: str = "10.244.0.2", node: str = "here", ports: Any = (), **labels: str) -> PodFacts:
    return PodFacts(address, node, labels, dict(ports))


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
    policies = [(("default", "web"), web), (("default", "out"), out), (("other", "x"), policy("other", podSelector={}))]
    assert walls_of("default", pod(app="web"), policies) == ((web.incoming,), (out.outgoing,))
    assert walls_of("default", pod(), policies) == (None, (out.outgoing,))
    assert walls_of("third", pod(), policies) == (None, None)


def test_pods_that_count() -> None:
    made: Any = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "nodeName": "here",
            "containers": [{"ports": [{"name": "web", "containerPort": 80}, {"containerPort": 81}]}],
            "initContainers": [
                {"restartPolicy": "Always", "ports": [{"name": "m", "containerPort": 9, "protocol": "UDP"}]}
            ],
        },
        "status": {"podIP": "10.244.0.9", "phase": "Running"},
    }
    assert pod_facts(made) == PodFacts("10.244.0.9", "here", {"a": "b"}, {("web", "tcp"): 80, ("m", "udp"): 9})
    assert pod_facts({**made, "status": {"phase": "Pending"}}) is None
    assert pod_facts({**made, "status": {"podIP": "10.244.0.9", "phase": "Failed"}}) is None
    assert pod_facts({**made, "spec": {**made["spec"], "hostNetwork": True}}) is None


def test_what_is_kept_of_a_node() -> None:
    made = {
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["fd00::/64", "10.244.1.0/24"]},
        "status": {"addresses": [{"type": "Hostname", "address": "x"}, {"type": "InternalIP", "address": "192.0.2.1"}]},
    }
    assert node_facts(made) == Node("10.244.1.0/24", "192.0.2.1")
    assert node_facts({}) == Node("", "")


LABELS = st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"))
PODS = st.none() | st.builds(
    lambda number, labels, port: PodFacts(f"10.0.0.{number}", "here", labels, {("web", "tcp"): port}),
    st.integers(1, 4),
    LABELS,
    st.integers(80, 81),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pod"), st.tuples(st.sampled_from(["one", "two"]), st.sampled_from("abc")), PODS),
        st.tuples(st.just("space"), st.sampled_from(["one", "two"]), st.none() | LABELS),
        st.tuples(st.just("want"), st.sets(st.integers(0, 2)), st.booleans()),
    ),
    max_size=30,
)
GROUPS = [
    policy("one", podSelector={}, ingress=[{"from": [{"podSelector": {"matchLabels": {"x": "1"}}}]}]).groups[0],
    policy(podSelector={}, ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"y": "2"}}}]}]).groups[0],
    policy(
        podSelector={}, ingress=[{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"y": "1"}}}]}]
    ).groups[0],
]


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_members_are_those_that_match(steps: list[Any]) -> None:
    members = Members()
    pods: dict[tuple[str, str], PodFacts] = {}
    spaces: dict[str, Any] = {}
    wanted: list[Group] = []
    named: list[tuple[str, str]] = []
    for kind, key, value in steps:
        if kind == "pod":
            members.put_pod(key, value)
            pods.pop(key, None)
            pods |= {key: value} if value else {}
        elif kind == "space":
            members.put_namespace(key, value)
            spaces[key] = value
        else:
            wanted, named = [GROUPS[number] for number in key], [("web", "tcp")] if value else []
            members.want(wanted, named)
        found = members.groups()
        assert found == {
            group.name: {p.address for (space, _), p in pods.items() if group.matches(space, spaces.get(space), p)}
            for group in wanted
        }
        sockets = {f"{p.address} . tcp . {p.named['web', 'tcp']}" for p in pods.values()}
        assert members.sockets() == ({"web/tcp": sockets} if named else {})


async def test_the_enforcer_follows_pods_and_policies() -> None:
    objects, network = Objects(), RememberingNetwork()

    def put(name: str, address: str, node: str = "here", **labels: str) -> None:
        objects.put(
            "v1/pods",
            name,
            metadata={"labels": labels},
            spec={"nodeName": node},
            status={"podIP": address, "phase": "Running"},
        )

    async def until(check: Any) -> None:
        async with asyncio.timeout(20):
            while not (network.states and check(network.states[-1])):
                assert not enforcer.done()
                await asyncio.sleep(0.001)

    put("web", "10.244.0.2", app="web")
    put("cli", "10.244.1.2", "there", role="cli")
    objects.put("v1/namespaces", "default", "")
    enforcer = asyncio.create_task(PolicyEnforcer(objects, network, "here").run())  # type: ignore[arg-type]
    await until(lambda state: state.is_empty)
    assert "v1/pods" not in objects.watchers  # without a policy nobody's pods are followed
    cli = {"podSelector": {"matchLabels": {"role": "cli"}}}
    spec = {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [cli]}]}
    objects.put("networking.k8s.io/v1/networkpolicies", "web", spec=spec)
    await until(lambda state: list(state.incoming) == ["10.244.0.2"] and {"10.244.1.2"} in state.groups.values())
    put("more", "10.244.1.3", "there", role="cli")
    await until(lambda state: {"10.244.1.2", "10.244.1.3"} in state.groups.values())
    put("web", "10.244.0.2", app="other")
    await until(lambda state: state.is_empty)
    put("web", "10.244.0.2", app="web")
    await until(lambda state: not state.is_empty)
    objects.remove("v1/pods", "cli")
    await until(lambda state: {"10.244.1.3"} in state.groups.values())
    objects.remove("networking.k8s.io/v1/networkpolicies", "web")
    await until(lambda state: state.is_empty and not state.groups)
    enforcer.cancel()
    await asyncio.gather(enforcer, return_exceptions=True)
