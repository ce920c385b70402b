"""Which slices there should be, and how few writes lead there."""

from typing import Any

from endpoints_kit import backend, named, service
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.controllers.endpoints.backends import Backend
from boxship.cluster.controllers.endpoints.slicing import (
    HEADLESS,
    LARGEST,
    MANAGED_BY,
    OURS,
    SERVICE_NAME,
    Plan,
    endpoint_of,
    form_of,
    groups_of,
    plan,
    ports_of,
)
from boxship.cluster.controllers.endpoints.subsets import LARGEST as LARGEST_SUBSETS
from boxship.cluster.controllers.endpoints.subsets import OVER_CAPACITY, endpoints_of, subsets_of
from boxship.cluster.objects import Object


def no_zone(node: str) -> str:
    return ""


class Slices:
    """What is there, as plans change it."""

    def __init__(self, service: Object) -> None:
        self.service = service
        self.there: dict[str, Object] = {}
        self._count = 0

    def settle(self, *pods: Backend) -> Plan:
        done = plan(form_of(self.service), groups_of(self.service, pods, no_zone), self.there.values())
        for one in done.create:
            self._count += 1
            name = f"{one['metadata']['generateName']}{self._count:05}"
            self.there[name] = {**one, "metadata": {**one["metadata"], "name": name, "uid": name}}
        for one in done.update:
            self.there[one["metadata"]["name"]] = one
        for one in done.delete:
            del self.there[one["metadata"]["name"]]
        return done

    @property
    def addresses(self) -> list[str]:
        return sorted(one["addresses"][0] for slice in self.there.values() for one in slice["endpoints"])


def writes(plan: Plan) -> tuple[int, int, int]:
    return len(plan.create), len(plan.update), len(plan.delete)


def test_an_endpoint_says_what_the_pod_is() -> None:
    plain = endpoint_of(service(), backend(1), "z")
    assert plain == {
        "addresses": ["10.244.0.2"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "web-0001", "uid": "uid-1"},
        "nodeName": "n",
        "zone": "z",
    }
    ending = endpoint_of(service(), backend(1, terminating=True), "")
    assert ending["conditions"] == {"ready": False, "serving": True, "terminating": True}
    early = endpoint_of(service(publishNotReadyAddresses=True), backend(1, ready=False), "")
    assert early["conditions"] == {"ready": True, "serving": False, "terminating": False}
    assert endpoint_of(service("s"), backend(1, hostname="h", subdomain="s"), "")["hostname"] == "h"
    assert "hostname" not in endpoint_of(service("s"), backend(1, hostname="h", subdomain="t"), "")
    near = endpoint_of(service(trafficDistribution="PreferClose"), backend(1), "z")
    assert near["hints"] == {"forZones": [{"name": "z"}]}
    same_node = endpoint_of(service(trafficDistribution="PreferSameNode"), backend(1), "z")
    assert same_node["hints"] == {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}


def test_named_ports_mean_what_each_pod_says() -> None:
    ports = [
        {"name": "a", "port": 80, "targetPort": "http"},
        {"name": "b", "port": 53, "targetPort": "d", "protocol": "UDP"},
    ]
    old, new = backend(1, ports=(named("http", 80),)), backend(2, ports=(named("http", 8080), named("d", 53, "UDP")))
    groups = groups_of(service(ports=ports), [old, new], no_zone)
    assert set(groups) == {(("a", "TCP", 80, ""),), (("a", "TCP", 8080, ""), ("b", "UDP", 53, ""))}
    assert ports_of(service(ports=ports), backend(3, ports=(named("d", 53, "TCP"),))) == ()


def test_a_service_without_endpoints_has_one_empty_slice_that_then_serves() -> None:
    slices = Slices(service())
    assert writes(slices.settle()) == (1, 0, 0)
    assert slices.settle() == Plan()
    assert writes(slices.settle(backend(1))) == (0, 1, 0)
    assert writes(slices.settle(backend(1, ready=False))) == (0, 1, 0)
    assert writes(slices.settle(backend(1, ended=True))) == (0, 1, 0)
    assert slices.settle() == Plan()
    (only,) = slices.there.values()
    assert only["endpoints"] == [] and only["ports"] == []
    assert only["metadata"]["labels"] == {SERVICE_NAME: "web", MANAGED_BY: OURS}


def test_a_headless_service_may_have_no_ports() -> None:
    slices = Slices(service(clusterIP="None", ports=[]))
    slices.settle(backend(1))
    (only,) = slices.there.values()
    assert slices.addresses == ["10.244.0.2"] and only["ports"] == []
    assert only["metadata"]["labels"][HEADLESS] == ""


def test_what_is_there_twice_stays_once() -> None:
    slices = Slices(service())
    slices.settle(backend(1), backend(2))
    (name, first) = next(iter(slices.there.items()))
    slices.there["web-twin"] = {**first, "metadata": {**first["metadata"], "name": "web-twin"}}
    assert writes(slices.settle(backend(1), backend(2))) == (0, 0, 1)
    assert list(slices.there) == [name]


def test_labels_follow_the_service() -> None:
    slices = Slices(service())
    slices.settle(backend(1))
    slices.service["metadata"]["labels"] = {"tier": "front"}
    assert writes(slices.settle(backend(1))) == (0, 1, 0)
    assert slices.settle(backend(1)) == Plan()


def test_one_change_among_many_is_one_write() -> None:
    slices = Slices(service())
    pods = [backend(number) for number in range(250)]
    assert writes(slices.settle(*pods)) == (3, 0, 0)
    assert writes(slices.settle(*pods[:-1], backend(249, ready=False))) == (0, 1, 0)
    assert writes(slices.settle(*pods)) == (0, 1, 0)
    assert writes(slices.settle(*pods[1:])) == (0, 1, 0)
    assert writes(slices.settle(*pods[1:], backend(300))) == (0, 1, 0)


counts = st.lists(st.integers(0, 350), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(counts, st.data())
def test_every_endpoint_stands_in_one_slice(sizes: list[int], data: Any) -> None:
    slices = Slices(service())
    for size in sizes:
        first = data.draw(st.integers(0, 400))
        ports = data.draw(st.sampled_from([(named("x", 1),), ()]))
        pods = [backend(number, ready=number % 3 > 0, ports=ports) for number in range(first, first + size)]
        done = slices.settle(*pods)
        assert slices.addresses == sorted(pod.address for pod in pods)
        assert all(len(slice["endpoints"]) <= LARGEST for slice in slices.there.values())
        assert slices.there, done
        assert slices.settle(*pods) == Plan()


def test_subsets_are_grouped_by_ports() -> None:
    ports = [{"name": "a", "port": 80, "targetPort": "http"}]
    pods = [backend(number, ports=(named("http", 80 + number % 2),), ready=number < 3) for number in range(4)]
    subsets, over = subsets_of(service(ports=ports), [*pods, backend(9)])
    assert not over
    assert [[one["ip"] for one in subset["addresses"]] for subset in subsets] == [
        ["10.244.0.1", "10.244.0.3"],
        ["10.244.0.2"],
    ]
    assert [one["ip"] for one in subsets[1]["notReadyAddresses"]] == ["10.244.0.4"]
    assert subsets[0]["ports"] == [{"name": "a", "port": 80, "protocol": "TCP"}]


def test_too_many_addresses_are_cut_and_said() -> None:
    pods = [backend(number, ready=number % 2 == 0) for number in range(1500)]
    made = endpoints_of(service(), pods, None)
    assert made is not None
    (subset,) = made["subsets"]
    assert len(subset["addresses"]) == 750 and len(subset["notReadyAddresses"]) == LARGEST_SUBSETS - 750
    assert made["metadata"]["annotations"][OVER_CAPACITY] == "truncated"
    assert endpoints_of(service(), pods, made) is None
    fewer = endpoints_of(service(), pods[:10], made)
    assert fewer is not None and OVER_CAPACITY not in fewer["metadata"]["annotations"]
