"""Which ids of the machine stand for the users of a pod: each pod that asks gets a range that no other has.

A range is recorded before anything is made with it, and goes with the pod; so it is never given twice, whatever a crash
leaves. Which one a pod gets is decided by the ranges that are taken alone, here and by other instances (`pods_claims`).
"""

import asyncio
import logging
from collections.abc import Collection

import msgspec

from boxship.engine.pods_claims import Claims
from boxship.errors import Exhausted, Internal, Invalid
from boxship.spec.users import COUNT, UserMap
from boxship.store import Delete, Put, Store

log = logging.getLogger(__name__)

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

    def __init__(self, store: Store, pool: Pool, claims: Claims | None = None) -> None:
        self._store = store
        self._pool = pool
        self._claims = claims
        self._first: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        for entry in (await self._store.list(PREFIX)).entries:
            try:
                self._first[entry.key.removeprefix(PREFIX)] = msgspec.json.decode(entry.value, type=UserMap).first
            except msgspec.MsgspecError as error:
                raise Internal(f"cannot read {entry.key} from the state store: {error}") from error
        for uid, first in self._first.items():
            if self._claims is not None and not self._claims.take(first):
                log.error("the ids from %d on of pod %s are another instance's too: see pod-users", first, uid)

    def find(self, uid: str) -> UserMap:
        """The range that a pod has; none where it has none."""
        return UserMap(first=self._first[uid], count=COUNT) if uid in self._first else UserMap()

    async def take(self, uid: str) -> UserMap:
        """The pod's range, the one that it has or a new one; durable on return. Raises Exhausted."""
        async with self._lock:
            if uid not in self._first:
                range_ = UserMap(first=self._claim(), count=COUNT)
                try:
                    await self._store.commit(Put(PREFIX + uid, msgspec.json.encode(range_)))
                except BaseException:
                    self._give_back(range_.first)
                    raise
                self._first[uid] = range_.first
            return UserMap(first=self._first[uid], count=COUNT)

    async def free(self, uid: str) -> None:
        """Others may have it; the pod is gone. None there is fine."""
        async with self._lock:
            if uid in self._first:
                await self._store.commit(Delete(PREFIX + uid))
                self._give_back(self._first.pop(uid))

    def _claim(self) -> int:
        """The first id of the lowest range that nobody has, of whatever instance."""
        taken = set(self._first.values())
        while True:
            first = lowest_free(self._pool, taken)
            if self._claims is None or self._claims.take(first):
                return first
            taken.add(first)

    def _give_back(self, first: int) -> None:
        if self._claims is not None and first not in self._first.values():
            self._claims.give_back(first)

    async def keep_only(self, uids: Collection[str]) -> None:
        """Take back what a crash left without a pod."""
        for uid in [known for known in self._first if known not in uids]:
            await self.free(uid)
