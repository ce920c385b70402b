"""Layers on a real overlayfs: unpacking, whiteouts, tricks, streams that end too early."""

import asyncio
import gzip
import hashlib
import lzma
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from layers_kit import apply, folder_of
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
    entry,
    gather,
    members,
)

from boxship.errors import Invalid, NotFound
from boxship.snapshots import Snapshots


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
