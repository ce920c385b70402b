"""Builds archives for the tests by Python's own tarfile, and reads ours with it."""

import io
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterable
from typing import Any

FOLDER, LINK, SYMLINK = tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE
CHARACTER, BLOCK, FIFO = tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE


def entry(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One member; `fields` are TarInfo's attributes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o755 if fields.get("type") == FOLDER else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    """A whole archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as tar:  # type: ignore[call-overload]
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


async def stream(data: bytes, step: int = 1 << 16) -> AsyncIterator[bytes]:
    """Bytes as a client sends them."""
    for at in range(0, len(data), step):
        yield data[at : at + step]


async def gather(source: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in source])


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    """What an archive holds, by name."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: info for info in tar.getmembers()}


def contents(data: bytes) -> dict[str, bytes]:
    """The data of an archive's regular files."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: _read(tar, info) for info in tar.getmembers() if info.isreg()}


def _read(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    assert file is not None
    return file.read()


def names(data: bytes) -> list[str]:
    return list(members(data))


def chain_id(number: int) -> str:
    return f"sha256:{number:064x}"


def described(infos: Iterable[tarfile.TarInfo]) -> list[tuple[object, ...]]:
    """What must survive a round trip, by name."""
    return sorted(
        (
            info.name,
            info.type,
            info.mode,
            info.uid,
            info.gid,
            info.size,
            info.linkname,
            info.devmajor,
            info.devminor,
            round(float(info.mtime) * 1000),
        )
        for info in infos
    )


def command(*argv: object, data: bytes = b"") -> bytes:
    """What a program prints."""
    return subprocess.run([str(word) for word in argv], input=data, stdout=subprocess.PIPE, check=True).stdout


def disk_bytes(path: object) -> int:
    """What du says."""
    return int(command("du", "-s", "--block-size=1", path).split()[0])
