"""What volumes need of the kernel beyond files: one Protocol. The mounts are the daemon's own: nobody else sees them.

Calls are made from threads. All may be repeated; errors are kinds of `boxship.errors`.
"""

from pathlib import Path
from typing import Protocol


class Mounts(Protocol):
    def memory(self, path: Path, *, size: int = 0, mode: int = 0o755, owner: int = 0) -> None:
        """A tmpfs at a folder, which is made; one that is there stays. `size` in bytes, 0 for the kernel's default;
        `owner` is the user and the group that it belongs to."""

    def pin(self, root: Path, part: str, place: Path, *, read_only: bool = False, owner: int = 0) -> None:
        """Bind a part of the tree at `root` to `place`: resolved inside the tree; a link that leads out is refused,
        in a read-only tree it leads to nothing. A part that is missing becomes a folder, `owner`'s, but for a read-only
        tree. What was bound there before goes."""

    def read(self, root: Path, part: str, limit: int) -> bytes | None:
        """The first bytes of a file inside the tree; None where there is none."""

    def unmount(self, path: Path) -> None:
        """Everything that is mounted at a path. Nothing there is fine."""
