"""The local driver on a real disk: life of a volume, mounts by options, parts of volumes, filling, recovery."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxship.errors import Conflict, Denied, Internal, Invalid, NotFound
from boxship.store import Store
from boxship.store.memory import MemoryStore
from boxship.sys.mount import mounted_under, unmount
from boxship.volumes import Volumes

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"}


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest.fixture
async def room(tmp_path: Path, store: Store) -> AsyncIterator[Volumes]:
    """A volumes room whose test must leave no mount."""
    volumes = Volumes(tmp_path / "volumes", store)
    await volumes.recover()
    yield volumes
    await volumes.close()
    left = mounted_under(tmp_path)
    for info in reversed(left):
        unmount(info.target)
    assert not left
    assert not os.listdir(tmp_path / "volumes" / ".trash")


async def test_a_volume_lives_and_goes(room: Volumes, store: Store, tmp_path: Path) -> None:
    made = await room.create("data", labels={"a": "b"})
    assert made.mountpoint == f"{tmp_path}/volumes/data/_data"
    assert stat.S_IMODE(os.stat(made.mountpoint).st_mode) == 0o755
    assert (made.driver, made.labels, made.options, made.anonymous) == ("local", {"a": "b"}, {}, False)
    assert await room.create("data", labels={"other": "x"}) == made
    assert room.get("data") == made
    assert room.list() == [made]
    assert await room.is_empty("data")
    (Path(made.mountpoint) / "file").write_bytes(b"x" * 100_000)
    assert not await room.is_empty("data")
    assert 100_000 < await room.usage("data") < 120_000
    await room.remove("data")
    assert room.list() == []
    assert (await store.list("")).entries == ()
    with pytest.raises(NotFound, match="get data: no such volume"):
        room.get("data")
    with pytest.raises(NotFound, match="get data: no such volume"):
        await room.remove("data")


async def test_anonymous_names_are_random(room: Volumes) -> None:
    first, second = await room.create(), await room.create(None, labels={"com.docker.volume.anonymous": ""})
    assert len(first.name) == len(second.name) == 64
    assert first.name != second.name
    assert second.anonymous


@pytest.mark.parametrize("name", [".hidden", "..", "a/b", "a b", "-x", "ä1", "x\n", "a" * 256])
async def test_bad_names(room: Volumes, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await room.create(name)
    assert str(caught.value) == (
        f'create {name}: "{name}" includes invalid characters for a local volume name, only '
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
    )
    assert room.list() == []


async def test_other_refusals(room: Volumes) -> None:
    with pytest.raises(Invalid, match="names should be at least two alphanumeric characters"):
        await room.create("x")
    with pytest.raises(NotFound, match='plugin "nfs" not found'):
        await room.create("xx", "nfs")
    with pytest.raises(Invalid, match='create xx: invalid option: "odd"'):
        await room.create("xx", options={"odd": "1"})
    with pytest.raises(Invalid, match='create xx: missing required option: "device"'):
        await room.create("xx", options={"type": "tmpfs"})
    with pytest.raises(Invalid, match='create xx: missing required option: "device"'):
        await room.create("xx", options={"o": "ro"})
    with pytest.raises(Invalid, match="quota size requested but no quota support"):
        await room.create("xx", options={"size": "1g"})
    assert room.list() == []


async def test_options_are_mounted_while_used(room: Volumes, tmp_path: Path) -> None:
    made = await room.create("memory", options=TMPFS)
    path = await room.mount("memory", "one")
    assert str(path) == made.mountpoint
    assert [info.kind for info in mounted_under(path)] == ["tmpfs"]
    assert path.stat().st_uid == 7
    await room.mount("memory", "one")
    await room.mount("memory", "two")
    with pytest.raises(Conflict, match=r"remove memory: volume is in use - \[one, two\]"):
        await room.remove("memory")
    await room.release("memory", "one")
    await room.release("memory", "one")
    assert mounted_under(path)
    await room.release("memory", "two")
    assert not mounted_under(path)
    await room.release("memory", "never")
    await room.remove("memory")
    await room.release("memory", "gone")


async def test_a_bind_by_options(room: Volumes, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("x")
    await room.create("bound", options={"type": "none", "device": str(tmp_path / "source"), "o": "bind,ro"})
    path = await room.mount("bound", "user")
    assert (path / "file").exists()
    with pytest.raises(OSError, match="Read-only"):
        (path / "new").write_text("")
    await room.release("bound", "user")


async def test_failing_mounts_say_docker_s_text(room: Volumes) -> None:
    await room.create("remote", options={"type": "nfs", "device": ":/x", "o": "addr=127.0.0.1,ro"})
    await room.create("missing", options={"type": "none", "device": "/missing", "o": "bind"})
    path = room.get("remote").mountpoint
    with pytest.raises(Internal) as caught:
        await room.mount("remote", "user")
    text = str(caught.value)
    assert text.startswith(f"error while mounting volume '{path}': failed to mount local volume: mount :/x:{path}, ")
    assert "flags: 0x1, data: addr=127.0.0.1: " in text
    with pytest.raises(Internal, match=r"mount /missing:.*, flags: 0x1000: no such file or directory"):
        await room.mount("missing", "user")
    await room.remove("remote")


async def test_parts_of_volumes_stay_inside(room: Volumes, tmp_path: Path) -> None:
    data = Path((await room.create("data")).mountpoint)
    (data / "a" / "b").mkdir(parents=True)
    (data / "a" / "b" / "file").write_text("inner")
    (data / "link").symlink_to("/a")
    (tmp_path / "outside").mkdir()
    (data / "out").symlink_to("../../../outside")
    path = await room.mount("data", "user/1", subpath="link/b")
    assert (path / "file").read_text() == "inner"
    os.unlink(data / "link")
    (data / "link").symlink_to("/etc")
    assert (path / "file").read_text() == "inner"
    file = await room.mount("data", "user/1", subpath="a/b/file")
    assert file.read_text() == "inner"
    for subpath, kind in (("missing", NotFound), ("out", NotFound), ("../x", Invalid), ("/etc", Invalid)):
        with pytest.raises(kind):
            await room.mount("data", "user/1", subpath=subpath)
    (data / "circle").symlink_to("circle")
    with pytest.raises(Denied):
        await room.mount("data", "user/1", subpath="circle")
    await room.release("data", "user/1")
    assert not mounted_under(tmp_path)
    assert os.listdir(tmp_path / "volumes" / ".pins") == []


def image_content(root: Path) -> None:
    """A folder with everything that a copy must keep."""
    folder = root / "var" / "lib"
    (folder / "deep").mkdir(parents=True)
    (folder / "file").write_text("content")
    os.chown(folder / "file", 5, 6)
    (folder / "file").chmod(0o4755)
    os.setxattr(folder / "file", "user.note", b"x")
    os.utime(folder / "file", ns=(1, 1_500_000_000_123_456_789))
    os.link(folder / "file", folder / "deep" / "again")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with open(folder / "holes", "wb") as file:
        file.truncate(50 << 20)
    folder.chmod(0o2750)
    os.chown(folder, 8, 9)
    (root / "data").symlink_to("../../../var/lib")


async def test_filling_keeps_everything(room: Volumes, tmp_path: Path) -> None:
    image_content(tmp_path / "root")
    data = Path((await room.create("data")).mountpoint)
    await room.populate("data", tmp_path / "root", "/data")
    info, file = data.stat(), (data / "file").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o2750, 8, 9)
    assert (stat.S_IMODE(file.st_mode), file.st_uid, file.st_mtime_ns) == (0o4755, 5, 1_500_000_000_123_456_789)
    assert os.getxattr(data / "file", "user.note") == b"x"
    assert (data / "deep" / "again").stat().st_ino == file.st_ino
    assert os.readlink(data / "link") == "/etc/passwd"
    assert (data / "pipe").is_fifo()
    assert (data / "null").is_char_device()
    assert ((data / "holes").stat().st_size, (data / "holes").stat().st_blocks) == (50 << 20, 0)
    assert os.listdir(data.parent) == ["_data"]
    (data / "file").write_text("changed")
    await room.populate("data", tmp_path / "root", "/data")  # not empty: nothing happens
    assert (data / "file").read_text() == "changed"


async def test_filling_a_volume_in_use_does_not_swap_its_folder(room: Volumes, tmp_path: Path) -> None:
    image_content(tmp_path / "root")
    data = await room.mount((await room.create("data")).name, "user")
    before = data.stat().st_ino
    await room.populate("data", tmp_path / "root", "/var/lib")
    assert data.stat().st_ino == before
    assert (data / "deep" / "again").exists()
    await room.create("other")
    for target in ("/missing", "/var/lib/file"):
        await room.populate("other", tmp_path / "root", target)
        assert await room.is_empty("other")


async def test_recovery_finishes_what_was_cut_off(room: Volumes, store: Store, tmp_path: Path) -> None:
    root = tmp_path / "volumes"
    for name in ("plain", "half", "removing"):
        await room.create(name)
    await room.create("memory", options=TMPFS)
    await room.create("stale", options=TMPFS)
    await room.mount("memory", "alive")
    await room.mount("memory", "dead")
    await room.mount("stale", "dead")
    (root / "plain" / "_data" / "file").write_text("kept")
    (root / "plain" / "_data" / "part").mkdir()
    (root / "plain" / "_fill").mkdir()
    await room.mount("plain", "dead", subpath="part")
    os.rmdir(root / "half" / "_data")  # the record was written, the folder was not
    os.rmdir(root / "half")
    (root / "removing" / "_data" / "file").write_text("x")
    entry = await store.get("volumes/removing")
    assert entry is not None
    from boxship.store import Put

    await store.commit(Put("volumes/removing", entry.value.replace(b"{", b'{"removing":true,', 1)))
    (root / "found" / "_data").mkdir(parents=True)  # no record: a user's data all the same
    (root / ".trash" / "old" / "_data" / "x").mkdir(parents=True)

    again = Volumes(root, store)
    await again.recover(["alive"])
    await again.close()
    assert [volume.name for volume in again.list()] == ["found", "half", "memory", "plain", "stale"]
    assert (root / "half" / "_data").is_dir()
    assert (root / "plain" / "_data" / "file").read_text() == "kept"
    assert os.listdir(root / "plain") == ["_data"]
    assert [info.target for info in mounted_under(root)] == [str(root / "memory" / "_data")]
    assert os.listdir(root / ".pins") == os.listdir(root / ".trash") == []
    assert not (root / "removing").exists()
    assert await store.get("volumes/removing") is None
    await again.release("memory", "alive")
    assert not mounted_under(root)


async def test_recovery_mounts_again_what_a_lost_namespace_took(room: Volumes, store: Store, tmp_path: Path) -> None:
    await room.create("memory", options=TMPFS)
    path = await room.mount("memory", "alive")
    unmount(path)
    again = Volumes(tmp_path / "volumes", store)
    await again.recover(["alive"])
    assert mounted_under(path)
    await again.release("memory", "alive")
    await again.close()
