"""Ranges that addresses come from, and what is made right again."""

import asyncio
from pathlib import Path

import pytest
from world_kit import eventually, running_world

from boxship.cluster.api.service_addresses import IP_KEY, AddressPool, as_it_is
from boxship.cluster.api.service_repair import ServiceRepair
from boxship.cluster.api.services import PORT_KEY
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.store import Delete, Put
from boxship.store.memory import MemoryStore

RANGES, ADDRESSES = "networking.k8s.io/v1/servicecidrs", "networking.k8s.io/v1/ipaddresses"


async def test_every_address_of_a_range_is_given_out() -> None:
    store = MemoryStore()
    pool = AddressPool(store, "10.0.0.0/24", as_it_is)
    given = []
    for _ in range(254):
        given.append(await pool.free())
        await store.commit(Put(f"{IP_KEY}{given[-1]}", b"{}"))
    assert len(set(given)) == 254 and {"10.0.0.0", "10.0.0.255"}.isdisjoint(given)
    assert {f"10.0.0.{number}" for number in range(1, 17)} == set(given[-16:])
    with pytest.raises(Failure, match="range is full"):
        await pool.free()


def service(name: str, **spec: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], **spec},
    }


async def test_what_was_taken_away_comes_back(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        repair = ServiceRepair(world.storage, world.clock)
        one = service("one", clusterIP="10.96.7.7", clusterIPs=["10.96.7.7"], type="NodePort")
        one["spec"]["ports"][0]["nodePort"] = 30100
        await world.client.create("v1/services", "default", one)
        await world.store.commit(Put(f"{PORT_KEY}30999", b"default/nobody"))
        await repair.repair()
        found = await world.client.get(ADDRESSES, "", "10.96.7.7")
        assert found["spec"]["parentRef"]["name"] == "one"
        store_keys = {entry.key for entry in (await world.store.list(PORT_KEY)).entries}
        assert store_keys == {f"{PORT_KEY}30100"}
        task = asyncio.create_task(repair.run())
        try:
            await world.store.commit(Delete(f"{IP_KEY}10.96.7.7"))
            await eventually(lambda: world.found(ADDRESSES, "", "10.96.7.7"))
            await world.client.delete("v1/services", "default", "one")
        finally:
            task.cancel()
        await repair.repair()
        assert await world.found(ADDRESSES, "", "10.96.7.7") is None


async def test_a_further_range_is_used_and_protected(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        made = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"}}
        made["spec"] = {"cidrs": ["10.97.0.0/28"]}
        await world.client.create(RANGES, "", made)

        async def ready() -> bool:
            status = (await world.client.get(RANGES, "", "more")).get("status") or {}
            return any(one["status"] == "True" for one in status.get("conditions") or ())

        await eventually(ready)
        pool = AddressPool(world.store, "10.96.0.0/16", as_it_is)
        assert [str(one) for one in await pool.ranges()] == ["10.96.0.0/16", "10.97.0.0/28"]
        parent = {"resource": "services", "namespace": "default", "name": "x"}
        address = {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": "10.97.0.3"}}
        await world.client.create(ADDRESSES, "", {**address, "spec": {"parentRef": parent}})
        await world.client.delete(RANGES, "", "more")
        assert [str(one) for one in await pool.ranges()] == ["10.96.0.0/16"]

        async def waits() -> bool:
            conditions = (await world.client.get(RANGES, "", "more"))["status"]["conditions"]
            return conditions[0]["reason"] == "Terminating" and "still IPAddresses" in conditions[0]["message"]

        await eventually(waits)
