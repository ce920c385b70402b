"""The entries of a store in memory, in key order, and the rules of a commit.

Both stores answer reads from a Tree, so a read takes microseconds and never waits behind a write; the SQLite store
applies a commit here only when it is durable. Nothing in this file does I/O.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence

from boxship.errors import Conflict, Invalid
from boxship.store import Change, Delete, Entry, Operation, Put, Snapshot

KEY_LIMIT = 1024  # bytes
VALUE_LIMIT = 16 * 1024 * 1024  # bytes
OPERATION_LIMIT = 10_000  # operations in one commit
LAST = "\U0010ffff"


def validate(operations: Sequence[Operation]) -> None:
    """Refuse what no store can keep, before anything is written. Raises Invalid."""
    if len(operations) > OPERATION_LIMIT:
        raise Invalid(f"cannot commit: {len(operations)} operations, at most {OPERATION_LIMIT} are allowed")
    keys = set()
    for operation in operations:
        key = operation.key
        _validate_key(key)
        if key in keys:
            raise Invalid(f"cannot commit {key}: it is named twice in one commit")
        keys.add(key)
        if isinstance(operation, Put) and len(operation.value) > VALUE_LIMIT:
            raise Invalid(f"cannot commit {key}: {len(operation.value)} bytes, at most {VALUE_LIMIT} are allowed")


def _validate_key(key: str) -> None:
    try:
        encoded = key.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"cannot commit {key!r}: the key is not valid Unicode") from error
    if not encoded or len(encoded) > KEY_LIMIT or 0 in encoded:
        raise Invalid(f"cannot commit {key[:64]!r}: a key has 1 to {KEY_LIMIT} bytes and no NUL")


def decide(operations: Iterable[Operation], modified: Callable[[str], int]) -> list[tuple[str, bytes | None]]:
    """What the operations change, given the revision of each key's last write (0: not there). Raises Conflict."""
    changes: list[tuple[str, bytes | None]] = []
    for operation in operations:
        now = modified(operation.key)
        if operation.expected is not None and operation.expected != now:
            found = f"it is at revision {now}" if now else "it does not exist"
            wanted = f"not at {operation.expected}" if operation.expected else "but must not exist"
            raise Conflict(f"cannot commit {operation.key}: {found}, {wanted}")
        if isinstance(operation, Delete):
            if now:
                changes.append((operation.key, None))
        else:
            changes.append((operation.key, operation.value))
    return changes


class Tree:
    """All entries of one moment. Not thread-safe: it belongs to the loop's thread."""

    def __init__(self, entries: Iterable[Entry] = (), revision: int = 0) -> None:
        self.replace(entries, revision)

    def replace(self, entries: Iterable[Entry], revision: int) -> None:
        """Hold these instead of what was there."""
        self._entries = {entry.key: entry for entry in entries}
        self._keys = sorted(self._entries)
        self.revision = revision

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def modified(self, key: str) -> int:
        entry = self._entries.get(key)
        return entry.modified if entry else 0

    def list(self, prefix: str, after: str, limit: int) -> Snapshot:
        """Entries under `prefix` beyond `after`, in key order."""
        keys = self._keys
        start, end = self._range(prefix, after)
        cut = min(end, start + limit) if limit > 0 else end
        return Snapshot(self.revision, tuple(map(self._entries.__getitem__, keys[start:cut])), end - cut)

    def pick(self, keys: Iterable[str]) -> Snapshot:
        """What there is of these keys, in their order."""
        return Snapshot(self.revision, tuple(entry for key in keys if (entry := self._entries.get(key)) is not None))

    def list_before(
        self, revision: int, undone: Mapping[str, Entry | None], prefix: str, after: str, limit: int
    ) -> Snapshot:
        """The same as it was at `revision`: `undone` has what was there then, of every key that has changed since."""
        start, end = self._range(prefix, after)
        changed = [key for key in undone if key.startswith(prefix) and key > after]
        were = {key for key in changed if undone[key] is not None}
        gone = sum(key in self._entries for key in changed)
        total = end - start - gone + len(were)
        cut = min(end, start + limit + gone) if limit > 0 else end
        kept = self._keys[start:cut]
        known = [key for key in kept if key not in undone]
        # Beyond the last key that was looked at there may be others of now, so those of then must not go further.
        known += were if cut == end else [key for key in were if key <= kept[-1]]
        known.sort()
        found = known[:limit] if limit > 0 else known
        entries = (undone.get(key) or self._entries[key] for key in found)
        return Snapshot(revision, tuple(entries), total - len(found))

    def _range(self, prefix: str, after: str) -> tuple[int, int]:
        """Where the keys under `prefix` beyond `after` begin and end."""
        keys = self._keys
        start = bisect_right(keys, after) if after >= prefix else bisect_left(keys, prefix)
        end = bisect_left(keys, successor(prefix), start) if prefix.strip(LAST) else len(keys)
        return start, end

    def size(self) -> tuple[int, int]:
        """How many entries there are, and the bytes of their values."""
        return len(self._entries), sum(len(entry.value) for entry in self._entries.values())

    def apply(self, revision: int, changes: Iterable[tuple[str, bytes | None]]) -> tuple[Change, ...]:
        """Make the changes of the commit `revision`."""
        self.revision = revision
        made = []
        for key, value in changes:
            known = self._entries.get(key)
            if value is None:
                if known is not None:
                    del self._entries[key]
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if known is None:
                    insort(self._keys, key)
                self._entries[key] = Entry(key, value, known.created if known else revision, revision)
            made.append(Change(revision, key, value, known))
        return tuple(made)


def successor(prefix: str) -> str:
    """The first key, in code point order, after every key that begins with `prefix`."""
    kept = prefix.rstrip(LAST)
    point = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if point == 0xD800 else point)
