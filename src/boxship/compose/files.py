"""The files and variables that a load may ask for. Who hosts Compose gives them; tests give a dict."""

from __future__ import annotations

from typing import Protocol


class Files(Protocol):
    """Read access by absolute path."""

    def read(self, path: str) -> bytes:
        """A whole file. Raises NotFound, or Invalid where it cannot be read (a folder, no permission)."""

    def exists(self, path: str) -> bool:
        """Whether a file or a folder is there."""

    def is_folder(self, path: str) -> bool:
        """Whether a folder is there."""
