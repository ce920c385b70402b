"""A build context as an archive, without what its ignore file leaves out: for daemons that do not see the folder."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator

from boxship.cli.copying import pack_one
from boxship.errors import Invalid
from boxship.spec.ignore import BadPattern, Ignore


def pack_context(root: str, patterns: Iterable[str], always: Iterable[str] = ()) -> Iterator[bytes]:
    """The archive. `always` are paths that go with it in any case. Sockets are left out."""
    try:
        rules = Ignore(patterns)
    except BadPattern as error:
        raise Invalid(f"cannot use the ignore file of {root}: {error}") from None
    kept = set(always)
    with tarfile.open(mode="w", fileobj=io.BytesIO()) as archive:
        for path in _walk(root, "", rules, kept):
            yield from pack_one(archive, os.path.join(root, path), path)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(root: str, folder: str, rules: Ignore, kept: set[str]) -> Iterator[str]:
    """Paths in a settled order, each folder before what is in it."""
    with os.scandir(os.path.join(root, folder)) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        wanted = path in kept or not rules.excludes(path, is_folder)
        if is_folder:
            if wanted:
                yield path
            if rules.may_descend(path) or any(name.startswith(f"{path}/") for name in kept):
                yield from _walk(root, path, rules, kept)
        elif wanted and not stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
            yield path
