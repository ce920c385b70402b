"""Objects go with their owners: in the background, in the foreground, or not at all."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from world_kit import World, eventually, reference, running_world

from boxship.cluster.controllers.garbage.decisions import Delete, Keep, Release, State, decide, state_of
from boxship.cluster.controllers.garbage.graph import Graph, Owner, Place

together = pytest.mark.asyncio(loop_scope="module")  # on the loop of the module's world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(tmp_path_factory.mktemp("world")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def world(whole: World) -> AsyncIterator[World]:
    """What a test leaves goes, whatever owns it."""
    world = whole
    yield world
    for name in await world.names("v1/configmaps") - {"kube-root-ca.crt"}:
        await world.client.delete("v1/configmaps", "default", name, propagation="Background")
    await eventually(lambda: only_ours(world))


async def only_ours(world: World) -> bool:
    return await world.names("v1/configmaps") == {"kube-root-ca.crt"}


async def gone(world: World, *names: str) -> bool:
    return not set(names) & await world.names("v1/configmaps")


@together
async def test_dependents_go_in_the_background(world: World) -> None:
    owner = await world.config_map("owner")
    middle = await world.config_map("middle", owner)
    await world.config_map("leaf", middle)
    await world.config_map("other")
    await world.client.delete("v1/configmaps", "default", "owner")
    await eventually(lambda: gone(world, "middle", "leaf"))
    assert "other" in await world.names("v1/configmaps")


@together
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


@together
async def test_dependents_stay_as_orphans(world: World) -> None:
    owner = await world.config_map("owner")
    await world.config_map("leaf", owner)
    await world.client.delete("v1/configmaps", "default", "owner", propagation="Orphan")
    await eventually(lambda: gone(world, "owner"))
    leaf = await world.client.get("v1/configmaps", "default", "leaf")
    assert "ownerReferences" not in leaf["metadata"]


@together
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


@together
async def test_two_that_own_each_other_go_both(world: World) -> None:
    one = await world.config_map("one")
    two = await world.config_map("two", one)
    patch = {"metadata": {"ownerReferences": [reference(two)]}}
    await world.client.patch("v1/configmaps", "default", "one", patch)
    await world.client.delete("v1/configmaps", "default", "one", propagation="Foreground")
    await eventually(lambda: gone(world, "one", "two"))


@together
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


@together
async def test_a_namespaced_object_goes_with_one_of_the_cluster(world: World) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "owner-of-leaf"},
    }
    owner = await world.client.create("rbac.authorization.k8s.io/v1/clusterroles", "", role)
    await world.config_map("leaf", owner)
    await world.client.delete("rbac.authorization.k8s.io/v1/clusterroles", "", "owner-of-leaf")
    await eventually(lambda: gone(world, "leaf"))


@together
async def test_a_chain_goes_at_once_in_the_foreground(world: World) -> None:
    owner = await world.config_map("owner")
    middle = await world.config_map("middle", owner)
    await world.config_map("leaf", middle)
    await world.client.delete("v1/configmaps", "default", "owner", propagation="Foreground")
    await eventually(lambda: gone(world, "owner", "middle", "leaf"))


ONE = Owner("v1", "ConfigMap", "one", "1", True)
TWO = Owner("v1", "ConfigMap", "two", "2")
OBJECT = {"metadata": {"uid": "x", "resourceVersion": "5"}}


@pytest.mark.parametrize(
    ("states", "dependents", "finalizers", "step"),
    [
        ((State.SOLID, State.SOLID), (), (), Keep()),
        ((State.SOLID, State.ABSENT), (), (), Release(("2",))),
        ((State.SOLID, State.WAITING), (False,), (), Release(("2",))),
        ((State.ABSENT, State.ABSENT), (), (), Delete("Background")),
        ((State.ABSENT, State.ABSENT), (), ("orphan",), Delete("Orphan")),
        ((State.ABSENT, State.ABSENT), (), ("foregroundDeletion",), Delete("Foreground")),
        ((State.WAITING, State.ABSENT), (), (), Delete("Background")),
        ((State.WAITING, State.ABSENT), (False,), (), Delete("Foreground")),
        ((State.WAITING, State.ABSENT), (False, True), (), Delete("Foreground", unblock=True)),
    ],
)
def test_what_is_done_with_an_object(
    states: tuple[State, State], dependents: tuple[bool, ...], finalizers: tuple[str, ...], step: object
) -> None:
    object = {"metadata": {**OBJECT["metadata"], "finalizers": list(finalizers)}}
    assert decide(object, (ONE, TWO), dict(zip("12", states, strict=True)), dependents) == step


def test_what_an_owner_is() -> None:
    going = {"metadata": {"uid": "1", "deletionTimestamp": "now", "finalizers": ["foregroundDeletion"]}}
    assert state_of(None, "1") is State.ABSENT
    assert state_of({"metadata": {"uid": "2"}}, "1") is State.ABSENT
    assert state_of({"metadata": {"uid": "1"}}, "1") is State.SOLID
    assert state_of(going, "1") is State.WAITING


def test_the_graph_forgets_what_goes() -> None:
    graph, leaf = Graph(), Place("v1/configmaps", "default", "leaf", "9")
    assert graph.put(leaf, (ONE, TWO), is_going=False) == ["1", "2"]
    assert graph.put(leaf, (ONE,), is_going=True) == []
    assert graph.dependents("1") == [leaf] == graph.blocking("1")
    assert graph.dependents("2") == [] and graph.is_going(leaf)
    graph.remove(leaf)
    assert (len(graph), graph.dependents("1"), graph.of_resource("v1/configmaps")) == (0, [], [])
