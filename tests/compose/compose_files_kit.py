"""Files in memory for the tests of gathering, and short ways to gather and to look at a tree."""

from __future__ import annotations

from typing import Any

from boxship.compose.loading import Gathered, LoadRequest, gather
from boxship.compose.trees import plain
from boxship.errors import NotFound


class MemoryFiles:
    """A dict of absolute paths is the whole disk; a folder is there when a file is below it."""

    def __init__(self, files: dict[str, str | bytes]) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.reads: list[str] = []

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        if path not in self.files:
            raise NotFound(f"cannot read {path}: no such file")
        return self.files[path]

    def exists(self, path: str) -> bool:
        return path in self.files or self.is_folder(path)

    def is_folder(self, path: str) -> bool:
        return any(file.startswith(path.rstrip("/") + "/") for file in self.files)


def gathered(files: dict[str, str | bytes], *names: str, **request: Any) -> Gathered:
    """Gather a project in /p; the files' names are relative to it, `names` are those of -f."""
    disk = MemoryFiles({name if name.startswith("/") else f"/p/{name}": text for name, text in files.items()})
    start = request.pop("start", "/p")
    return gather(LoadRequest(start=start, files=names, **request), disk)


def services(files: dict[str, str | bytes], *names: str, **request: Any) -> dict[str, Any]:
    """The services of that project as plain values."""
    tree: dict[str, Any] = plain(gathered(files, *names, **request).tree)
    return tree.get("services") or {}
