"""The files by which a store behind TLS is reached."""

from pathlib import Path

import msgspec


class Files(msgspec.Struct, frozen=True):
    """In PEM: whom to trust (None: the system's authorities), and who we are."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
