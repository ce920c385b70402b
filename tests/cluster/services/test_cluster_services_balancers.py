"""Addresses of load balancers, and ranges of services."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world_kit import World, eventually, running_world

from boxship.cluster.controllers.services.balancing import (
    Balancer,
    Node,
    Pool,
    Verdict,
    balancer_of,
    from_nodes,
    from_pool,
    kept_of,
    node_of,
    parse_pool,
)
from boxship.cluster.controllers.services.external import claims_of, left_out, owners_of
from boxship.cluster.controllers.services.ranges import is_needed
from boxship.cluster.objects import Object

POOL = Pool(int.from_bytes(bytes([10, 0, 0, 1])), int.from_bytes(bytes([10, 0, 0, 3])))


def balancer(number: int, *has: str, port: int = 80, asked: str = "") -> Balancer:
    return Balancer(("default", f"b{number}"), f"2026-01-0{number}", has, asked, frozenset({("TCP", port)}))


def test_pools_are_ranges_or_networks() -> None:
    assert parse_pool("10.0.0.1-10.0.0.3") == parse_pool("10.0.0.1 - 10.0.0.3") == POOL
    assert parse_pool("") is None
    pool = parse_pool("10.0.0.0/30")
    assert pool is not None and list(pool.addresses) == ["10.0.0.1", "10.0.0.2"]
    assert parse_pool("10.0.0.7/32") == Pool(POOL.first + 6, POOL.first + 6)
    for wrong in ("10.0.0.9-10.0.0.1", "10.0.0.0/8", "x", "fd00::/64"):
        with pytest.raises(ValueError):
            parse_pool(wrong)


def test_each_gets_its_own_of_the_pool_and_keeps_it() -> None:
    assert from_pool(balancer(1), [], POOL) == Verdict(("10.0.0.1",))
    assert from_pool(balancer(1), [balancer(2, "10.0.0.1")], POOL) == Verdict(("10.0.0.2",))
    assert from_pool(balancer(1, "10.0.0.3"), [balancer(2, "10.0.0.1")], POOL) == Verdict(("10.0.0.3",))
    assert from_pool(balancer(1, "192.0.2.1"), [], POOL) == Verdict(("10.0.0.1",))
    assert from_pool(balancer(1, asked="10.0.0.2"), [], POOL) == Verdict(("10.0.0.2",))
    assert "taken" in from_pool(balancer(1, asked="10.0.0.2"), [balancer(2, "10.0.0.2")], POOL).why
    assert "not in the pool" in from_pool(balancer(1, asked="10.9.0.2"), [], POOL).why
    full = [balancer(number, address) for number, address in enumerate(POOL.addresses, 2)]
    assert from_pool(balancer(1), full, POOL).why == "the pool has no free address"


def outside(name: str, *addresses: str) -> Object:
    return {"metadata": {"name": name}, "spec": {"externalIPs": list(addresses), "ports": [{"port": 80}]}}


def test_external_addresses_that_nobody_serves_are_told() -> None:
    first, second = outside("a", "192.0.2.1"), outside("b", "192.0.2.1", "10.96.0.10", "192.0.2.2", "fd00::1")
    owners = owners_of({("x", "b"): claims_of(second), ("x", "a"): claims_of(first)})
    inside = [ipaddress.IPv4Network("10.96.0.0/16")]
    assert left_out(("x", "a"), first, owners, inside) == ()
    assert left_out(("x", "b"), second, owners, inside) == (
        "External address 10.96.0.10 is not served: it lies among the cluster's own",
        "unsupported: external address fd00::1: it is not IPv4",
        "TCP port 80 of 192.0.2.1 is not served: it belongs to x/a",
    )


async def test_a_service_hears_that_its_address_is_anothers(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        spec = {"externalIPs": ["198.51.100.7"], "ports": [{"port": 80}]}
        for name in ("a", "b"):
            made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
            await world.client.create("v1/services", "default", made)

        async def told() -> list[str]:
            events = (await world.client.list("v1/events", "default")).items
            return [one["message"] for one in events if one["reason"] == "ExternalAddressNotServed"]

        assert await eventually(told) == ["TCP port 80 of 198.51.100.7 is not served: it belongs to default/a"]


@given(st.lists(st.sampled_from(["", "10.0.0.1", "10.0.0.2", "192.0.2.1"]), max_size=6))
def test_no_address_of_a_pool_is_given_twice(known: list[str]) -> None:
    all = {number: balancer(number, *([address] if address else [])) for number, address in enumerate(known, 1)}
    for number, one in list(all.items()):
        verdict = from_pool(one, all.values(), POOL)
        all[number] = balancer(number, *verdict.addresses)
    given = [address for one in all.values() for address in one.has]
    assert len(given) == len(set(given))


def test_a_port_of_the_nodes_belongs_to_one() -> None:
    nodes = [Node("192.0.2.2"), Node("192.0.2.1"), Node("")]
    assert from_nodes(balancer(1), [balancer(2)], nodes) == Verdict(("192.0.2.1", "192.0.2.2"))
    assert from_nodes(balancer(2), [balancer(1)], nodes).why == "TCP port 80 of the nodes belongs to default/b1"
    assert from_nodes(balancer(1), [balancer(2, "192.0.2.1")], nodes).why
    assert from_nodes(balancer(2), [balancer(1, port=81)], nodes).addresses
    assert from_nodes(balancer(1), [], []).why == "no node is ready"
    for port in (22, 6443, 10250):
        assert from_nodes(balancer(1, "192.0.2.1", port=port), [], nodes).why.endswith("is the cluster's own")
    kept = kept_of([Node("192.0.2.1", 10350)], {"spec": {"ports": [{"port": 443, "targetPort": 7443}]}})
    for port in (22, 7443, 10350, 30080):
        assert from_nodes(balancer(1, port=port), [], nodes, kept=kept).why.endswith("is the cluster's own")
    assert "belongs to Ingress" in from_nodes(balancer(1), [], nodes, with_ingress=True).why
    assert from_nodes(balancer(1, "192.0.2.1"), [], nodes, with_ingress=True).addresses
    assert from_nodes(balancer(1, port=81), [], nodes, with_ingress=True).addresses


def test_what_is_ours() -> None:
    metadata = {"name": "a", "namespace": "n", "creationTimestamp": "t"}
    spec: Object = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    found = balancer_of({"metadata": metadata, "spec": spec})
    assert found is not None and found.ports == {("TCP", 80)}
    assert balancer_of({"metadata": metadata, "spec": {**spec, "loadBalancerClass": "other.io/x"}}) is None
    assert balancer_of({"metadata": metadata, "spec": {**spec, "type": "NodePort"}}) is None
    addresses = [{"type": "InternalIP", "address": "10.1.0.1"}, {"type": "ExternalIP", "address": "192.0.2.1"}]
    status = {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]}
    assert node_of({"metadata": {}, "status": status}) == Node("192.0.2.1")
    excluded = {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}
    assert node_of({"metadata": excluded, "status": status}) == Node("")


def test_a_range_stays_while_it_is_needed() -> None:
    def range(*cidrs: str, **metadata: Any) -> Object:
        return {"metadata": metadata, "spec": {"cidrs": list(cidrs)}}

    assert is_needed(range("10.0.0.0/24"), [], ["10.0.0.7"])
    assert not is_needed(range("10.0.0.0/24"), [], ["10.0.1.7", "fd00::1"])
    assert not is_needed(range("10.0.0.0/24"), [range("10.0.0.0/16")], ["10.0.0.7"])
    assert is_needed(range("10.0.0.0/24"), [range("10.0.0.0/16", deletionTimestamp="t")], ["10.0.0.7"])


async def test_a_service_gets_the_nodes_addresses(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        await world.client.create("v1/nodes", "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
        addresses = [{"type": "InternalIP", "address": "192.0.2.1"}]
        ready = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        status = {"status": {"addresses": addresses, "conditions": ready}}
        await world.client.patch("v1/nodes", "", "n", status, subresource="status")
        for name in ("one", "two"):
            spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
            made: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
            await world.client.create("v1/services", "default", made)
        await eventually(lambda: _points(world, "one"))
        assert await _points(world, "one") == [{"ip": "192.0.2.1", "ipMode": "VIP"}]
        assert await _points(world, "two") == []
        await world.client.delete("v1/services", "default", "one")
        await eventually(lambda: _points(world, "two"))


async def _points(world: World, name: str) -> list[Object]:
    service = await world.client.get("v1/services", "default", name)
    return list(service["status"]["loadBalancer"].get("ingress") or ())
