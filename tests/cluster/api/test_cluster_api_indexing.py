"""What is found by an index, and what a watch is shown because of where it is, is what looking at everything gives,
whatever is written meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest
from cluster_api_kit import Asker, running
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.api import indexing
from boxship.cluster.api.happenings import Happening, judge
from boxship.cluster.api.selection import Facts, Selection
from boxship.store import Change, Delete, Entry, Operation, Put, Snapshot
from boxship.store.memory import MemoryStore

PODS = "/registry/pods/"
NODES = ("", "n1", "n2", "n3")
SELECTORS = (
    "spec.nodeName=n1",
    "spec.nodeName=n2",
    "spec.nodeName=",
    "spec.nodeName!=n1",
    "spec.nodeName=n3,status.phase=Running",
    "metadata.name=a",
    "metadata.name=a,spec.nodeName=n1",
    "spec.nodeName=n1,spec.nodeName=n2",
    "",
)


class Waiting(MemoryStore):
    """Whoever reads it waits a little first, so that others write meanwhile."""

    def __init__(self, chance: random.Random, history_limit: int | None) -> None:
        super().__init__(history_limit)
        self.chance = chance
        self.lists = 0

    async def _wait(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)

    async def revision(self) -> int:
        await self._wait()
        return await super().revision()

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, at: int = 0, fresh: bool = True) -> Snapshot:
        self.lists += 1
        await self._wait()
        found = await super().list(prefix, after=after, limit=limit, at=at, fresh=fresh)
        await self._wait()
        return found

    async def pick(self, keys: Iterable[str], *, fresh: bool = True) -> Snapshot:
        await self._wait()
        found = await super().pick(keys, fresh=fresh)
        await self._wait()
        return found

    async def past(self, prefix: str, *, after: int, until: int) -> AsyncIterator[Change]:
        async for change in super().past(prefix, after=after, until=until):
            await self._wait()
            yield change


def pod(namespace: str, name: str, node: str, phase: str) -> Put:
    value = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": f"u-{name}", "labels": {"l": phase[:1]}},
        "spec": {"containers": [], **({"nodeName": node} if node else {})},
        "status": {"phase": phase},
    }
    return Put(f"{PODS}{namespace}/{name}", msgspec.json.encode(value))


def some(chance: random.Random) -> list[Operation]:
    """One commit of one to three pods."""
    made: dict[str, Operation] = {}
    for _ in range(chance.randrange(1, 4)):
        namespace, name = chance.choice("xy"), chance.choice("abcde")
        key = f"{PODS}{namespace}/{name}"
        if chance.random() < 0.3:
            made[key] = Delete(key)
        else:
            made[key] = pod(namespace, name, chance.choice(NODES), chance.choice(("Pending", "Running")))
    return list(made.values())


def selection_of(asker: Asker, fields: str, namespace: str = "", labels: str = "") -> Selection:
    request = asker.request("list", "v1/pods", namespace, field_selector=fields, label_selector=labels)
    return Selection(asker.api.catalog.definition(request.resource), request.options, Facts())


async def plain(asker: Asker, fields: str, namespace: str, revision: int) -> list[tuple[str, int]]:
    prefix = f"{PODS}{namespace}/" if namespace else PODS
    found = await MemoryStore.list(asker.store, prefix, at=revision)  # type: ignore[arg-type]
    chosen = selection_of(asker, fields)
    return [(entry.key, entry.modified) for entry in found.entries if chosen.matches(entry)]


def keys_of(listed: Any) -> list[tuple[str, int]]:
    return [
        (f"{PODS}{each['metadata']['namespace']}/{each['metadata']['name']}", int(each["metadata"]["resourceVersion"]))
        for each in listed["items"]
    ]


async def lists(asker: Asker, chance: random.Random, count: int) -> None:
    for _ in range(count):
        fields, namespace = chance.choice(SELECTORS), chance.choice(("", "x"))
        version = chance.choice(("", "", "0"))
        before = await MemoryStore.revision(asker.store)  # type: ignore[arg-type]
        listed = await asker.list("v1/pods", namespace, field_selector=fields, version=version)
        revision = int(listed["metadata"]["resourceVersion"])
        assert version == "0" or revision >= before
        assert keys_of(listed) == await plain(asker, fields, namespace, revision)


class Teller:
    """One watch, and what it should have told."""

    def __init__(self, asker: Asker, fields: str, namespace: str, labels: str) -> None:
        self.scope = f"{PODS}{namespace}/" if namespace else PODS
        self.selection = selection_of(asker, fields, namespace, labels)
        self.words = {"field_selector": fields, "label_selector": labels}
        self.namespace = namespace
        self.told: list[tuple[str, str, int]] = []

    async def follow(self, asker: Asker) -> None:
        watch = await asker.watch("v1/pods", self.namespace, version="1", **self.words)
        while True:
            event = await watch.next(60)
            metadata = event["object"]["metadata"]
            key = f"{PODS}{metadata['namespace']}/{metadata['name']}"
            self.told.append((event["type"], key, int(metadata["resourceVersion"])))

    async def wanted(self, store: MemoryStore) -> list[tuple[str, str, int]]:
        found = []
        async for change in MemoryStore.past(store, "", after=1, until=await MemoryStore.revision(store)):
            event = judge(self.selection, self.scope, Happening(change))
            if event is not None:
                found.append((event.type, change.key, change.revision))
        return found


async def play(seed: int, *, history_limit: int | None, watched: bool) -> None:
    chance = random.Random(seed)
    store = Waiting(chance, history_limit)
    async with running(store) as asker:
        await store.commit(pod("x", "a", "n1", "Running"))
        tellers = [
            Teller(asker, chance.choice(SELECTORS), chance.choice(("", "x")), chance.choice(("", "l=R")))
            for _ in range(6 if watched else 0)
        ]
        following = [asyncio.create_task(each.follow(asker)) for each in tellers]
        listing = [asyncio.create_task(lists(asker, chance, 6)) for _ in range(3 if not watched else 0)]
        for _ in range(40):
            await store.commit(*some(chance))
            if chance.random() < 0.7:
                await asyncio.sleep(0)
            if not watched and chance.random() < 0.03:
                asker.api.end_watches()  # all that was known of the store is doubtful
        await asyncio.gather(*listing)
        for each in tellers:
            wanted = await each.wanted(store)
            async with asyncio.timeout(10):
                while len(each.told) < len(wanted):
                    await asyncio.sleep(0)
            assert each.told == wanted
        for task in following:
            assert not task.done()
            task.cancel()


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_lists_by_an_index_are_those_of_a_plain_filter(seed: int) -> None:
    asyncio.run(play(seed, history_limit=None, watched=False))


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=40, deadline=None)
def test_watches_are_shown_all_that_means_something_to_them(seed: int) -> None:
    asyncio.run(play(seed, history_limit=None, watched=True))


async def test_a_list_of_a_nodes_pods_reads_no_others() -> None:
    store = Waiting(random.Random(1), None)
    async with running(store) as asker:
        await store.commit(*(pod("x", f"p{number}", f"n{number % 50}", "Running") for number in range(500)))
        assert len((await asker.list("v1/pods", field_selector="spec.nodeName=n7"))["items"]) == 10
        lists = store.lists
        await store.commit(pod("y", "new", "n7", "Running"), Delete(f"{PODS}x/p7"))
        listed = await asker.list("v1/pods", field_selector="spec.nodeName=n7", limit=4)
        assert [each["metadata"]["name"] for each in listed["items"]] == ["p107", "p157", "p207", "p257"]
        rest = await asker.list(
            "v1/pods", field_selector="spec.nodeName=n7", limit=10, token=listed["metadata"]["continue"]
        )
        assert [each["metadata"]["name"] for each in rest["items"]] == ["p307", "p357", "p407", "p457", "p57", "new"]
        assert store.lists == lists + 1  # the second piece is of an older revision


async def test_the_events_of_an_object_are_found_under_both_names() -> None:
    async with running() as asker:
        for number in range(6):
            about = {"kind": "Pod", "name": f"p{number % 2}", "namespace": "default", "uid": f"u{number % 2}"}
            await asker.create(
                "v1/events",
                "default",
                {
                    "metadata": {"name": f"e{number}"},
                    "involvedObject": about,
                    "type": "Normal",
                    "reason": "R",
                    "reportingComponent": "test",
                },
            )
        for path, field in (("v1/events", "involvedObject"), ("events.k8s.io/v1/events", "regarding")):
            for part in ("name=p1", "uid=u1"):
                listed = await asker.list(path, "default", field_selector=f"{field}.{part}")
                assert [each["metadata"]["name"] for each in listed["items"]] == ["e1", "e3", "e5"]


def test_every_field_of_an_index_is_one_that_clients_may_select_by() -> None:
    assert indexing.place_in("pods", {"spec.nodeName": "a"}) == (0, "a")
    assert indexing.place_in("pods", {"status.phase": "a"}) is None
    assert indexing.place_in("nodes", {"spec.nodeName": "a"}) is None
    assert indexing.place_in("events", {"regarding.name": "a", "regarding.uid": "b"}) == (0, "b")


@pytest.mark.parametrize("value", [b"[]", b'{"spec":{"nodeName":7}}', b"{}", b'{"spec":null}'])
def test_what_is_no_pod_has_no_place(value: bytes) -> None:
    assert set(indexing.values_of("pods", Entry("k", value, 1, 1))) <= {""}
