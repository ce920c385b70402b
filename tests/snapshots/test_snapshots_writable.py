"""Writable snapshots on a real overlayfs: changes, export, crash leftovers, large and deep trees."""

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layers_kit import apply, folder_of
from snapshot_archives import (
    CHARACTER,
    FIFO,
    FOLDER,
    SYMLINK,
    archive,
    chain_id,
    command,
    contents,
    described,
    disk_bytes,
    entry,
    gather,
    members,
    names,
)

from boxship.errors import Invalid, NotFound, Unsupported
from boxship.snapshots import Snapshots
from boxship.sys.mount import mounted_under, unmount


async def test_a_snapshot_lives_and_goes(room: Snapshots) -> None:
    await apply(room, 1, 0, archive(entry("etc", type=FOLDER), entry("etc/file", b"below")))
    await room.prepare("key", chain_id(1))
    await room.prepare("key", chain_id(1))
    root = await room.mount("key")
    assert await room.mount("key") == root == room.rootfs("key")
    (root / "etc" / "file").write_text("changed")
    assert await room.usage("key") > 0
    await room.unmount("key")
    await room.unmount("key")
    assert os.listdir(root) == []
    await room.mount("key")
    assert (root / "etc" / "file").read_text() == "changed"
    await room.remove("key")
    await room.remove("key")
    assert not root.exists()
    with pytest.raises(NotFound):
        room.mounts("key")
    await room.remove_layer(chain_id(1))
    assert room.layers() == []


async def test_a_volatile_mount_can_be_made_again(room: Snapshots) -> None:
    await room.prepare("key", None)
    for volatile in (True, True, False):
        root = await room.mount("key", volatile=volatile)
        (info,) = mounted_under(root)
        assert bool({"volatile", "fsync=volatile"} & set(info.filesystem_options)) == volatile
        (root / "file").write_text("x")
        assert names(await gather(room.export("key"))) == ["file"]
        await room.unmount("key")
        assert names(await gather(room.export("key"))) == ["file"]
    await room.remove("key")


async def test_a_snapshot_on_nothing(room: Snapshots) -> None:
    await room.prepare("key", None)
    root = await room.mount("key")
    (root / "new").write_text("x")
    assert await room.changes("key") == [(1, "/new")]
    assert names(await gather(room.export("key"))) == names(await gather(room.diff("key"))) == ["new"]
    await room.remove("key")


@pytest.mark.parametrize("bad", ["", "..", "a/b", ".hidden", "x" * 300, "a\0"])
async def test_bad_names_are_refused(room: Snapshots, bad: str) -> None:
    with pytest.raises(Invalid):
        await room.prepare(bad, None)
    with pytest.raises(Invalid):
        room.has_layer(bad)


async def test_changes_are_docker_s(room: Snapshots) -> None:
    await apply(
        room,
        1,
        0,
        archive(
            entry("etc", type=FOLDER),
            entry("etc/same", b"1"),
            entry("etc/edited", b"2"),
            entry("etc/gone", b"3"),
            entry("kept", type=FOLDER),
            entry("kept/deep", type=FOLDER),
            entry("kept/deep/file", b"4"),
            entry("folder", type=FOLDER),
            entry("folder/inside", b"5"),
            entry("replaced", type=FOLDER),
            entry("replaced/old", b"6"),
            entry("mode", b"7"),
        ),
    )
    await apply(room, 2, 1, archive(entry("second", b"8")))
    await room.prepare("key", chain_id(2))
    root = await room.mount("key")
    assert await room.changes("key") == []
    os.utime(root / "etc" / "same")  # copied up, its time changed
    (root / "etc" / "edited").write_text("22")
    (root / "etc" / "gone").unlink()
    os.utime(root / "kept")  # a folder's time is no change
    command("rm", "-r", root / "folder", root / "replaced")
    (root / "replaced").mkdir()
    (root / "replaced" / "new").write_text("")
    (root / "new" / "below").mkdir(parents=True)
    (root / "new" / "below" / "file").write_text("")
    (root / "mode").chmod(0o600)
    (root / "second").unlink()
    (root / "second").mkdir()
    assert await room.changes("key") == [
        (0, "/etc"),
        (0, "/etc/edited"),
        (2, "/etc/gone"),
        (0, "/etc/same"),
        (2, "/folder"),
        (0, "/mode"),
        (1, "/new"),
        (1, "/new/below"),
        (1, "/new/below/file"),
        (0, "/replaced"),
        (1, "/replaced/new"),
        (2, "/replaced/old"),
        (0, "/second"),
    ]
    layer = await gather(room.diff("key"))
    assert {".wh.folder", "etc/.wh.gone", "replaced/.wh..wh..opq"} <= set(names(layer))
    merged = await gather(room.export("key"))
    await apply(room, 3, 2, layer)
    await room.prepare("again", chain_id(3))
    assert described(members(await gather(room.export("again"))).values()) == described(members(merged).values())
    await room.remove("key")


async def test_usage_is_what_du_says(room: Snapshots) -> None:
    data = archive(*(entry(f"d/{number}", os.urandom(number * 100)) for number in range(60)))
    size = await apply(room, 1, 0, data)
    assert size == disk_bytes(folder_of(room, 1))
    await room.prepare("key", chain_id(1))
    assert await room.usages(["key", "missing"]) == {"key": 4096, "missing": 0}


async def test_recovery_takes_back_what_is_half_made(tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    first = Snapshots(root)
    await apply(first, 1, 0, archive(entry("file", b"x")))
    for key in ("keep", "drop", "mounted", "stale"):
        await first.prepare(key, chain_id(1))
    for key in ("drop", "mounted", "stale"):
        await first.mount(key)
    (root / "staging" / "half").mkdir()
    (root / "staging" / "half" / "file").write_text("x")
    (root / "trash" / "old" / "deep").mkdir(parents=True)
    (root / "layers" / ("f" * 64) / "fs").mkdir(parents=True)  # no layer.json: not finished
    second = Snapshots(root)
    try:
        await second.recover(["keep", "mounted", "stale"], mounted=["mounted"])
        await second.close()
        assert sorted(os.listdir(root / "active")) == ["keep", "mounted", "stale"]
        assert [info.target for info in mounted_under(root)] == [str(second.rootfs("mounted"))]
        assert second.layers() == [chain_id(1)]
        assert not os.listdir(root / "staging")
        assert not os.listdir(root / "trash")
        assert (second.rootfs("mounted") / "file").exists()
    finally:
        for info in mounted_under(root):
            unmount(info.target)


async def test_a_chain_of_500_layers(room: Snapshots) -> None:
    data = archive(entry("same", b"x"))
    source = folder_of(room, 1)
    await apply(room, 1, 0, data)
    for number in range(2, 502):  # as apply leaves them, without starting a program for each
        made = folder_of(room, number)
        made.mkdir(parents=True)
        (made / f"file{number}").write_bytes(b"")
        record = f'{{"parent":"{chain_id(number - 1)}","size":0}}'
        (made.parent / "layer.json").write_text(record)
    await room.prepare("key", chain_id(500))
    root = await room.mount("key")
    assert len(os.listdir(root)) == 500
    (root / "same").write_text("changed")
    assert await room.changes("key") == [(0, "/same")]
    assert (source / "same").read_text() == "x"
    await room.remove("key")
    with pytest.raises(Invalid, match="more than 500 layers"):
        await room.prepare("deeper", chain_id(501))


async def test_a_big_tree_is_deleted_too(room: Snapshots) -> None:
    await apply(room, 1, 0, archive(*(entry(f"d{number % 7}/{number}", b"") for number in range(900))))
    await room.remove_layer(chain_id(1))
    assert room.layers() == []


@pytest.fixture
def shallow(tmp_path: Path) -> Iterator[None]:
    """Leaves no tree behind that pytest's own tidying could not remove."""
    yield
    command("rm", "-rf", tmp_path / "snapshots" / "active", tmp_path / "snapshots" / "trash")


async def test_too_deep_trees_are_refused_not_crashed(shallow: None, room: Snapshots) -> None:
    await room.prepare("key", None)
    root = await room.mount("key")
    here = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(Invalid, match="nested deeper"):
        await room.changes("key")
    with pytest.raises(Invalid, match="nested deeper"):
        await gather(room.export("key"))
    assert await room.usage("key") >= 1500 * 4096
    await room.remove("key")


async def test_sockets_and_unfinished_readers(room: Snapshots) -> None:
    import socket

    await room.prepare("key", None)
    root = await room.mount("key")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root)
        try:
            listener.bind("socket")
        finally:
            os.chdir("/")
    (root / "big").write_bytes(os.urandom(1 << 23))
    source = room.export("key")
    await anext(source)
    await source.aclose()  # type: ignore[attr-defined]
    assert names(await gather(room.export("key"))) == ["big"]
    with pytest.raises(NotFound):
        room.diff("missing")
    await room.remove("key")


async def test_unknown_entries_are_refused(room: Snapshots) -> None:
    data = bytearray(archive(entry("odd", b"")))
    data[156] = ord("Q")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    with pytest.raises(Unsupported, match="entry 'odd' of type 'Q'"):
        await apply(room, 1, 0, bytes(data))


async def test_mount_points_do_not_show_as_changes(tmp_path: Path) -> None:
    room = Snapshots(tmp_path / "snapshots")
    layer = archive(
        entry("etc", type=FOLDER, mode=0o711, uid=3, mtime=99),
        entry("etc/hosts", b"the image's"),
        entry("dev", type=SYMLINK, linkname="/somewhere"),
    )
    await apply(room, 1, 0, layer)
    await apply(room, 2, 1, archive(entry("etc/.wh.hosts")))
    for number in (1, 2):
        key = f"key{number}"
        await room.prepare(key, chain_id(number))
        root = await room.mount(key)
        assert await room.changes(key) == []
        info = (root / "etc").stat()
        assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o711, 3, 99)
        assert (root / "etc" / "hosts").read_text() == ("the image's" if number == 1 else "")
        assert os.readlink(root / "dev") == "/somewhere"
        assert os.readlink(root / "etc" / "mtab") == "/proc/mounts"
        assert (root / "proc").is_dir()
        assert (root / ".dockerenv").exists()
        assert names(await gather(room.diff(key))) == []
    again = Snapshots(tmp_path / "snapshots")
    await again.recover([])
    for number in (2, 1):
        await again.remove_layer(chain_id(number))
    await again.close()
    await room.close()
    assert os.listdir(tmp_path / "snapshots" / "places") == []
    assert not mounted_under(tmp_path)


async def test_a_snapshot_on_nothing_has_mount_points_too(tmp_path: Path) -> None:
    room = Snapshots(tmp_path / "snapshots")
    await room.prepare("key", None)
    assert {"proc", "etc/hosts"} <= set(names(await gather(room.export("key"))))
    assert await room.changes("key") == []
    await room.remove("key")
    await room.close()


PART = st.sampled_from(["a", "b", "c", ".x", "long" * 30, "ä"])


MEMBER = st.tuples(
    st.lists(PART, min_size=1, max_size=4).map("/".join),
    st.sampled_from(["file", "folder", "symlink", "fifo", "device"]),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 2),
    st.integers(0, 2**31),
    st.binary(max_size=2000),
)


def tree_of(members_: list[tuple[str, str, int, int, int, bytes]]) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """An archive without contradictions: each name once, all parents present and folders."""
    kinds = {"folder": FOLDER, "symlink": SYMLINK, "fifo": FIFO, "device": CHARACTER}
    tree: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    for name, kind, mode, uid, mtime, data in members_:
        parents = [name[:at] for at in range(len(name)) if name[at] == "/"]
        if name in tree or any(parent in tree and not tree[parent][0].isdir() for parent in parents):
            continue
        for parent in parents:
            tree.setdefault(parent, entry(parent, type=FOLDER, mtime=7))
        info, content = entry(name, data if kind == "file" else b"", mode=mode, uid=uid, mtime=mtime)
        if kind in kinds:
            info.type = kinds[kind]
        if kind == "symlink":
            info.linkname, info.mode = "some/where", 0o777
        if kind in ("fifo", "device"):
            info.mode &= 0o777
            info.devmajor, info.devminor = (1, 3) if kind == "device" else (0, 0)
        tree[name] = (info, content)
    return tree


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MEMBER, max_size=12))
async def test_any_tree_survives(room: Snapshots, found: list[tuple[str, str, int, int, int, bytes]]) -> None:
    tree = tree_of(found)
    data = archive(*tree.values())
    await apply(room, 1, 0, data)
    await room.prepare("key", chain_id(1))
    seen = await gather(room.export("key"))
    assert described(members(seen).values()) == described(members(data).values())
    assert contents(seen) == {name: content for name, (info, content) in tree.items() if info.isreg()}
    assert io.BytesIO(seen).getbuffer().nbytes % 512 == 0
    await room.remove("key")
    await room.remove_layer(chain_id(1))
