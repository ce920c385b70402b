"""Which ids of the machine stand for the users of a pod: each pod that asks gets a range that no other has.

A range is recorded before anything is made with it, and goes with the pod; so it is never given twice, whatever a crash
leaves. Which one a pod gets is decided by the ranges that are taken alone.
"""

import asyncio
from collections.abc import Collection

import msgspec

from boxship.errors import Exhausted, Internal, Invalid
from boxship.spec.users import COUNT, UserMap
from boxship.store import Delete, Put, Store

PREFIX = "pod-users/"
HIGHEST = 1 << 32  # ids are below
DEFAULT_FIRST = 0x7000_0000  # above what distributions, systemd and /etc/subuid give to anybody
DEFAULT_ENOUGH = 4_094  # ranges, up to 0x7FFE0000


class Pool(msgspec.Struct, frozen=True):
    """`ranges` times COUNT ids from `first` on."""

    first: int = DEFAULT_FIRST
    ranges: int = DEFAULT_ENOUGH

    def __post_init__(self) -> None:
        if self.first < COUNT or self.first % COUNT or self.ranges < 1 or self.first + self.ranges * COUNT > HIGHEST:
            raise Invalid(f"cannot use ids {self.first}:{self.ranges * COUNT}: {RULE}")


RULE = f"both the first and their number are multiples of {COUNT} above 0, and all are below {HIGHEST}"


def parse_pool(text: str) -> Pool:
    """Of "FIRST:NUMBER". Raises Invalid."""
    first, _, number = text.partition(":")
    if not (first.isascii() and first.isdigit() and number.isascii() and number.isdigit()) or int(number) % COUNT:
        raise Invalid(f"cannot use ids {text}: write FIRST:NUMBER; {RULE}")
    return Pool(int(first), int(number) // COUNT)


def subordinate_pool(name: str, users: str, groups: str) -> Pool | None:
    """The ids of a user by the texts of /etc/subuid and /etc/subgid; None where neither names him. Raises Invalid where
    he has several ranges, or others for groups than for users."""
    found = [
        [line.partition(":")[2].strip() for line in text.splitlines() if line.partition(":")[0] == name]
        for text in (users, groups)
    ]
    if not any(found):
        return None
    if found[0] != found[1] or len(found[0]) != 1:
        raise Invalid(f"cannot use the ids of {name}: /etc/subuid and /etc/subgid must each have the same single range")
    return parse_pool(found[0][0])


def lowest_free(pool: Pool, taken: Collection[int]) -> int:
    """The first id of the lowest range of which no id is taken. Raises Exhausted."""
    held = {first // COUNT for first in taken}
    lowest = pool.first // COUNT
    for number in range(lowest, lowest + pool.ranges):
        if number not in held:
            return number * COUNT
    raise Exhausted(f"no users are left for a pod: all {pool.ranges} ranges of {COUNT} ids are taken")


class PodUsers:
    """The ranges of this machine's pods, by the pods' uids."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool
        self._first: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        for entry in (await self._store.list(PREFIX)).entries:
            try:
                self._first[entry.key.removeprefix(PREFIX)] = msgspec.json.decode(entry.value, type=UserMap).first
            except msgspec.MsgspecError as error:
                raise Internal(f"cannot read {entry.key} from the state store: {error}") from error

    def find(self, uid: str) -> UserMap:
        """The range that a pod has; none where it has none."""
        return UserMap(first=self._first[uid], count=COUNT) if uid in self._first else UserMap()

    async def take(self, uid: str) -> UserMap:
        """The pod's range, the one that it has or a new one; durable on return. Raises Exhausted."""
        async with self._lock:
            if uid not in self._first:
                range_ = UserMap(first=lowest_free(self._pool, self._first.values()), count=COUNT)
                await self._store.commit(Put(PREFIX + uid, msgspec.json.encode(range_)))
                self._first[uid] = range_.first
            return UserMap(first=self._first[uid], count=COUNT)

    async def free(self, uid: str) -> None:
        """Others may have it; the pod is gone. None there is fine."""
        async with self._lock:
            if uid in self._first:
                await self._store.commit(Delete(PREFIX + uid))
                del self._first[uid]

    async def keep_only(self, uids: Collection[str]) -> None:
        """Take back what a crash left without a pod."""
        for uid in [known for known in self._first if known not in uids]:
            await self.free(uid)
