"""The folders above a container's cgroup that its `--cgroup-parent` named and that were not there before.

The runtime makes them and nobody removes them. So what is missing is noted in the run root first, and what was noted is
taken away when it is empty. A parent that was there before, perhaps with limits, is its maker's: it must never go.
"""

import os
from pathlib import Path

import msgspec

from boxship.sys import cgroup
from boxship.sys.cgroup import Layout


class Parents:
    """What this instance's containers made above their cgroups. Short work in the caller's thread, never at once."""

    def __init__(self, notes: Path, own: str, layout: Layout) -> None:
        self._notes = notes
        self._own = own.strip("/")  # the instance's own cgroup goes with the instance
        self._layout = layout
        self._in_use: dict[str, str] = {}  # container → its cgroup, from before that is made
        self._made = _read(notes)

    def claim(self, container_id: str, path: str) -> None:
        """A container's cgroup is about to be made."""
        above = [parent for parent in _above(path) if parent != self._own]
        if not above:
            return
        self._in_use[container_id] = path.strip("/")
        missing = {parent for parent in above if not cgroup.exists(self._layout, parent)}
        if missing - self._made:
            self._note(self._made | missing)

    def release(self, container_id: str) -> None:
        """The container's cgroup is gone."""
        self._in_use.pop(container_id, None)
        if self._made:
            self.sweep()

    def sweep(self) -> None:
        """Take away what we made and nobody uses, inner before outer."""
        left = set(self._made)
        for parent in sorted(self._made, key=lambda path: -path.count("/")):
            used = any(path.startswith(f"{parent}/") for path in self._in_use.values())
            if not used and cgroup.remove_empty(self._layout, parent):
                left.discard(parent)
        if left != self._made:
            self._note(left)

    def _note(self, made: set[str]) -> None:
        self._made = made
        fresh = self._notes.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(sorted(made)))
        os.replace(fresh, self._notes)


def _above(path: str) -> list[str]:
    """ "/a/b/c" → ["a", "a/b"]."""
    parts = path.strip("/").split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _read(notes: Path) -> set[str]:
    try:
        return set(msgspec.json.decode(notes.read_bytes(), type=list[str]))
    except FileNotFoundError:
        return set()
    except msgspec.MsgspecError:  # the machine stopped while it was written: then the cgroups are gone as well
        return set()
