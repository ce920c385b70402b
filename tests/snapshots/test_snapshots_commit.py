"""A snapshot's changes as a layer: by rename, with the same files as its archive, durable, and there at once."""

import hashlib
import io
import os
import socket
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from snapshot_archives import FOLDER, archive, chain_id, entry, stream

from boxship.errors import Exhausted, Invalid, NotFound
from boxship.snapshots import Snapshots
from boxship.spec import digest as digests
from boxship.sys.mount import mounted_under


@pytest.fixture
async def room(tmp_path: Path, private_mounts: None) -> AsyncIterator[Snapshots]:
    snapshots = Snapshots(tmp_path / "snapshots")
    await snapshots.recover([])
    await snapshots.apply(
        chain_id(1), None, stream(archive(entry("etc", type=FOLDER), entry("etc/kept", b"kept"), entry("gone", b"g")))
    )
    yield snapshots
    await snapshots.close()
    assert not mounted_under(tmp_path)
    for name in ("trash", "staging", "active"):
        assert not os.listdir(tmp_path / "snapshots" / name), name


class Blob(bytearray):
    """Takes an archive."""

    def write(self, data: bytes) -> None:
        self.extend(data)

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self).hexdigest()

    def members(self) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(bytes(self))) as tar:
            return {member.name: member for member in tar}


async def test_changes_become_a_layer(room: Snapshots) -> None:
    await room.prepare("a", chain_id(1))
    root = await room.mount("a", volatile=True)
    (root / "etc/new").write_text("new")
    (root / "gone").unlink()
    draft = await room.take("a")
    assert draft is not None
    blob = Blob()
    packed = await room.pack(draft, blob.write)
    assert set(blob.members()) == {"etc", "etc/new", ".wh.gone"} and packed.entries == 3
    chain = digests.chain_id(chain_id(1), blob.digest)
    size = await room.publish(draft, chain, packed)
    room.discard(draft)
    assert room.has_layer(chain) and size == packed.size > 0
    with pytest.raises(NotFound):
        room.view("a")
    await room.prepare("b", chain)
    root = await room.mount("b")
    assert sorted(os.listdir(root / "etc")) == ["hostname", "hosts", "kept", "mtab", "new", "resolv.conf"]
    assert not (root / "gone").exists()
    await room.remove("b")


async def test_the_archive_unpacks_to_the_same_layer(room: Snapshots, tmp_path: Path) -> None:
    await room.prepare("a", chain_id(1))
    root = await room.mount("a", volatile=True)
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x" * 100_000)
    os.link(root / "d/f", root / "d/g")
    os.symlink("f", root / "d/l")
    os.mkfifo(root / "d/p")
    os.setxattr(root / "d/f", "user.note", b"1")
    draft = await room.take("a")
    assert draft is not None
    blob = Blob()
    packed = await room.pack(draft, blob.write)
    chain = digests.chain_id(chain_id(1), blob.digest)
    assert await room.publish(draft, chain, packed) == packed.size
    room.discard(draft)
    assert packed.size == device_bytes(tmp_path / "snapshots" / "layers" / chain[7:] / "fs")
    other = Snapshots(tmp_path / "other")
    await other.apply(chain_id(1), None, stream(archive(entry("etc", type=FOLDER))))
    await other.apply(chain, chain_id(1), stream(bytes(blob)), diff_id=blob.digest)
    ours, theirs = (base / "layers" / chain[7:] / "fs" for base in (tmp_path / "snapshots", tmp_path / "other"))
    assert sorted(described(ours)) == sorted(described(theirs))
    await other.close()


def device_bytes(folder: Path) -> int:
    """As du counts."""
    line = ["du", "-s", "-B1", str(folder)]
    return int(subprocess.run(line, capture_output=True, check=True).stdout.split()[0])


def described(root: Path) -> Iterator[tuple[object, ...]]:
    """Every file below a folder, with all that a layer keeps of it."""
    first: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        target = os.readlink(path) if path.is_symlink() else ""
        linked = first.setdefault(info.st_ino, path.name)
        name = str(path.relative_to(root))
        attributes = [] if path.is_symlink() else [key for key in os.listxattr(path) if key.startswith("user.")]
        yield name, info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, content, target, linked, attributes


async def test_nothing_changed_is_no_layer(room: Snapshots) -> None:
    await room.prepare("a", chain_id(1))
    root = await room.mount("a", volatile=True)
    (root / "etc/kept").read_text()
    assert await room.take("a") is None
    await room.prepare("a", None)
    assert await room.take("a") is None


async def test_mount_points_are_not_in_it(room: Snapshots, tmp_path: Path) -> None:
    await room.prepare("a", chain_id(1))
    wanted = [("/data/deep/x", "folder"), ("/etc/kept", "file"), ("/etc/secret", "file")]
    assert await room.add_places("a", wanted) == ["/data/deep/x", "/etc/kept", "/etc/secret"]
    root = await room.mount("a", volatile=True)
    assert (root / "data/deep/x").is_dir() and (root / "etc/secret").is_file()
    (root / ".dockerenv").unlink()
    (root / "tmp").mkdir()
    draft = await room.take("a")
    assert draft is not None
    blob = Blob()
    packed = await room.pack(draft, blob.write)
    assert set(blob.members()) == set(os.listdir(draft.upper)) == {"tmp"}
    chain = digests.chain_id(chain_id(1), blob.digest)
    size = await room.publish(draft, chain, packed)
    layer = tmp_path / "snapshots" / "layers" / chain[7:]
    assert size + await room.records_usage([chain]) == device_bytes(layer), sorted(layer.rglob("*"))


async def test_late_times_are_set_back(room: Snapshots) -> None:
    await room.prepare("a", chain_id(1))
    root = await room.mount("a", volatile=True)
    (root / "old").write_text("o")
    os.utime(root / "old", (7, 7))
    (root / "d").mkdir()
    (root / "d/new").write_text("n")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "d/s")) if len(str(root)) < 90 else None
    listener.close()
    draft = await room.take("a")
    assert draft is not None
    blob = Blob()
    await room.pack(draft, blob.write, epoch=1000)
    assert {name: member.mtime for name, member in blob.members().items()} == {"d": 1000, "d/new": 1000, "old": 7}
    assert os.stat(draft.upper / "d").st_mtime == 1000 and os.listdir(draft.upper / "d") == ["new"]
    room.discard(draft)


async def test_what_cannot_be_written_is_told(room: Snapshots) -> None:
    await room.prepare("a", None)
    root = await room.mount("a", volatile=True)
    (root / "big").write_bytes(os.urandom(3 << 20))
    draft = await room.take("a")
    assert draft is not None

    def full(data: bytes) -> None:
        raise Exhausted("cannot write: no space left")

    with pytest.raises(Exhausted):
        await room.pack(draft, full)
    (draft.upper / ".wh.x").touch()
    with pytest.raises(Invalid, match=r"\.wh\.x"):
        await room.pack(draft, Blob().write)
    room.discard(draft)


async def test_a_layer_that_is_there_stays(room: Snapshots, tmp_path: Path) -> None:
    chains = []
    for _ in range(2):
        draft = await room.draft(chain_id(1))
        (draft.upper / "f").write_text("same")
        os.utime(draft.upper / "f", (5, 5))
        blob = Blob()
        packed = await room.pack(draft, blob.write)
        chains.append(digests.chain_id(draft.parent, blob.digest))
        await room.publish(draft, chains[-1], packed)
        room.discard(draft)
    assert chains[0] == chains[1]


async def test_recovery_takes_back_drafts_and_their_mounts(room: Snapshots, tmp_path: Path) -> None:
    draft = await room.draft(chain_id(1))
    root = await room.mount_draft(draft)
    (root / "f").write_text("half-made")
    read = await room.draft(chain_id(1))
    assert (await room.mount_draft(read, read_only=True) / "etc/kept").read_text() == "kept"
    await room.recover([])
    await room.close()
    assert not mounted_under(tmp_path)
    assert not os.listdir(tmp_path / "snapshots/staging")
