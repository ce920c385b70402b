"""Which endpoints answer a service on a node, what stands in the kernel for it, and that changes lead there."""

import asyncio
import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_kit import Objects, RememberingNetwork, endpoints, service

from boxship.cluster.proxy.choosing import Place, choose
from boxship.cluster.proxy.facts import EndpointFacts, service_facts, slice_facts
from boxship.cluster.proxy.frontends import decide
from boxship.cluster.proxy.health import HealthServers, answer
from boxship.cluster.proxy.ranges import ServiceRanges
from boxship.cluster.proxy.services import Claims, ServiceProxy
from boxship.errors import Internal
from boxship.network import services_rules as rules
from boxship.network.services_rules import Frontend, Shared, Surroundings
from daemons import free_port

HERE = Place("here", "west", (ipaddress.IPv4Network("10.96.0.0/16"),))
KEY = ("default", "web")


def end(address: str, **more: Any) -> EndpointFacts:
    return EndpointFacts(address, **more)


def addresses(found: tuple[EndpointFacts, ...]) -> list[str]:
    return [item.address for item in found]


def test_ready_endpoints_answer_and_leaving_ones_where_none_is_ready() -> None:
    ready, gone = end("1", node="here"), end("2", node="here", ready=False, serving=True, terminating=True)
    waiting = end("3", node="here", ready=False, serving=False)
    chosen = choose([ready, gone, waiting], HERE)
    assert (addresses(chosen.everywhere), addresses(chosen.local)) == (["1"], ["1"])
    chosen = choose([gone, waiting], HERE)
    assert (addresses(chosen.everywhere), addresses(chosen.local)) == (["2"], ["2"])
    assert not choose([waiting], HERE).exist
    far = end("4", node="there")
    assert addresses(choose([far, gone], HERE).local) == ["2"]  # none is ready here
    assert addresses(choose([far, gone], HERE).everywhere) == ["4"]


def test_hints_count_where_all_have_them_and_one_is_for_us() -> None:
    west, east = end("1", zones=("west",)), end("2", zones=("east",))
    assert addresses(choose([west, east], HERE).everywhere) == ["1"]
    assert addresses(choose([west, end("3")], HERE).everywhere) == ["1", "3"]
    assert addresses(choose([east], HERE).everywhere) == ["2"]
    assert addresses(choose([west, east], Place("here")).everywhere) == ["1", "2"]
    own = end("4", zones=("west",), nodes=("here",))
    other = end("5", zones=("west",), nodes=("there",))
    assert addresses(choose([own, other], HERE).everywhere) == ["4"]
    assert addresses(choose([other], HERE).everywhere) == ["5"]


def decided(spec: dict[str, Any], *ends: dict[str, Any], status: Any = None) -> dict[rules.Key, Frontend]:
    made = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}], **spec},
        "status": {"loadBalancer": {"ingress": status or []}},
    }
    facts = service_facts(made)
    assert facts is not None
    found = slice_facts(
        {
            "metadata": {"namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080}],
            "endpoints": [{"addresses": [item.pop("a")], **item} for item in ends],
        }
    )
    assert found is not None
    return {item.key: item for item in decide(KEY, facts, [found], HERE).frontends}


def test_no_external_address_takes_a_service_of_others() -> None:
    found = decided({"externalIPs": ["10.96.0.10", "192.0.2.7"]}, {"a": "10.244.0.2"})
    assert {address for address, _, _ in found} == {"10.96.0.9", "192.0.2.7"}


def test_the_frontends_of_a_service() -> None:
    spec = {
        "type": "LoadBalancer",
        "ports": [{"port": 80, "nodePort": 30080}],
        "externalIPs": ["192.0.2.1", "fd00::1"],
        "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["198.51.100.0/24", "fd00::/8"],
        "healthCheckNodePort": 31000,
    }
    near, far = {"a": "10.244.0.2", "nodeName": "here"}, {"a": "10.244.1.2", "nodeName": "there"}
    ingress = [{"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "Proxy"}, {"hostname": "x"}]
    found = decided(spec, near, far, status=ingress)
    both, own = ("10.244.0.2 . 8080", "10.244.1.2 . 8080"), ("10.244.0.2 . 8080",)
    assert set(found) == {
        (address, "tcp", port)
        for address, port in (("10.96.0.9", 80), ("192.0.2.1", 80), ("203.0.113.1", 80), ("", 30080))
    }
    assert found["10.96.0.9", "tcp", 80].near is None and found["10.96.0.9", "tcp", 80].targets == both
    assert found["", "tcp", 30080].near == own and found["", "tcp", 30080].targets == both
    assert found["203.0.113.1", "tcp", 80].sources == ("198.51.100.0/24",)
    assert found["192.0.2.1", "tcp", 80].sources is None


def test_nobody_answers() -> None:
    assert decided({})["10.96.0.9", "tcp", 80].closed == "reject"
    far = {"a": "10.244.1.2", "nodeName": "there"}
    item = decided({"internalTrafficPolicy": "Local"}, far)["10.96.0.9", "tcp", 80]
    assert (item.targets, item.closed) == ((), "drop")
    parts = rules.parts_of(item)
    assert parts.elements == {("closed_addresses", "10.96.0.9 . tcp . 80"): "drop"}
    waiting = {"a": "10.244.0.2", "conditions": {"ready": False}}
    assert decided({"internalTrafficPolicy": "Local"}, waiting)["10.96.0.9", "tcp", 80].closed == "reject"


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"type": "ExternalName", "externalName": "x"}},
        {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}},
        {"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "x"}}},
        {"metadata": {"labels": {"service.kubernetes.io/headless": ""}}},
        {"metadata": {"annotations": {"boxship.io/served-on-node": "true"}}},
    ],
)
def test_services_that_no_proxy_leads_to(change: dict[str, Any]) -> None:
    assert (
        service_facts({"metadata": {}, "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}, **change}) is None
    )


def test_nothing_but_addresses_gets_into_rules() -> None:
    evil = "1.2.3.4 } ; flush ruleset"
    spec = {"externalIPs": [evil, "192.0.2.1"], "loadBalancerSourceRanges": [evil, "10.1.0.0/16", "10.0.0.0/8"]}
    found = decided(
        {**spec, "type": "LoadBalancer"}, {"a": evil}, {"a": "1.1.1.1"}, status=[{"ip": evil}, {"ip": "1.1.1.2"}]
    )
    assert {key[0] for key in found} == {"10.96.0.9", "192.0.2.1", "1.1.1.2"}
    assert found["1.1.1.2", "tcp", 80].sources == ("10.0.0.0/8",)  # the kernel takes no overlaps
    assert {item.targets for item in found.values()} == {("1.1.1.1 . 8080",)}


def test_affinity_has_its_time() -> None:
    spec: dict[str, Any] = {"sessionAffinity": "ClientIP"}
    assert decided(spec, {"a": "1.1.1.1"})["10.96.0.9", "tcp", 80].affinity_seconds == 10800
    spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 5}}
    item = decided(spec, {"a": "1.1.1.1"})["10.96.0.9", "tcp", 80]
    assert item.affinity_seconds == 5 and item.affinity == "default/web/"


TARGETS = st.lists(st.sampled_from([f"10.0.0.{n} . 80" for n in range(1, 7)]), unique=True).map(tuple)


@st.composite
def frontends(draw: st.DrawFn) -> dict[rules.Key, Frontend]:
    found = {}
    for key in draw(st.sets(st.sampled_from([("10.96.0.1", 80), ("10.96.0.2", 80), ("", 30080)]))):
        targets = draw(TARGETS)
        near = draw(st.none() | st.just(targets[: len(targets) // 2]))
        sticky = draw(st.booleans())
        item = Frontend(
            key[0],
            draw(st.sampled_from(["tcp", "udp"])),
            key[1],
            targets,
            near,
            draw(st.sampled_from(["reject", "drop"])),
            "web" if sticky else "",
            60 if sticky else 0,
            draw(st.none() | st.just(("192.0.2.0/24",))),
        )
        found[item.key] = item
    return found


class Model:
    """What the commands do, strictly: nothing is deleted that is not there, nothing used that is not declared."""

    def __init__(self) -> None:
        self.elements: dict[tuple[str, str], str] = {}
        self.chains: dict[str, list[str]] = {}
        self.sets: set[str] = set()

    def run(self, text: str) -> None:
        for line in text.splitlines():
            verb, kind, _, _, name, *_ = line.split(" ", 5)
            rest = line.split(" ", 5)[5] if line.count(" ") > 4 else ""
            if kind == "element":
                for part in rest.strip("{ }").split(", "):
                    key, _, value = part.partition(" : ")
                    if verb == "delete":
                        del self.elements[name, key]
                    else:
                        assert (name, key) not in self.elements
                        self.elements[name, key] = value
            elif kind == "set":
                self.sets.add(name) if verb == "add" else self.sets.remove(name)
            elif kind == "chain" and verb == "add":
                assert name not in self.chains
                self.chains[name] = []
            elif kind == "chain" and verb == "flush":
                self.chains[name].clear()
            elif kind == "chain":
                del self.chains[name]
                used = " ".join([*self.elements.values(), *(" ".join(found) for found in self.chains.values())])
                assert not re.search(rf"goto {name}\b", used)
            else:
                assert kind == "rule"
                self.chains[name].append(rest)


@settings(max_examples=60, deadline=None)
@given(st.lists(frontends(), min_size=1, max_size=6))
def test_changes_lead_to_what_must_stand(states: list[dict[rules.Key, Frontend]]) -> None:
    shared, model = Shared(), Model()
    present: dict[rules.Key, Frontend] = {}
    for state in states:
        wanted = {key: rules.arranged(present.get(key), item) for key, item in state.items()}
        assert all(set(wanted[key].targets) == set(item.targets) for key, item in state.items())
        old = [item for key, item in present.items() if wanted.get(key) != item]
        new = [item for key, item in wanted.items() if present.get(key) != item]
        model.run(rules.change("t", shared, old, new))
        present = wanted
        parts = [rules.parts_of(item) for item in present.values()]
        assert model.elements == {key: value for part in parts for key, value in part.elements.items()}
        assert model.chains == {name: list(found) for part in parts for name, found in part.chains.items()}
        assert model.sets == {name for part in parts for name in part.sets}


def test_one_endpoint_less_is_a_few_elements() -> None:
    targets = tuple(f"10.0.0.{n} . 80" for n in range(1, 101))
    old = Frontend("10.96.0.1", "tcp", 80, targets)
    new = rules.arranged(old, Frontend("10.96.0.1", "tcp", 80, tuple(t for t in targets if t != "10.0.0.7 . 80")))
    shared = Shared()
    rules.change("t", shared, [], [old])
    text = rules.change("t", shared, [old], [new])
    assert sum(line.count(",") + 1 for line in text.splitlines() if "element" in line) <= 6
    assert new.targets[6] == "10.0.0.100 . 80" and new.targets[5] == "10.0.0.6 . 80"


@given(TARGETS, TARGETS)
def test_targets_keep_their_places(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    found = rules.in_place(old, new)
    assert sorted(found) == sorted(new)
    assert all(found[n] == old[n] for n in range(min(len(old), len(new))) if old[n] in new)


def test_everything_anew_takes_away_what_is_left_over() -> None:
    around = Surroundings("br0", ("10.244.0.0/16",), ("10.96.0.0/16",), ("10.244.0.2",))
    left = {"chain": ["prerouting", "address_targets_3", "old"], "set": ["clients_x"], "map": ["addresses"]}
    text = rules.replace("t", Shared(), [Frontend("10.96.0.1", "tcp", 80, ("a . 1",) * 3)], around, left)
    assert "delete chain ip t old" in text and "delete set ip t clients_x" in text
    assert "delete chain ip t address_targets_3" not in text and "delete chain ip t prerouting" not in text


def test_flows_to_forget() -> None:
    old = [Frontend("10.96.0.1", "udp", 53, ("a . 53", "b . 53")), Frontend("10.96.0.1", "tcp", 53, ("a . 53",))]
    new = [Frontend("10.96.0.1", "udp", 53, ("b . 53",)), Frontend("", "udp", 30053, ("b . 53",))]
    assert [(item.address, item.port, item.target) for item in rules.moved_flows(old, new)] == [
        ("", 30053, ""),
        ("10.96.0.1", 53, "a . 53"),
    ]


async def test_the_first_service_has_a_frontend_that_two_claim() -> None:
    claims = Claims()
    key = ("192.0.2.1", "tcp", 80)
    one, two = Frontend(*key, ("a . 1",)), Frontend(*key, ("b . 1",))
    assert claims.put(("ns", "b"), [two]) == {key} and claims.get(key) == two
    assert claims.put(("ns", "a"), [one]) == {key} and claims.get(key) == one
    assert claims.put(("ns", "a"), [one]) == set()
    assert await claims.all() == [one]
    claims.put(("ns", "a"), [])
    assert claims.get(key) == two
    claims.put(("ns", "b"), [])
    assert claims.get(key) is None and await claims.all() == []


async def settled(proxy: "asyncio.Task[None]", check: Any) -> None:
    async with asyncio.timeout(20):
        while not check():
            assert not proxy.done()
            await asyncio.sleep(0.001)


async def test_the_proxy_follows_services_and_endpoints() -> None:
    objects, network = Objects(), RememberingNetwork()
    service(objects, "web", "10.96.0.9", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    endpoints(objects, "web", "10.244.0.2", "10.244.0.3")
    objects.put("v1/nodes", "here", "", metadata={"labels": {"topology.kubernetes.io/zone": "west"}})
    proxy = asyncio.create_task(ServiceProxy(objects, network, "here").run())  # type: ignore[arg-type]
    table = network.services
    await settled(proxy, lambda: len(table.frontends) == 2)
    assert table.frontends["10.96.0.9", "tcp", 80].targets == ("10.244.0.2 . 8080", "10.244.0.3 . 8080")
    hints = [
        {"addresses": [f"10.244.0.{n}"], "hints": {"forZones": [{"name": z}]}} for n, z in ((2, "west"), (3, "east"))
    ]
    endpoints(objects, "web", *hints)
    await settled(proxy, lambda: table.frontends["10.96.0.9", "tcp", 80].targets == ("10.244.0.2 . 8080",))
    objects.put("v1/nodes", "here", "", metadata={"labels": {"topology.kubernetes.io/zone": "east"}})
    await settled(proxy, lambda: table.frontends["", "tcp", 30080].targets == ("10.244.0.3 . 8080",))
    table.failures.append(Internal("the kernel is busy"))
    objects.remove("discovery.k8s.io/v1/endpointslices", "web")
    await settled(proxy, lambda: table.frontends["", "tcp", 30080].targets == ())
    assert table.replaced == 2  # after the failure everything was told again
    objects.remove("v1/services", "web")
    await settled(proxy, lambda: not table.frontends)
    proxy.cancel()
    await asyncio.gather(proxy, return_exceptions=True)


async def test_telling_everything_lets_others_have_their_turn() -> None:
    claims = Claims()
    for number in range(1_000):
        claims.put(("default", f"s{number}"), [Frontend("10.96.0.9", "tcp", number)])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    assert len(await claims.all()) == 1_000
    counting.cancel()
    assert turns >= 9


async def test_ranges_of_services_are_followed() -> None:
    objects, network = Objects(), RememberingNetwork()
    kind = "networking.k8s.io/v1/servicecidrs"
    objects.put(kind, "kubernetes", "", spec={"cidrs": ["10.96.0.0/16", "fd00::/64"]})
    ranges = asyncio.create_task(ServiceRanges(objects, network).run())  # type: ignore[arg-type]
    await settled(ranges, lambda: network.states == [["10.96.0.0/16"]])
    objects.put(kind, "more", "", spec={"cidrs": ["10.98.0.0/24"]})
    await settled(ranges, lambda: network.states[-1] == ["10.96.0.0/16", "10.98.0.0/24"])
    ranges.cancel()
    await asyncio.gather(ranges, return_exceptions=True)


async def test_load_balancers_are_told_of_local_endpoints() -> None:
    servers, port = HealthServers(), free_port()

    async def ask() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        found = (await reader.read()).decode()
        writer.close()
        return found

    await servers.put(KEY, port, 2)
    said = await ask()
    assert said.startswith("HTTP/1.1 200 ") and '"localEndpoints":2' in said and '"name":"web"' in said
    await servers.put(KEY, port, 0)
    assert (await ask()).startswith("HTTP/1.1 503 ")
    await servers.put(KEY, 0, 0)
    with pytest.raises(ConnectionRefusedError):
        await ask()
    await servers.put(KEY, port, 1)
    await servers.close()
    assert b"X-Load-Balancing-Endpoint-Weight: 3" in answer(KEY, 3)
