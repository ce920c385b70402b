"""The machine's files, for the loader."""

from __future__ import annotations

import os

from boxship.errors import Invalid, NotFound

LARGEST_BYTES = 64 << 20


class LocalFiles:
    """Reads by path."""

    def read(self, path: str) -> bytes:
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

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)
