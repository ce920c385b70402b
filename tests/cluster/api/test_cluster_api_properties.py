"""Whatever is written in whatever order: what a watch tells leads to the final list, lists by pieces are snapshots."""

import asyncio
import random
from typing import Any

import msgspec
from cluster_api_kit import Asker, config_map, running
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.api import happenings
from boxship.cluster.api.selection import Facts
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds import rules_of
from boxship.store import Entry

PATH = "v1/configmaps"
Step = tuple[str, str, str]  # what, name, label
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "watch", "pause"]), st.sampled_from("abcd"), st.sampled_from("xy")
    ),
    max_size=40,
)


async def write(asker: Asker, step: Step) -> None:
    what, name, label = step
    try:
        if what == "delete":
            await asker.delete(PATH, "default", name)
        else:
            await asker.apply(PATH, "default", config_map(name, labels={"l": label}))
    except Failure as failure:
        assert failure.code == 404


class Follower:
    """Keeps what a client's cache would have."""

    def __init__(self, asker: Asker, selector: str, version: str, known: dict[str, str]) -> None:
        self.asker = asker
        self.selector = selector
        self.version = version
        self.known = known
        self.task = asyncio.create_task(self.follow())

    async def follow(self) -> None:
        while True:
            watch = await self.asker.watch(PATH, label_selector=self.selector, version=self.version)
            while True:
                try:
                    event = await watch.next(60)
                except StopAsyncIteration:
                    break
                self.hear(event)

    def hear(self, event: Any) -> None:
        assert event["type"] != "ERROR", event
        metadata = event["object"]["metadata"]
        name, version = metadata["name"], metadata["resourceVersion"]
        assert int(version) > int(self.version)
        self.version = version
        if event["type"] == "DELETED":
            assert name in self.known
            del self.known[name]
        else:
            assert (name in self.known) is (event["type"] == "MODIFIED")
            self.known[name] = version


async def contents(asker: Asker, selector: str) -> tuple[str, dict[str, str]]:
    listed = await asker.list(PATH, label_selector=selector)
    found = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}
    return listed["metadata"]["resourceVersion"], found


async def follow_all(todo: list[Step], window: int) -> None:
    async with running() as asker:
        followers = []
        for step in todo:
            if step[0] == "watch":
                selector = f"l={step[2]}" if step[1] in "ab" else ""
                version, known = await contents(asker, selector)
                if step[1] in "ac" and version != "0":
                    await write(asker, ("put", step[1], "x"))
                if version != "0":
                    followers.append(Follower(asker, selector, version, known))
            elif step[0] == "pause":
                await asyncio.sleep(0)
            else:
                await write(asker, step)
        for follower in followers:
            _, expected = await contents(asker, follower.selector)
            deadline = asyncio.get_running_loop().time() + 5
            while follower.known != expected and not follower.task.done():
                assert asyncio.get_running_loop().time() < deadline, (follower.known, expected)
                await asyncio.sleep(0.001)
            if follower.task.done():
                follower.task.result()
            follower.task.cancel()
        await asyncio.gather(*(follower.task for follower in followers), return_exceptions=True)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([4, 1024]))
def test_watches_lead_to_the_final_list(todo: list[Step], window: int) -> None:
    before, happenings.WINDOW_EVENTS = happenings.WINDOW_EVENTS, window
    try:
        asyncio.run(follow_all(todo, window))
    finally:
        happenings.WINDOW_EVENTS = before


async def page_all(todo: list[Step], limit: int, selector: str) -> None:
    async with running() as asker:
        half = len(todo) // 2
        for step in todo[:half]:
            await write(asker, step)
        _, expected = await contents(asker, selector)
        rest, found, token = iter(todo[half:]), {}, ""
        while True:
            piece = await asker.list(PATH, label_selector=selector, limit=limit, token=token)
            for item in piece["items"]:
                assert item["metadata"]["name"] not in found
                found[item["metadata"]["name"]] = item["metadata"]["resourceVersion"]
            token = piece["metadata"].get("continue", "")
            if not token:
                break
            for step in (next(rest, None), next(rest, None)):
                if step is not None:
                    await write(asker, step)
        assert found == expected


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(1, 3), st.sampled_from(["", "l=x"]))
def test_pieces_are_the_snapshot_of_the_first(todo: list[Step], limit: int, selector: str) -> None:
    asyncio.run(page_all([step for step in todo if step[0] in ("put", "delete")], limit, selector))


async def test_concurrent_writers_count_to_the_same_number() -> None:
    async with running() as asker:
        await asker.create(PATH, "default", config_map("n", {"count": "0"}))

        async def count() -> None:
            for _ in range(10):
                while True:
                    now = await asker.get(PATH, "default", "n")
                    now["data"]["count"] = str(int(now["data"]["count"]) + 1)
                    await asyncio.sleep(0)
                    try:
                        await asker.update(PATH, "default", now)
                        break
                    except Failure as failure:
                        assert failure.code == 409

        await asyncio.gather(*(count() for _ in range(8)))
        assert (await asker.get(PATH, "default", "n"))["data"]["count"] == "80"


def test_a_pods_fields_are_found_without_the_rest() -> None:
    generator = random.Random(7)
    rules = rules_of("", "Pod")
    choices: dict[str, list[Any]] = {
        "nodeName": ["", "n"],
        "restartPolicy": ["Always"],
        "schedulerName": ["s"],
        "serviceAccountName": ["sa"],
        "hostNetwork": [True, False],
        "containers": [[]],
    }
    states: dict[str, list[Any]] = {
        "phase": ["Running"],
        "podIP": ["10.0.0.1"],
        "podIPs": [[], [{"ip": "10.0.0.2"}]],
        "nominatedNodeName": ["m"],
        "conditions": [[]],
    }

    class Definition:
        resource = type("R", (), {"group": "", "storage": "pods"})
        rules = rules_of("", "Pod")

    facts = Facts()
    for number in range(200):
        pod: dict[str, Any] = {"metadata": {"name": "a"}}
        for part, fields in (("spec", choices), ("status", states)):
            if generator.random() < 0.9:
                names = generator.sample(sorted(fields), generator.randrange(len(fields) + 1))
                pod[part] = {name: generator.choice(fields[name]) for name in names}
        entry = Entry("/registry/pods/d/a", msgspec.json.encode(pod), 1, number + 1)
        assert facts.fields(Definition, entry) == rules.fields(pod)  # type: ignore[arg-type]
