"""Layers and writable snapshots on a real overlayfs: unpacking, whiteouts, changes, export, crash leftovers."""

import asyncio
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshot_archives import (
    BLOCK,
    CHARACTER,
    FIFO,
    FOLDER,
    LINK,
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
    stream,
)

from boxship.errors import Invalid, NotFound, Unsupported
from boxship.snapshots import Snapshots
from boxship.sys.mount import mounted_under, unmount


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Snapshots]:
    """A snapshots room whose test must leave no mount."""
    snapshots = Snapshots(tmp_path / "snapshots", mount_points=())
    await snapshots.recover([])
    yield snapshots
    await snapshots.close()
    left = mounted_under(tmp_path)
    for info in reversed(left):
        unmount(info.target)
    assert not left
    assert not os.listdir(tmp_path / "snapshots" / "trash")
    assert not os.listdir(tmp_path / "snapshots" / "staging")


def folder_of(room: Snapshots, number: int) -> Path:
    return room.rootfs("x").parent.parent.parent / "layers" / chain_id(number)[7:] / "fs"


async def apply(room: Snapshots, number: int, parent: int, data: bytes, **options: Any) -> int:
    return await room.apply(chain_id(number), chain_id(parent) if parent else None, stream(data), **options)


async def export(room: Snapshots, *layers: bytes) -> bytes:
    """What a container on these layers would see."""
    for number, data in enumerate(layers, 1):
        await apply(room, number, number - 1, data)
    await room.prepare("seen", chain_id(len(layers)))
    return await gather(room.export("seen"))


def test_overlay_works_here(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "s")
    snapshots.check()
    assert not os.listdir(tmp_path / "s" / "staging")


async def test_everything_survives_a_round_trip(room: Snapshots) -> None:
    data = archive(
        entry("folder", type=FOLDER, mode=0o1777, uid=5, gid=6, mtime=1000.25),
        entry("folder/file", b"content", mode=0o4755, uid=3_000_000, gid=2**31, mtime=1234567.5),
        entry(
            "folder/other", type=LINK, linkname="folder/file", mode=0o4755, uid=3_000_000, gid=2**31, mtime=1234567.5
        ),
        entry("long/" * 60 + "name" * 20, b"x", mtime=1),
        entry("symlink", type=SYMLINK, linkname="../" * 60 + "etc", mode=0o777, mtime=5, uid=9),
        entry("null", type=CHARACTER, devmajor=1, devminor=3, mode=0o666, mtime=1),
        entry("disk", type=BLOCK, devmajor=259, devminor=1000, mode=0o660, mtime=1, gid=6),
        entry("pipe", type=FIFO, mode=0o620, mtime=1, uid=1),
        entry("ä\udcff", b"raw", mtime=3),
        entry("old", b"", mtime=-3),
        entry("secret", type=FOLDER, mode=0o000, mtime=8),
        entry("secret/file", b"", mode=0, mtime=8),
    )
    found = members(await export(room, data))
    expected = members(data)
    missing = {name: info for name, info in found.items() if name not in expected}
    assert set(missing) == {"/".join(["long"] * count) for count in range(1, 61)}
    assert described(info for name, info in found.items() if name in expected) == described(expected.values())


async def test_attributes_survive_but_trusted_ones_do_not(room: Snapshots) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    headers = {
        "SCHILY.xattr.user.note": "some\nvalue",
        "SCHILY.xattr.security.capability": capability.decode("latin-1"),
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    }
    folder = entry(
        "d", type=FOLDER, pax_headers={"SCHILY.xattr.user.dir": "1", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    )
    await apply(room, 1, 0, archive(folder, entry("d/f", b"x", uid=7, pax_headers=headers)))
    file = folder_of(room, 1) / "d" / "f"
    assert sorted(os.listxattr(file)) == ["security.capability", "user.note"]
    assert os.getxattr(file, "security.capability") == capability
    assert os.listxattr(folder_of(room, 1) / "d") == ["user.dir"]
    await room.prepare("k", chain_id(1))
    info = members(await gather(room.export("k")))["d/f"]
    assert info.pax_headers["SCHILY.xattr.user.note"] == "some\nvalue"


async def test_holes_stay_holes(room: Snapshots) -> None:
    data = archive(entry("holes", b"a" + bytes(3 << 20) + b"b" + bytes(1 << 20)))
    assert await apply(room, 1, 0, data) < 1 << 20
    file = folder_of(room, 1) / "holes"
    assert file.stat().st_size == (4 << 20) + 2
    assert file.stat().st_blocks * 512 < 1 << 19
    assert file.read_bytes() == b"a" + bytes(3 << 20) + b"b" + bytes(1 << 20)


async def test_sparse_archives_of_gnu_tar(room: Snapshots, tmp_path: Path) -> None:
    with open(tmp_path / "holes", "wb") as file:
        for number in range(9):
            file.seek(number * 1_000_000)
            file.write(b"piece%d" % number)
        file.truncate(20_000_000)
    for number, options in enumerate((["--format=gnu"], ["--format=pax"]), 1):
        packed = command("tar", "-C", tmp_path, *options, "-S", "-cf", "-", "holes")
        await apply(room, number, 0, packed)
        assert (folder_of(room, number) / "holes").read_bytes() == (tmp_path / "holes").read_bytes()


@pytest.mark.parametrize("form", ["gzip", "gzip in two", "bzip2", "xz", "zstd"])
async def test_compressed_layers(room: Snapshots, form: str) -> None:
    plain = archive(entry("file", os.urandom(1 << 20) + bytes(1 << 22)))
    if form == "zstd":
        packed = command("zstd", "-q", data=plain)
    else:
        packed = {
            "gzip": lambda: gzip.compress(plain),
            "gzip in two": lambda: gzip.compress(plain[:70_000]) + gzip.compress(plain[70_000:]) + bytes(100),
            "bzip2": lambda: command("bzip2", data=plain),
            "xz": lambda: lzma.compress(plain),
        }[form]()
    diff_id = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    await apply(room, 1, 0, packed, diff_id=diff_id)
    assert (folder_of(room, 1) / "file").stat().st_size == (1 << 20) + (1 << 22)
    for size in (20, len(packed) // 2, len(packed) - 200):
        with pytest.raises(Invalid, match=r"too early|decompress"):
            await apply(room, 2, 0, packed[:size])
    with pytest.raises(Invalid, match="not sha256:0000"):
        await apply(room, 2, 0, packed, diff_id=chain_id(0))
    assert room.layers() == [chain_id(1)]


async def test_a_layer_can_come_from_a_file(room: Snapshots, tmp_path: Path) -> None:
    (tmp_path / "layer.tar").write_bytes(archive(entry("file", b"x")))
    size = await room.apply(chain_id(1), None, tmp_path / "layer.tar")
    assert size == await room.layer_usage(chain_id(1))
    assert await room.apply(chain_id(1), None, tmp_path / "missing") == size  # known: not even looked at
    assert room.has_layer(chain_id(1))
    with pytest.raises(NotFound):
        await room.apply(chain_id(3), chain_id(2), tmp_path / "layer.tar")


async def test_whiteouts_hide_what_lies_below(room: Snapshots) -> None:
    below = archive(
        entry("a", type=FOLDER),
        entry("a/gone", b"1"),
        entry("a/stays", b"2"),
        entry("b", type=FOLDER),
        entry("b/old", b"3"),
        entry("c", type=FOLDER),
        entry("c/old", b"4"),
        entry("d", b"5"),
        entry("e", type=FOLDER),
        entry("e/old", b"6"),
    )
    above = archive(
        entry("a/.wh.gone"),
        entry("b", type=FOLDER),
        entry("b/.wh..wh..opq"),
        entry("b/new", b"7"),
        entry(".wh.c"),
        entry("c", type=FOLDER),  # the whiteout hides the folder below, not this one
        entry("c/new", b"8"),
        entry(".wh.d"),
        entry("d", b"9"),
        entry("e", type=FOLDER),
        entry("e/new", b"10"),
        entry(".wh.e"),
        entry(".wh..wh.plnk", type=FOLDER),
        entry(".wh.never"),
    )
    found = contents(await export(room, below, above))
    assert found == {"a/stays": b"2", "b/new": b"7", "c/new": b"8", "d": b"9", "e/new": b"10"}


async def test_missing_parents_look_as_they_do_below(room: Snapshots) -> None:
    below = archive(
        entry("usr", type=FOLDER, mode=0o751, uid=3, gid=4, mtime=9),
        entry("usr/lib", type=FOLDER, mode=0o700, mtime=10),
        entry("lib", type=SYMLINK, linkname="usr/lib"),
        entry("gone", type=FOLDER, mode=0o700),
        entry("gone/old", b""),
    )
    above = archive(entry("usr/lib/x/y", b"1"), entry("lib/z", b"2"), entry(".wh.gone"), entry("gone/new", b"3"))
    data = await export(room, below, above)
    found = members(data)
    assert (found["usr"].mode, found["usr"].uid, found["usr"].gid, found["usr"].mtime) == (0o751, 3, 4, 9)
    assert (found["usr/lib"].mode, found["usr/lib/x"].mode, found["gone"].mode) == (0o700, 0o755, 0o755)
    assert found["lib"].issym()
    assert contents(data) == {"usr/lib/x/y": b"1", "usr/lib/z": b"2", "gone/new": b"3"}


TRICKS = {
    "dots": [entry("../outside", b"x")],
    "deep dots": [entry("a", type=FOLDER), entry("a/../../outside", b"x")],
    "whiteout of dots": [entry("a/.wh...")],
    "whiteout of nothing": [entry("a/.wh.")],
    "hard link outside": [entry("x", type=LINK, linkname="../../outside")],
    "hard link to nothing": [entry("x", type=LINK, linkname="/etc/passwd")],
    "hard link to a folder": [entry("a", type=FOLDER), entry("x", type=LINK, linkname="a")],
    "file as folder": [entry("a", b""), entry("a/b", b"")],
    "too long": [entry("x" * 256, b"")],
    "circle": [entry("a", type=SYMLINK, linkname="b"), entry("b", type=SYMLINK, linkname="a"), entry("a/x", b"")],
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_tricks_are_refused_by_name(room: Snapshots, trick: str) -> None:
    name = TRICKS[trick][-1][0].name
    with pytest.raises(Invalid, match="cannot unpack") as caught:
        await apply(room, 1, 0, archive(entry("before", b"x"), *TRICKS[trick]))
    assert repr(name) in str(caught.value)
    assert room.layers() == []


async def test_links_stay_inside_the_layer(room: Snapshots, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    data = archive(
        entry("absolute", type=SYMLINK, linkname=str(outside)),
        entry("absolute/planted", b"x"),
        entry("up", type=SYMLINK, linkname="../" * 40 + str(outside).strip("/")),
        entry("up/victim", b"changed"),
        entry("/rooted/../etc/file", b"y"),
        entry("victim", type=SYMLINK, linkname=str(outside / "victim")),
        entry("victim", b"in the place of the link"),
        entry("steal", type=LINK, linkname="absolute/planted"),
        entry("magic", type=SYMLINK, linkname="/proc/self/root"),
        entry("magic/escaped", b"z"),
    )
    await apply(room, 1, 0, data)
    assert os.listdir(outside) == ["victim"]
    assert (outside / "victim").read_text() == "safe"
    layer = folder_of(room, 1)
    inside = layer / str(outside).strip("/")
    assert sorted(os.listdir(inside)) == ["planted", "victim"]
    assert (layer / "etc" / "file").exists()
    assert (layer / "victim").read_text() == "in the place of the link"
    assert (layer / "proc" / "self" / "root" / "escaped").exists()
    assert not Path("/escaped").exists()


async def test_later_entries_replace_earlier_ones(room: Snapshots) -> None:
    data = archive(
        entry("a", type=FOLDER),
        entry("a/b", type=FOLDER),
        entry("a/b/c", b"1"),
        entry("a", b"now a file"),
        entry("d", b"file"),
        entry("d", type=FOLDER),
        entry("d/e", b"2"),
        entry("f", type=FIFO),
        entry("f", type=SYMLINK, linkname="x"),
        entry("d", type=FOLDER, mode=0o700),
        entry("same", b"linked"),
        entry("same", type=LINK, linkname="same"),
    )
    assert contents(await export(room, data)) == {"a": b"now a file", "d/e": b"2", "same": b"linked"}
    assert stat.S_IMODE((folder_of(room, 1) / "d").stat().st_mode) == 0o700


async def test_truncated_streams_leave_nothing(room: Snapshots) -> None:
    data = archive(entry("first", b"x" * 5000), entry("second", b"y" * 5000))
    for size in (100, 700, 3000, 6300):
        with pytest.raises(Invalid, match="too early"):
            await apply(room, 1, 0, data[:size])
    assert room.layers() == []


async def test_a_failing_source_is_reported_and_a_cancelled_one_ends_the_child(room: Snapshots) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield archive(entry("file", b"x"))[:512]
        raise NotFound("the blob is gone")

    with pytest.raises(NotFound, match="the blob is gone"):
        await room.apply(chain_id(1), None, failing())

    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield archive(entry("file", b"x"))[:512]
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(room.apply(chain_id(1), None, endless()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert room.layers() == []


async def test_an_early_refusal_does_not_wait_for_the_client(room: Snapshots) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield archive(entry("../x", b""))
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        with pytest.raises(Invalid, match="leads out"):
            await room.apply(chain_id(1), None, slow())


async def test_two_at_once_unpack_once(room: Snapshots) -> None:
    data = archive(entry("file", b"x" * 100_000))
    sizes = await asyncio.gather(*(apply(room, 1, 0, data) for _ in range(4)))
    assert len(set(sizes)) == 1


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
