"""Objects go with their owners: in the background, in the foreground, or not at all."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from controllers_kit import World, eventually, reference, running_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path) as running:
        yield running


async def gone(world: World, *names: str) -> bool:
    return not set(names) & await world.names("v1/configmaps")


async def test_dependents_go_in_the_background(world: World) -> None:
    owner = await world.config_map("owner")
    middle = await world.config_map("middle", owner)
    await world.config_map("leaf", middle)
    await world.config_map("other")
    await world.client.delete("v1/configmaps", "default", "owner")
    await eventually(lambda: gone(world, "middle", "leaf"))
    assert "other" in await world.names("v1/configmaps")


async def test_an_owner_waits_for_its_dependents_in_the_foreground(world: World) -> None:
    owner = await world.config_map("owner")
    middle = await world.config_map("middle", owner)
    await world.config_map("leaf", middle, finalizers=["example.test/held"])
    await world.client.delete("v1/configmaps", "default", "owner", propagation="Foreground")

    async def leaf_is_going() -> bool:
        leaf = await world.found("v1/configmaps", "default", "leaf")
        return bool(leaf and leaf["metadata"].get("deletionTimestamp"))

    await eventually(leaf_is_going)
    assert {"owner", "middle", "leaf"} <= await world.names("v1/configmaps")
    await world.client.patch("v1/configmaps", "default", "leaf", {"metadata": {"finalizers": None}})
    await eventually(lambda: gone(world, "owner", "middle", "leaf"))


async def test_dependents_stay_as_orphans(world: World) -> None:
    owner = await world.config_map("owner")
    await world.config_map("leaf", owner)
    await world.client.delete("v1/configmaps", "default", "owner", propagation="Orphan")
    await eventually(lambda: gone(world, "owner"))
    leaf = await world.client.get("v1/configmaps", "default", "leaf")
    assert "ownerReferences" not in leaf["metadata"]


async def test_an_owner_that_never_was_and_one_in_another_namespace(world: World) -> None:
    owner = await world.config_map("owner")
    lost = {**owner, "metadata": {**owner["metadata"], "name": "nobody", "uid": "1-2-3"}}
    again = {**owner, "metadata": {**owner["metadata"], "uid": "another"}}
    elsewhere = await world.config_map("elsewhere", namespace="kube-public")
    await world.config_map("of-nobody", lost)
    await world.config_map("of-another", again)
    await world.config_map("of-elsewhere", elsewhere)
    await world.config_map("of-both", owner, lost)
    await eventually(lambda: gone(world, "of-nobody", "of-another", "of-elsewhere"))

    async def released() -> bool:
        both = await world.client.get("v1/configmaps", "default", "of-both")
        return [one["name"] for one in both["metadata"]["ownerReferences"]] == ["owner"]

    await eventually(released)


async def test_two_that_own_each_other_go_both(world: World) -> None:
    one = await world.config_map("one")
    two = await world.config_map("two", one)
    patch = {"metadata": {"ownerReferences": [reference(two)]}}
    await world.client.patch("v1/configmaps", "default", "one", patch)
    await world.client.delete("v1/configmaps", "default", "one", propagation="Foreground")
    await eventually(lambda: gone(world, "one", "two"))


async def test_a_cluster_object_is_not_taken_with_one_in_a_namespace(world: World) -> None:
    owner = await world.config_map("owner")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "kept", "ownerReferences": [reference(owner)]},
    }
    await world.client.create("rbac.authorization.k8s.io/v1/clusterroles", "", role)
    await world.config_map("leaf", owner)
    await world.client.delete("v1/configmaps", "default", "owner")
    await eventually(lambda: gone(world, "owner", "leaf"))
    assert await world.found("rbac.authorization.k8s.io/v1/clusterroles", "", "kept")


async def test_a_namespaced_object_goes_with_one_of_the_cluster(world: World) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "owner"},
    }
    owner = await world.client.create("rbac.authorization.k8s.io/v1/clusterroles", "", role)
    await world.config_map("leaf", owner)
    await world.client.delete("rbac.authorization.k8s.io/v1/clusterroles", "", "owner")
    await eventually(lambda: gone(world, "leaf"))


async def test_a_chain_goes_at_once_in_the_foreground(world: World) -> None:
    owner = await world.config_map("owner")
    middle = await world.config_map("middle", owner)
    await world.config_map("leaf", middle)
    await world.client.delete("v1/configmaps", "default", "owner", propagation="Foreground")
    await eventually(lambda: gone(world, "owner", "middle", "leaf"))
