"""The machine's files, for the loader."""

from __future__ import annotations

import os
import sys

from boxship.errors import Invalid, NotFound

INPUT = "-"
LARGEST_BYTES = 64 << 20


class LocalFiles:
    """Reads by path. "-" is standard input, which is read once."""

    def __init__(self) -> None:
        self._input: bytes | None = None

    def read(self, path: str) -> bytes:
        if os.path.basename(path) == INPUT:
            return self._standard_input()
        try:
            with open(path, "rb") as file:
                content = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            raise NotFound(f"cannot read {path}: no such file") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Invalid(f"cannot read {path}: {reason.lower()}") from None
        if len(content) > LARGEST_BYTES:
            raise Invalid(f"cannot read {path}: longer than {LARGEST_BYTES} bytes")
        return content

    def _standard_input(self) -> bytes:
        if self._input is None:
            self._input = sys.stdin.buffer.read(LARGEST_BYTES)
        return self._input

    def exists(self, path: str) -> bool:
        return os.path.basename(path) == INPUT or os.path.exists(path)

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)
