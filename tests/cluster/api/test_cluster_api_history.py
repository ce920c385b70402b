"""Looking back at changes and taking them back."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cluster_api_kit import ADMIN, STRATEGIC, Asker, config_map, running
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.api.differences import operations
from boxship.cluster.api.history import History, Scope, since
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.api.undoing import Undoing
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.patch import json_patch
from boxship.store.memory import MemoryStore

PATH = "v1/configmaps"


class Bench:
    """An Api with its history."""

    def __init__(self, asker: Asker, store: MemoryStore) -> None:
        self.asker = asker
        self.history = History(Storage(store, Unsealed()), asker.api.catalog)
        self.undoing = Undoing(self.history, asker.api.perform)

    def scope(self, path: str = "", namespace: str = "default", name: str = "") -> Scope:
        return Scope(self.asker.resource(path) if path else None, namespace, name)

    async def undo(self, scope: Scope, seconds: float, **more: Any) -> list[tuple[str, str, str]]:
        done = await self.undoing.undo(scope, since(self.asker.clock, seconds), ADMIN, "undo", **more)
        return [(each.action, each.name, each.error) for each in done]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clocks: list[Any] = []
    store = MemoryStore(clock=lambda: clocks[0].now().timestamp() if clocks else 0.0)
    async with running(store) as asker:
        clocks.append(asker.clock)
        yield Bench(asker, store)


async def test_changes_with_their_times_and_authors(bench: Bench) -> None:
    asker = bench.asker
    await asker.create(PATH, "default", config_map("a", {"k": "1"}))
    asker.clock.forward(100)
    await asker.patch(PATH, "default", "a", {"data": {"k": "2", "n": "x"}}, agent="kubectl/1")
    asker.clock.forward(100)
    await asker.delete(PATH, "default", "a")
    asker.clock.forward(10)
    steps = await bench.history.steps(bench.scope(PATH, name="a"), since(asker.clock, 1000))
    assert [(each.action, each.by, each.time[11:19]) for each in steps] == [
        ("created", ("test",), "12:00:00"),
        ("changed", ("kubectl",), "12:01:40"),
        ("deleted", (), "12:03:20"),
    ]
    assert steps[1].operations == (
        {"op": "replace", "path": "/data/k", "value": "2"},
        {"op": "add", "path": "/data/n", "value": "x"},
    )
    recent = await bench.history.steps(bench.scope(PATH, name="a"), since(asker.clock, 50))
    assert [each.action for each in recent] == ["deleted"]


async def test_an_object_is_brought_back(bench: Bench) -> None:
    asker = bench.asker
    first = await asker.create(PATH, "default", config_map("a", {"k": "1"}, labels={"l": "1"}))
    asker.clock.forward(100)
    await asker.patch(PATH, "default", "a", {"data": {"k": "2"}, "metadata": {"labels": {"l": None}}})
    tried = await bench.undo(bench.scope(PATH, name="a"), 50, dry_run=True)
    assert tried == [("update", "a", "")]
    assert (await asker.get(PATH, "default", "a"))["data"] == {"k": "2"}
    assert await bench.undo(bench.scope(PATH, name="a"), 50) == [("update", "a", "")]
    now = await asker.get(PATH, "default", "a")
    assert now["data"] == {"k": "1"} and now["metadata"]["labels"] == {"l": "1"}
    assert now["metadata"]["uid"] == first["metadata"]["uid"]
    assert await bench.undo(bench.scope(PATH, name="a"), 50) == []
    await asker.delete(PATH, "default", "a")
    assert await bench.undo(bench.scope(PATH, name="a"), 50) == [("create", "a", "")]
    again = await asker.get(PATH, "default", "a")
    assert again["data"] == {"k": "1"} and again["metadata"]["uid"] != first["metadata"]["uid"]


async def test_a_namespace_is_brought_back(bench: Bench) -> None:
    asker = bench.asker
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    await asker.create("apps/v1/deployments", "default", {"metadata": {"name": "d"}, "spec": spec})
    await asker.create("batch/v1/jobs", "default", job("j"))
    await asker.create(PATH, "default", config_map("gone"))
    await asker.create(PATH, "other", config_map("elsewhere"))
    asker.clock.forward(100)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}}
    await asker.patch("apps/v1/deployments", "default", "d", image, STRATEGIC)
    await asker.delete("batch/v1/jobs", "default", "j", propagation="Background")
    await asker.delete(PATH, "default", "gone")
    await asker.create(PATH, "default", config_map("new"))
    await asker.patch(PATH, "other", "elsewhere", {"data": {"k": "v"}})
    owned = config_map("owned")
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
    owned["metadata"]["ownerReferences"] = [owner]
    await asker.create(PATH, "default", owned)
    done = await bench.undo(bench.scope(), 50)
    assert sorted(done) == [
        ("create", "gone", ""),
        ("create", "j", ""),
        ("delete", "new", ""),
        ("leave", "owned", "a controller looks after it"),
        ("update", "d", ""),
    ]
    deployment = await asker.get("apps/v1/deployments", "default", "d")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "i:1"
    assert {item["metadata"]["name"] for item in (await asker.list(PATH, "default"))["items"]} == {"gone", "owned"}
    assert (await asker.get(PATH, "other", "elsewhere"))["data"] == {"k": "v"}


def job(name: str) -> Object:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}}}


async def test_what_is_not_kept_and_what_makes_no_sense(bench: Bench) -> None:
    asker = bench.asker
    await asker.create(PATH, "default", config_map("a"))
    asker.clock.forward(100)
    await asker.patch(PATH, "default", "a", {"data": {"k": "1"}})
    await asker.patch(PATH, "default", "a", {"data": {"k": "2"}})
    await asker.store.compact(3)
    with pytest.raises(Failure, match="is not kept any more") as caught:
        await bench.history.steps(bench.scope(PATH, name="a"), since(asker.clock, 1000))
    assert caught.value.code == 410
    with pytest.raises(Failure, match="say of which object or namespace"):
        await bench.history.steps(Scope(), since(asker.clock, 10))


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "a/b", "~"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b/c", "~d"]), inner, max_size=3),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from(["x", "y/z"]), values, max_size=2)


@given(documents, documents)
def test_a_difference_leads_from_one_to_the_other(before: Object, after: Object) -> None:
    assert json_patch(before, operations(before, after)) == after
