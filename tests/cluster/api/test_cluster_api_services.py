"""Addresses and node ports of Services."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cluster_api_kit import Asker, StillClock, running

from boxship.cluster.api.services import ServiceAddresses
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.store.memory import MemoryStore

PATH = "v1/services"


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    store = MemoryStore()
    companions = {"services/specs": ServiceAddresses(store, "10.96.0.0/24", StillClock())}
    async with running(store, companions=companions) as asker:
        yield asker


def service(name: str, **spec: Any) -> Object:
    spec.setdefault("ports", [{"port": 80}])
    spec.setdefault("selector", {"app": "a"})
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}


async def test_an_address_is_given_kept_and_freed(asker: Asker) -> None:
    made = await asker.create(PATH, "default", service("a"))
    ip = made["spec"]["clusterIP"]
    assert ip.startswith("10.96.0.") and made["spec"]["clusterIPs"] == [ip]
    assert (made["spec"]["ipFamilies"], made["spec"]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    address = await asker.get("networking.k8s.io/v1/ipaddresses", "", ip)
    assert address["spec"]["parentRef"] == {"resource": "services", "namespace": "default", "name": "a"}
    changed = await asker.update(PATH, "default", service("a", ports=[{"port": 81}]))
    assert changed["spec"]["clusterIP"] == ip
    with pytest.raises(Failure, match=f"failed to allocate IP {ip}: provided IP is already allocated"):
        await asker.create(PATH, "default", service("b", clusterIP=ip))
    await asker.delete(PATH, "default", "a")
    assert (await asker.create(PATH, "default", service("b", clusterIP=ip)))["spec"]["clusterIP"] == ip


async def test_node_ports(asker: Asker) -> None:
    both = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    made = await asker.create(PATH, "default", service("a", type="NodePort", ports=both))
    first, second = (port["nodePort"] for port in made["spec"]["ports"])
    assert first == second and 30000 <= first <= 32767
    asked = [{"port": 1, "nodePort": first}]
    with pytest.raises(
        Failure, match=r"spec.ports\[0\].nodePort: Invalid value: \d+: provided port is already allocated"
    ):
        await asker.create(PATH, "default", service("b", type="NodePort", ports=asked))
    with pytest.raises(Failure, match="The range of valid ports is 30000-32767"):
        await asker.create(PATH, "default", service("b", type="NodePort", ports=[{"port": 1, "nodePort": 80}]))
    plain = await asker.patch(PATH, "default", "a", {"spec": {"type": "ClusterIP"}})
    assert not any("nodePort" in port for port in plain["spec"]["ports"])
    await asker.create(PATH, "default", service("b", type="NodePort", ports=asked))


async def test_headless_and_external_ones_get_none(asker: Asker) -> None:
    headless = await asker.create(PATH, "default", service("a", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    external = await asker.create(PATH, "default", service("b", type="ExternalName", externalName="example.com"))
    assert "clusterIP" not in external["spec"]
    assert (await asker.list("networking.k8s.io/v1/ipaddresses"))["items"] == []


async def test_many_at_once_get_different_ones(asker: Asker) -> None:
    made = await asyncio.gather(*(asker.create(PATH, "default", service(f"s{n}", type="NodePort")) for n in range(60)))
    assert len({each["spec"]["clusterIP"] for each in made}) == 60
    assert len({each["spec"]["ports"][0]["nodePort"] for each in made}) == 60


async def test_a_full_range_and_addresses_outside(asker: Asker) -> None:
    with pytest.raises(Failure, match=r"is not in the valid range. The range of valid IPs is 10.96.0.0/24"):
        await asker.create(PATH, "default", service("a", clusterIP="10.97.0.1"))
    for number in range(254):
        await asker.create(PATH, "default", service(f"s{number}"))
    with pytest.raises(Failure, match="range is full"):
        await asker.create(PATH, "default", service("one-more"))
