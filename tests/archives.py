"""Tar archives of plain files. Kits that need links, owners or damage make their own."""

import io
import tarfile
from collections.abc import Mapping


def tar_of(files: Mapping[str, bytes | str], mode: str = "w") -> bytes:
    """Files of mode 0644 by name, in this order; `mode` may compress ("w:gz", "w:bz2", "w:xz")."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
