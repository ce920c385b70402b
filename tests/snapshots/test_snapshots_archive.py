"""The Docker archive API on real roots: a stopped container's overlay and volumes, a running one's view."""

import asyncio
import contextlib
import os
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from snapshot_archives import (
    CHARACTER,
    FOLDER,
    LINK,
    SYMLINK,
    archive,
    chain_id,
    contents,
    entry,
    gather,
    names,
    stream,
)

from boxship.errors import Denied, Exhausted, Invalid, NotFound
from boxship.snapshots import Snapshots
from boxship.snapshots import archive as docker_archive
from boxship.spec.mount import Mount
from boxship.sys.mount import mount, mounted_under, unmount


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Path]:
    """A container's root, with something outside that must stay as it is."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").write_text("inner")
    (root / "etc" / "passwd").chmod(0o640)
    (root / "data").mkdir()
    (root / "data" / "file").write_text("data")
    (root / "link").symlink_to("/data/./file")
    (root / "folder").symlink_to("data")
    (root / "dangling").symlink_to("data/missing/..")
    (root / "circle").symlink_to("circle")
    (root / "leaves").symlink_to("../../outside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    yield root
    assert os.listdir(tmp_path / "outside") == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"
    assert not mounted_under(tmp_path)


async def get(root: Path, path: str) -> bytes:
    return await gather(docker_archive.get(str(root), path))


async def put(root: Path, path: str, data: bytes, **options: object) -> None:
    await docker_archive.put(str(root), path, stream(data), **options)  # type: ignore[arg-type]


async def test_stat(root: Path) -> None:
    found = await docker_archive.stat(str(root), "/etc/passwd")
    info = (root / "etc" / "passwd").stat()
    assert (found.name, found.size, found.mode, found.mtime) == ("passwd", 5, info.st_mode, info.st_mtime_ns)
    assert found.link_target == ""
    assert stat.S_ISDIR((await docker_archive.stat(str(root), "/")).mode)


@pytest.mark.parametrize(
    ("path", "name", "target"),
    [
        ("link", "link", "/data/file"),
        ("/folder", "folder", "/data"),
        ("/folder/", "folder", ""),
        ("/folder/.", ".", ""),
        ("/folder/file", "file", ""),
        ("dangling", "dangling", "/data"),
        ("/circle", "circle", "circle"),
        ("/leaves", "leaves", "/outside"),
        ("/", "/", ""),
        ("", "/", ""),
        ("/etc/../data/./file", "file", ""),
        ("../../../etc", "etc", ""),
    ],
)
async def test_stat_of_links_and_odd_paths(root: Path, path: str, name: str, target: str) -> None:
    found = await docker_archive.stat(str(root), path)
    assert (found.name, found.link_target) == (name, target)


@pytest.mark.parametrize(
    "path", ["/missing", "/etc/passwd/", "/etc/passwd/x", "/link/", "/dangling/", "/leaves/secret"]
)
async def test_what_is_not_there(root: Path, path: str) -> None:
    with pytest.raises(NotFound) as caught:
        await docker_archive.stat(str(root), path)
    assert str(caught.value) == path
    with pytest.raises(NotFound):
        await get(root, path)
    with pytest.raises((NotFound, Invalid)):
        await put(root, path, archive(entry("x", b"")))


async def test_get_names_the_top_entry(root: Path) -> None:
    assert names(await get(root, "/data")) == ["data", "data/file"]
    assert names(await get(root, "/data/")) == ["data", "data/file"]
    assert names(await get(root, "/data/.")) == [".", "./file"]
    assert names(await get(root, "/folder/")) == ["folder", "folder/file"]
    assert names(await get(root, "/folder")) == ["folder"]
    assert contents(await get(root, "/etc/passwd")) == {"passwd": b"inner"}
    assert contents(await get(root, "/folder/file")) == {"file": b"data"}
    assert "/etc" in names(await get(root, "/"))


async def test_put_makes_files_inside(root: Path) -> None:
    data = archive(
        entry("new", type=FOLDER, mode=0o750, uid=12, gid=13, mtime=5),
        entry("new/file", b"x", mode=0o4711, uid=4_000_000, mtime=6.5),
        entry("folder/via-link", b"y"),
        entry("etc/passwd", b"replaced"),
        entry("null", type=CHARACTER, devmajor=1, devminor=3),
        entry("hard", type=LINK, linkname="etc/passwd"),
    )
    await put(root, "/", data)
    info = (root / "new" / "file").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o4711, 4_000_000, 6.5)
    assert ((root / "new").stat().st_mtime, stat.S_IMODE((root / "new").stat().st_mode)) == (5, 0o750)
    assert (root / "data" / "via-link").read_text() == "y"
    assert (root / "hard").read_text() == "replaced"
    assert (root / "null").is_char_device()


async def test_put_can_give_files_to_the_user(root: Path) -> None:
    data = archive(
        entry("a", b"", uid=5), entry("b", type=FOLDER, uid=5), entry("c", type=SYMLINK, linkname="x", uid=5)
    )
    await put(root, "/data", data, owner=(1000, 1001))
    for name in "abc":
        info = (root / "data" / name).lstat()
        assert (info.st_uid, info.st_gid) == (1000, 1001)


async def test_put_follows_the_folder_s_link_inside(root: Path) -> None:
    await put(root, "/folder", archive(entry("new", b"x")))
    assert (root / "data" / "new").exists()
    before = (root / "data").stat()
    await put(root, "/folder/.", archive(entry(".", type=FOLDER, mode=0o700), entry("./newer", b"x")))
    assert stat.S_IMODE((root / "data").stat().st_mode) == stat.S_IMODE(before.st_mode)
    assert (root / "data" / "newer").exists()


async def test_put_wants_a_folder(root: Path) -> None:
    with pytest.raises(Invalid, match="extraction point is not a directory"):
        await put(root, "/etc/passwd", archive(entry("x", b"")))


async def test_put_may_keep_kinds(root: Path) -> None:
    with pytest.raises(Invalid, match='cannot overwrite directory "/data" with non-directory "data"'):
        await put(root, "/", archive(entry("data", b"")), no_overwrite_dir_non_dir=True)
    with pytest.raises(Invalid, match='cannot overwrite non-directory "/etc/passwd" with directory "etc/passwd"'):
        await put(root, "/", archive(entry("etc/passwd", type=FOLDER)), no_overwrite_dir_non_dir=True)
    await put(root, "/", archive(entry("data", b"now a file"), entry("etc/passwd", type=FOLDER)))
    assert (root / "data").read_text() == "now a file"
    assert (root / "etc" / "passwd").is_dir()


TRICKS = {
    "dots": [entry("../planted", b"x")],
    "absolute": [entry("/../../planted", b"x")],
    "hard link out": [entry("x", type=LINK, linkname="../../outside/secret")],
    "through links": [entry("l", type=SYMLINK, linkname="../../outside"), entry("l/secret", b"x")],
    "rubbish": [],
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_put_refuses_tricks(root: Path, trick: str) -> None:
    data = archive(*TRICKS[trick]) if TRICKS[trick] else os.urandom(2000)
    with pytest.raises(Invalid, match=r"cannot unpack|cannot read"):
        await put(root, "/data", data)


async def test_put_through_planted_links_stays_inside(root: Path, tmp_path: Path) -> None:
    outside = str(tmp_path / "outside")
    (root / outside.strip("/")).mkdir(parents=True)
    data = archive(
        entry("l", type=SYMLINK, linkname=outside),
        entry("l/secret", b"x"),
        entry("m", type=SYMLINK, linkname=outside + "/secret"),
        entry("m", b"y"),
    )
    await put(root, "/data", data)
    assert (root / outside.strip("/") / "secret").read_text() == "x"
    assert (root / "data" / "m").read_text() == "y"


async def test_a_race_of_links_never_leads_out(root: Path, tmp_path: Path) -> None:
    """Somebody in the container keeps swapping a folder for a link while an archive is unpacked into it."""
    done = threading.Event()
    (root / "data" / "a").mkdir()

    def swap() -> None:
        count = 0
        while not done.is_set():
            count += 1
            with contextlib.suppress(OSError):  # the other side makes and misses the folder too
                os.rename(root / "data" / "a", root / "data" / f"b{count}")
                os.symlink(tmp_path / "outside", root / "data" / "a")
                os.unlink(root / "data" / "a")
            with contextlib.suppress(FileExistsError):
                os.mkdir(root / "data" / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        data = archive(*(entry(f"a/secret{number}", b"x") for number in range(3000)))
        for _ in range(3):
            with contextlib.suppress(Invalid):  # it may stumble over a link, inside
                await put(root, "/data", data)
    finally:
        done.set()
        thread.join()


async def test_truncated_uploads_are_invalid(root: Path) -> None:
    with pytest.raises(Invalid, match="ends too early within 'b'"):
        await put(root, "/data", archive(entry("a", b"x"), entry("b", b"y" * 4000))[:3000])


async def test_magic_links_are_refused(root: Path) -> None:
    """A container that sees the machine's /proc must not lead us out through it."""
    (root / "proc").mkdir()
    (root / "escape").symlink_to("/proc/self/root/etc")
    mount(Mount("proc", "proc", str(root / "proc")))
    try:
        with pytest.raises((Invalid, NotFound)):
            await put(root, "/proc/self/cwd/data", archive(entry("planted", b"")))
        with pytest.raises((Invalid, NotFound)):
            await docker_archive.stat(str(root), "/proc/self/root/etc/passwd")
        with pytest.raises((Invalid, NotFound)):
            await get(root, "/proc/self/exe/")
    finally:
        unmount(root / "proc")
    assert not (root / "data" / "planted").exists()


async def test_read_only_roots_are_denied(root: Path) -> None:
    mount(Mount("tmpfs", "tmpfs", str(root / "data"), ("ro",)))
    try:
        with pytest.raises(Denied, match="Read-only file system"):
            await put(root, "/data", archive(entry("x", b"")))
        with pytest.raises(Denied, match="Read-only file system"):
            await put(root, "/data", b"")
    finally:
        unmount(root / "data")


async def test_a_full_disk_is_exhausted(root: Path) -> None:
    mount(Mount("tmpfs", "tmpfs", str(root / "data"), ("size=64k",)))
    try:
        with pytest.raises(Exhausted, match="cannot unpack 'big': No space left on device"):
            await put(root, "/data", archive(entry("big", os.urandom(100_000))))
    finally:
        unmount(root / "data")


async def test_a_stopped_container_shows_its_volumes(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots", mount_points=())
    layer = archive(entry("data", type=SYMLINK, linkname="/srv"), entry("srv", type=FOLDER), entry("srv/below", b""))
    await snapshots.apply(chain_id(1), None, stream(layer))
    await snapshots.prepare("key", chain_id(1))
    volume = tmp_path / "volume"
    (volume / "sub").mkdir(parents=True)
    (volume / "inside").write_text("volume")
    (tmp_path / "file").write_text("single")
    root, mounts = snapshots.view("key")
    binds = (
        Mount("bind", str(volume), "/data", ("rbind", "rprivate")),
        Mount("bind", str(volume), "/made/on/the/way", ("rbind", "ro")),
        Mount("bind", str(tmp_path / "file"), "/etc/single", ("bind",)),
    )
    mounts = (*mounts, *binds)
    assert names(await gather(docker_archive.get(root, "/srv", mounts=mounts))) == ["srv", "srv/inside", "srv/sub"]
    assert contents(await gather(docker_archive.get(root, "/etc/single", mounts=mounts))) == {"single": b"single"}
    await docker_archive.put(root, "/data/sub", stream(archive(entry("new", b"x"))), mounts=mounts)
    assert (volume / "sub" / "new").exists()
    with pytest.raises(Denied):
        await docker_archive.put(root, "/made/on/the/way", stream(archive(entry("new", b"x"))), mounts=mounts)
    await docker_archive.put(root, "/", stream(archive(entry("top", b"x"))), mounts=mounts)
    assert (1, "/top") in await snapshots.changes("key")
    assert not mounted_under(tmp_path)
    mounted = await snapshots.mount("key")
    assert snapshots.view("key") == (str(mounted), ())
    await snapshots.remove("key")
    await snapshots.close()


RUNNING = """
import os, sys
from boxship.sys import mount as m
from boxship.spec.mount import Mount
from boxship.sys.path import unshare
unshare(0x20000)
m.set_propagation("/", "rprivate")
root = sys.argv[1]
m.mount(Mount("tmpfs", "tmpfs", root + "/data"))
open(root + "/data/only-inside", "w").close()
os.chroot(root)
os.chdir("/")
print("ready", flush=True)
sys.stdin.read()
"""


async def test_a_running_container_is_seen_from_inside(root: Path) -> None:
    argv = [sys.executable, "-c", RUNNING, str(root)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    inside = f"/proc/{process.pid}/root"
    try:
        assert names(await gather(docker_archive.get(inside, "/data"))) == ["data", "data/only-inside"]
        await docker_archive.put(inside, "/data", stream(archive(entry("new", b"x"))))
        assert "data/new" in names(await gather(docker_archive.get(inside, "/data")))
        assert (await docker_archive.stat(inside, "/link")).link_target == "/data/file"
    finally:
        await process.communicate(b"")
    assert os.listdir(root / "data") == ["file"]
