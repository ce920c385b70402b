"""Ranges of ids for pods' users: never two pods with one id, the lowest first, found again, and given back."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.engine.pods import Pods
from boxship.engine.pods_claims import Claims
from boxship.engine.pods_users import PREFIX, PodUsers, Pool, lowest_free, parse_pool, subordinate_pool
from boxship.errors import Exhausted, Internal, Invalid
from boxship.spec.users import COUNT, UserMap
from boxship.store import Put
from boxship.store.memory import MemoryStore

SMALL = Pool(10 * COUNT, 4)


def test_ranges_by_default_are_nobodys() -> None:
    """Above what systemd gives to containers, below its last ranges; each fits."""
    pool = Pool()
    assert (pool.first, pool.first + pool.ranges * COUNT) == (0x70000000, 0x7FFE0000)


@given(st.sets(st.integers(0, 40), max_size=12), st.integers(1, 30), st.integers(1, 8))
def test_the_lowest_range_that_nobody_touches(taken: set[int], first: int, ranges: int) -> None:
    pool = Pool(first * COUNT, ranges)
    free = [number for number in range(first, first + ranges) if number not in taken]
    held = [number * COUNT for number in taken]
    if free:
        assert lowest_free(pool, held) == free[0] * COUNT
    else:
        with pytest.raises(Exhausted, match=f"all {ranges} ranges of 65536 ids are taken"):
            lowest_free(pool, held)


@given(st.integers(10 * COUNT, 11 * COUNT - 1))
def test_a_range_of_another_pool_that_lies_across_counts(first: int) -> None:
    """After the option was changed, pods of before keep theirs."""
    assert lowest_free(SMALL, [first]) == 11 * COUNT


@given(st.lists(st.tuples(st.sampled_from(["take", "free", "restart"]), st.sampled_from("abcdef")), max_size=30))
def test_no_two_pods_have_one_and_nothing_is_forgotten(steps: list[tuple[str, str]]) -> None:
    async def run() -> None:
        store = MemoryStore()
        users = PodUsers(store, SMALL)
        held: dict[str, int] = {}
        for step, uid in steps:
            if step == "restart":
                users = PodUsers(store, SMALL)
                await users.load()
            elif step == "free":
                await users.free(uid)
                held.pop(uid, None)
            elif uid not in held and len(held) == SMALL.ranges:
                with pytest.raises(Exhausted):
                    await users.take(uid)
            else:
                given = await users.take(uid)
                assert given.first == held.setdefault(uid, given.first) and given.count == COUNT
                assert SMALL.first <= given.first < SMALL.first + SMALL.ranges * COUNT and given.first % COUNT == 0
            assert len(set(held.values())) == len(held)
        stored = {entry.key.removeprefix(PREFIX) for entry in (await store.list(PREFIX)).entries}
        assert stored == set(held)

    asyncio.run(run())


async def test_many_at_once_get_different_ones() -> None:
    users = PodUsers(MemoryStore(), Pool())
    given = await asyncio.gather(*(users.take(f"p{number % 50}") for number in range(100)))
    assert len({each.first for each in given}) == 50


async def test_what_a_crash_left_without_a_pod_is_taken_back() -> None:
    store = MemoryStore()
    users = PodUsers(store, SMALL)
    first, second = await users.take("a"), await users.take("b")
    await users.keep_only(["b"])
    assert await users.take("b") == second and await users.take("c") == first
    await store.commit(Put(PREFIX + "x", b"{"))
    with pytest.raises(Internal, match="cannot read pod-users/x"):
        await PodUsers(store, SMALL).load()


async def test_a_range_that_could_not_be_noted_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    users = PodUsers(store, SMALL)

    async def full(*changes: object) -> None:
        raise Exhausted("no space left")

    with monkeypatch.context() as patch, pytest.raises(Exhausted, match="no space"):
        patch.setattr(store, "commit", full)
        await users.take("a")
    assert (await users.take("b")).first == SMALL.first


@pytest.mark.parametrize("text", ["", "1", "x:65536", "65536:x", "0:65536", "65536:0", "65537:65536", "65536:65537"])
def test_a_wrong_range_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="cannot use ids"):
        parse_pool(text)


def test_ranges_end_below_the_highest_id() -> None:
    assert parse_pool("65536:4294901760") == Pool(COUNT, 65535)
    with pytest.raises(Invalid):
        parse_pool("131072:4294901760")


def test_the_subordinate_ids_of_a_user() -> None:
    line = "kubelet:65536:7208960\n"
    assert subordinate_pool("kubelet", f"me:100000:65536\n{line}", line) == Pool(65536, 110)
    assert subordinate_pool("kubelet", "me:100000:65536\n", "") is None
    for users, groups in ((line, ""), (line * 2, line * 2), (line, "kubelet:131072:7208960\n")):
        with pytest.raises(Invalid, match="the same single range"):
            subordinate_pool("kubelet", users, groups)
    with pytest.raises(Invalid, match="multiples of 65536"):
        subordinate_pool("kubelet", "kubelet:100000:65536\n", "kubelet:100000:65536\n")


@given(st.integers(-1, 2 * COUNT), st.integers(-1, 2 * COUNT))
def test_no_process_is_of_another_pods_users(uid: int, gid: int) -> None:
    wrong = [id for id in (uid, gid) if id not in range(COUNT)]
    UserMap().check((uid, gid))
    if not wrong:
        UserMap(first=COUNT, count=COUNT).check((uid, gid))
        return
    with pytest.raises(Invalid, match=f"cannot run as {', '.join(map(str, wrong))}: a pod with users of its own has"):
        UserMap(first=COUNT, count=COUNT).check((uid, gid))


async def test_two_instances_take_different_ones(tmp_path: Path) -> None:
    stores, claims = (MemoryStore(), MemoryStore()), [Claims(tmp_path / "lock") for _ in range(2)]
    one, other = (PodUsers(store, SMALL, own) for store, own in zip(stores, claims, strict=True))
    found = [(await users.take(uid)).first for users, uid in ((one, "a"), (other, "a"), (one, "b"))]
    assert len(set(found)) == 3
    await one.free("a")
    assert (await other.take("b")).first == found[0], "what is given back may be taken by all"
    claims[1].close()
    again = PodUsers(stores[1], SMALL, Claims(tmp_path / "lock"))
    await again.load()
    assert (await one.take("c")).first not in {found[1], found[0], found[2]}, "it holds what it had"


async def test_a_range_that_was_taken_while_its_instance_was_away_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    claims = Claims(tmp_path / "lock")
    await PodUsers(store, SMALL, claims).take("mine")
    claims.close()
    await PodUsers(MemoryStore(), SMALL, Claims(tmp_path / "lock")).take("theirs")
    await PodUsers(store, SMALL, held := Claims(tmp_path / "lock")).load()
    assert "of pod mine are another instance's too" in caplog.text
    held.close()


async def test_without_a_place_for_claims_pods_have_users_all_the_same(tmp_path: Path) -> None:
    assert await PodUsers(MemoryStore(), SMALL, Claims(tmp_path / "nowhere/lock")).take("a")


def test_no_users_are_none() -> None:
    assert not UserMap() and UserMap(first=COUNT, count=COUNT)
    assert msgspec.json.decode(msgspec.json.encode(UserMap()), type=UserMap) == UserMap()


async def test_whose_container_could_not_go_keeps_its_ids_after_a_restart() -> None:
    """Its processes may live on; nobody else may get their ids."""

    class Left(list[Any]):
        def find(self, uid: str) -> None:
            return None

    class Containers:
        async def remove(self, identifier: str, **words: bool) -> None:
            raise Internal("the kernel holds it")

    users = PodUsers(MemoryStore(), SMALL)
    held = await users.take("stuck")
    await users.take("gone")
    box: Any = SimpleNamespace(id="box", spec=SimpleNamespace(network_mode="pod:stuck"))
    nothing: Any = None
    pods = Pods(Left(), [box], Containers(), nothing, nothing, nothing, nothing, users)  # type: ignore[arg-type]
    await pods.recover({})
    assert users.find("stuck") == held and not users.find("gone")
