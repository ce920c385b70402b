"""What controllers stand on: keys in a queue, caches that follow whatever happens, work that is tried again."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import uvloop

from boxship.cluster.access import Event, Listing
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, expired, unavailable
from boxship.cluster.reconcile import following
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again, Runner


def thing(name: str, version: int, **more: object) -> Object:
    return {"metadata": {"name": name, "namespace": "n", "resourceVersion": str(version), **more}}


class Source:
    """Plays lists and watches in their order: a list of objects, then events, errors, None for the end of a watch."""

    def __init__(self, *acts: object) -> None:
        self.acts = list(acts)
        self.asked: list[str] = []
        self.done = asyncio.Event()

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        raise NotImplementedError

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        self.asked.append("list")
        act = self.acts.pop(0)
        if isinstance(act, Exception):
            raise act
        assert isinstance(act, list)
        return Listing(tuple(act), "10")

    async def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        self.asked.append(f"watch {version}")
        while self.acts:
            act = self.acts.pop(0)
            if act is None:
                return
            if isinstance(act, Exception):
                raise act
            assert isinstance(act, Event)
            yield act
        self.done.set()
        await asyncio.Event().wait()


async def played(source: Source) -> tuple[Cache, list[tuple[Key, bool, bool]]]:
    cache, told = Cache(source, "v1/things"), []
    cache.subscribe(lambda key, old, new: told.append((key, old is not None, new is not None)))
    task = asyncio.create_task(cache.run())
    await asyncio.wait_for(source.done.wait(), 5)
    task.cancel()
    return cache, told


async def test_a_cache_knows_what_was_listed_and_watched() -> None:
    events = [Event("ADDED", thing("b", 11)), Event("MODIFIED", thing("a", 12)), Event("DELETED", thing("b", 13))]
    cache, told = await played(Source([thing("a", 1)], *events, Event("BOOKMARK", thing("x", 20))))
    assert cache.is_ready and cache.keys() == [("n", "a")] and len(cache) == 1
    assert cache.get(("n", "a"))["metadata"]["resourceVersion"] == "12"
    assert told == [
        (("n", "a"), False, True),
        (("n", "b"), False, True),
        (("n", "a"), True, True),
        (("n", "b"), True, False),
    ]


async def test_after_a_gap_it_lists_again_and_tells_the_difference() -> None:
    source = Source([thing("a", 1), thing("b", 2), thing("c", 3)], expired("old"), [thing("b", 2), thing("c", 9)])
    cache, told = await played(source)
    assert source.asked == ["list", "watch 10", "list", "watch 10"]
    assert told[3:] == [(("n", "c"), True, True), (("n", "a"), True, False)]
    assert {key for key, _ in cache.items()} == {("n", "b"), ("n", "c")}


async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    source = Source([], Event("ADDED", thing("a", 15)), Event("BOOKMARK", thing("", 18)), None)
    await played(source)
    assert source.asked == ["list", "watch 10", "watch 18"]


async def test_watches_that_end_at_once_come_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        if seconds:  # else it is others' turn
            pauses.append(seconds)

    source = Source([thing("a", 1)], None, None, None)
    task = asyncio.create_task(Cache(source, "v1/things").run())
    with monkeypatch.context() as patched:
        patched.setattr(following.asyncio, "sleep", pause)
        await source.done.wait()
    task.cancel()
    assert pauses == [following.FIRST_PAUSE, 2 * following.FIRST_PAUSE, 4 * following.FIRST_PAUSE]


async def test_lists_that_are_too_old_before_they_end_come_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        if seconds:  # else it is others' turn
            pauses.append(seconds)

    source = Source(expired("old"), expired("old"), [], expired("old"), [])
    task = asyncio.create_task(Cache(source, "v1/things").run())
    with monkeypatch.context() as patched:
        patched.setattr(following.asyncio, "sleep", pause)
        patched.setattr(following.random, "uniform", lambda least, most: 1.0)
        await source.done.wait()
    task.cancel()
    assert source.asked == ["list", "list", "list", "watch 10", "list", "watch 10"]
    assert pauses == [following.FIRST_PAUSE, 2 * following.FIRST_PAUSE]


async def test_lists_that_are_too_old_when_they_end_come_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        if seconds:  # else it is others' turn
            pauses.append(seconds)

    old, told = expired("old"), Event("ADDED", thing("a", 15))
    source = Source([], old, [], old, [], old, [], told, old, [], old, [])
    task = asyncio.create_task(Cache(source, "v1/things").run())
    with monkeypatch.context() as patched:
        patched.setattr(following.asyncio, "sleep", pause)
        patched.setattr(following.random, "uniform", lambda least, most: 1.0)
        await source.done.wait()
    task.cancel()
    assert source.asked.count("list") == 6
    # The first gap, and the one after news, are no reason to wait.
    assert pauses == [following.FIRST_PAUSE, 2 * following.FIRST_PAUSE, following.FIRST_PAUSE]


async def test_what_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FIRST_PAUSE", 0.001)
    source = Source(unavailable("no"), unavailable("no"), [], unavailable("gone"), [thing("a", 1)])
    cache, _ = await played(source)
    assert source.asked == ["list", "list", "list", "watch 10", "list", "watch 10"] and len(cache) == 1


async def test_late_subscribers_hear_of_what_is_there() -> None:
    cache, _ = await played(Source([thing("a", 1)]))
    told: list[Key] = []
    cache.subscribe(lambda key, old, new: told.append(key))
    assert told == [("n", "a")]


async def test_a_key_waits_once_and_is_never_worked_on_twice_at_a_time() -> None:
    queue: Queue[str] = Queue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert await queue.take() == "a"
    queue.add("a")
    queue.add("a")
    assert await queue.take() == "b"
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done("a")
    assert await waiting == "a"
    queue.done("a")
    queue.done("b")
    assert queue.is_idle and len(queue) == 0


async def test_later_keys_come_at_their_time_the_earliest_counts() -> None:
    queue: Queue[str] = Queue()
    queue.add_later("slow", 0.03)
    queue.add_later("slow", 60)
    queue.add_later("fast", 60)
    queue.add_later("fast", 0.01)
    begin = asyncio.get_running_loop().time()
    assert [await queue.take(), await queue.take()] == ["fast", "slow"]
    assert 0.02 < asyncio.get_running_loop().time() - begin < 5
    for key in ("fast", "slow"):
        queue.done(key)
    queue.add("x")
    queue.add_later("x", 0)
    assert await queue.take() == "x"
    assert queue.is_idle is False


class Worker:
    """A controller that does as it is told: each answer is an error, Again, or None."""

    name = "worker"
    workers = 3
    caches: Sequence[Cache] = ()

    def __init__(self, *answers: object) -> None:
        self.queue: Queue[str] = Queue()
        self.answers = list(answers)
        self.seen: list[str] = []
        self.active: set[str] = set()
        self.done = asyncio.Event()

    async def reconcile(self, key: str) -> Again | None:
        assert key not in self.active
        self.active.add(key)
        await asyncio.sleep(0)
        self.active.discard(key)
        self.seen.append(key)
        answer = self.answers.pop(0) if self.answers else None
        if not self.answers:
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Again) else None


async def test_work_is_tried_again_until_it_is_done() -> None:
    worker = Worker(Failure(409, "Conflict", "no"), RuntimeError("oops"), unavailable("no", 0), Again(0.001), None)
    runner = Runner([worker])
    task = asyncio.create_task(runner.run())
    worker.queue.add("a")
    await asyncio.wait_for(worker.done.wait(), 5)
    for _ in range(5):
        await asyncio.sleep(0)
    assert worker.seen == ["a"] * 5 and runner.is_idle
    task.cancel()


async def test_many_keys_share_the_workers() -> None:
    worker = Worker(*[None] * 60)
    task = asyncio.create_task(Runner([worker]).run())
    for _ in range(3):
        for index in range(20):
            worker.queue.add(str(index))
        await asyncio.sleep(0)
    while len(set(worker.seen)) < 20 or not worker.queue.is_idle:
        await asyncio.sleep(0)
    task.cancel()


def test_what_is_due_almost_at_once_on_the_daemons_event_loop() -> None:
    """There, a timer of less than half a millisecond is no timer that knows its time."""

    async def scenario() -> list[str]:
        queue: Queue[str] = Queue()
        for key, seconds in (("a", 0.0001), ("b", 0.00005), ("c", 0.01), ("d", 0.0002)):
            queue.add_later(key, seconds)
        taken = [await asyncio.wait_for(queue.take(), 5) for _ in range(4)]
        assert taken[-1] == "c"
        return sorted(taken)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scenario()) == ["a", "b", "c", "d"]
