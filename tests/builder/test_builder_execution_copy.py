"""COPY and ADD for real: where files go, what they look like there, and that nothing leads outside."""

import bz2
import gzip
import lzma
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from backports import zstd
from execution_kit import Bench, archive, context, open_bench

from boxship.builder.operations import CopyOperation, CopySource, FolderTree, InlineFile, LayerTree, Selection
from boxship.errors import Conflict, Invalid, NotFound


@pytest.fixture
async def bench(private_mounts: None) -> AsyncIterator[Bench]:
    async with open_bench() as opened:
        yield opened


TREE: dict[str, str | bytes | None] = {
    "a.txt": "a",
    "b.txt": "b",
    "c.md": "c",
    "dir/x.txt": "x",
    "dir/sub/y.txt": "y",
    "dir/sub/z.md": "z",
    "empty": None,
}


def added(bench: Bench, tree: LayerTree) -> set[str]:
    """The names in the top layer."""
    return set(bench.members(tree.layers[-1]))


@pytest.mark.parametrize(
    ("paths", "to", "expected"),
    [
        (("a.txt",), "/new", {"new"}),
        (("a.txt",), "/new/", {"new", "new/a.txt"}),
        (("a.txt",), "/tmp", {"tmp", "tmp/a.txt"}),
        (("a.txt",), "/x/y/z", {"x", "x/y", "x/y/z"}),
        (("/a.txt",), "/new", {"new"}),
        (("../../a.txt",), "/new", {"new"}),
        (("dir",), "/new", {"new", "new/x.txt", "new/sub", "new/sub/y.txt", "new/sub/z.md"}),
        (("dir/",), "/tmp", {"tmp", "tmp/x.txt", "tmp/sub", "tmp/sub/y.txt", "tmp/sub/z.md"}),
        (("dir/.",), "/new/", {"new", "new/x.txt", "new/sub", "new/sub/y.txt", "new/sub/z.md"}),
        (("*.txt",), "/new/", {"new", "new/a.txt", "new/b.txt"}),
        (("?.m[a-e]",), "/new/", {"new", "new/c.md"}),
        (("d*",), "/new/", {"new", "new/x.txt", "new/sub", "new/sub/y.txt", "new/sub/z.md"}),
        (("d*/*/*.txt",), "/new/", {"new", "new/y.txt"}),
        (("a.txt", "c.md", "dir"), "/n/", {"n", "n/a.txt", "n/c.md", "n/x.txt", "n/sub", "n/sub/y.txt", "n/sub/z.md"}),
        (("empty",), "/new", {"new"}),
    ],
)
async def test_where_files_go(bench: Bench, paths: tuple[str, ...], to: str, expected: set[str]) -> None:
    tree = await bench.copy_from(context(bench.home, TREE), *paths, to=to)
    assert added(bench, tree) == expected


async def test_wildcards_that_match_nothing_are_no_error(bench: Bench) -> None:
    operation = CopyOperation(
        sources=(CopySource(FolderTree(context(bench.home, TREE)), Selection(("none*",))),), destination="/new/"
    )
    assert await bench.execution.copy(bench.busybox, operation, bench.lease) is None


async def test_what_is_not_there_is_named(bench: Bench) -> None:
    folder = context(bench.home, TREE)
    with pytest.raises(NotFound, match="cannot find /none in the context"):
        await bench.copy_from(folder, "none", to="/new/")
    with pytest.raises(NotFound, match="cannot find /dir/none in the context"):
        await bench.execution.checksum(CopySource(FolderTree(folder), Selection(("dir/none",))), parents=False)


async def test_wildcards_can_be_escaped_or_off(bench: Bench) -> None:
    folder = context(bench.home, {"a[1].txt": "1", "a1.txt": "2", "s*": "3"})
    tree = await bench.copy_from(folder, "a\\[1\\].txt", to="/new/")
    assert added(bench, tree) == {"new", "new/a[1].txt"}
    tree = await bench.copy_from(folder, "s*", to="/new/", wildcards=False)
    assert added(bench, tree) == {"new", "new/s*"}
    with pytest.raises(Invalid, match="syntax error in pattern"):
        await bench.copy_from(folder, "a[", to="/new/")


async def test_parents_keeps_the_way(bench: Bench) -> None:
    folder = context(bench.home, TREE)
    (folder / "dir").chmod(0o750)
    tree = await bench.copy_from(folder, "dir/sub/*.txt", "a.txt", to="/new", parents=True)
    assert added(bench, tree) == {"new", "new/a.txt", "new/dir", "new/dir/sub", "new/dir/sub/y.txt"}
    assert bench.members(tree.layers[-1])["new/dir"].mode == 0o750
    tree = await bench.copy_from(folder, "dir/./sub/z.md", to="/new/", parents=True)
    assert added(bench, tree) == {"new", "new/sub", "new/sub/z.md"}
    tree = await bench.copy_from(folder, "./**/*.txt", to="/new/", parents=True)
    assert {name for name in added(bench, tree) if name.endswith(".txt")} == {
        "new/a.txt",
        "new/b.txt",
        "new/dir/x.txt",
        "new/dir/sub/y.txt",
    }
    with pytest.raises(NotFound):
        await bench.copy_from(folder, "dir/none", to="/new/", parents=True)


async def test_exclude(bench: Bench) -> None:
    folder = context(bench.home, TREE)
    tree = await bench.copy_from(folder, "", to="/n/", exclude=("**/*.md",))
    assert added(bench, tree) == {
        "n",
        "n/a.txt",
        "n/b.txt",
        "n/dir",
        "n/dir/x.txt",
        "n/dir/sub",
        "n/dir/sub/y.txt",
        "n/empty",
    }
    tree = await bench.copy_from(folder, "*.txt", "c.md", to="/n/", exclude=("a*",))
    assert added(bench, tree) == {"n", "n/b.txt", "n/c.md"}
    tree = await bench.copy_from(folder, "dir", to="/n/", exclude=("sub", "!sub/y.txt"))
    assert added(bench, tree) == {"n", "n/x.txt", "n/sub", "n/sub/y.txt"}


async def test_ignored_files_are_not_there(bench: Bench) -> None:
    folder = context(bench.home, TREE)
    patterns = ("*.md", "dir/*", "!dir/sub", "empty")
    tree = await bench.copy_from(folder, "", to="/n/", patterns=patterns)
    assert added(bench, tree) == {"n", "n/a.txt", "n/b.txt", "n/dir", "n/dir/sub", "n/dir/sub/y.txt", "n/dir/sub/z.md"}
    for path in ("c.md", "dir/x.txt", "empty"):
        with pytest.raises(NotFound):
            await bench.copy_from(folder, path, to="/n/", patterns=patterns)
    everything_but_one = ("*", "!dir/sub/y.txt")
    tree = await bench.copy_from(folder, ".", to="/n/", patterns=everything_but_one)
    assert added(bench, tree) == {"n", "n/dir", "n/dir/sub", "n/dir/sub/y.txt"}


async def test_owners_and_modes(bench: Bench) -> None:
    folder = context(bench.home, {"f": "f", "d/g": "g", "run": "#!"})
    (folder / "run").chmod(0o4755)
    os.chown(folder / "f", 12, 34)
    tree = await bench.copy_from(folder, "", to="/n/")
    entries = bench.members(tree.layers[-1])
    assert (entries["n/f"].uid, entries["n/f"].gid, entries["n/run"].mode) == (0, 0, 0o4755)
    tree = await bench.copy_from(folder, "", to="/n/", owner="web:staff", mode="u=rwX,go=rX")
    entries = bench.members(tree.layers[-1])
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(1000, 50)}
    assert (entries["n/f"].mode, entries["n/d"].mode, entries["n/run"].mode) == (0o644, 0o755, 0o755)
    tree = await bench.copy_from(folder, "f", to="/n/", owner="7", mode="600")
    entries = bench.members(tree.layers[-1])
    assert (entries["n/f"].uid, entries["n/f"].gid, entries["n/f"].mode) == (7, 7, 0o600)
    tree = await bench.copy_from(folder, "f", to="/n/", owner="web")
    assert bench.members(tree.layers[-1])["n/f"].gid == 2000
    for owner, why in (("nobody-here", "unable to find user"), ("web:none", "unable to find group")):
        with pytest.raises(Invalid, match=why):
            await bench.copy_from(folder, "f", to="/n/", owner=owner)
    for mode in ("999", "10000", "u+q", "", "rwx"):
        if mode:
            with pytest.raises(Invalid, match="invalid chmod"):
                await bench.copy_from(folder, "f", to="/n/", mode=mode)


async def test_what_a_copy_keeps(bench: Bench) -> None:
    folder = context(bench.home, {"f": "f", "capable": "c"})
    os.utime(folder / "f", ns=(1, 1_600_000_000_123_456_789))
    os.setxattr(folder / "f", "user.note", b"kept")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(folder / "capable", "security.capability", capability)
    os.symlink("f", folder / "link")
    os.symlink("/etc/passwd", folder / "outside")
    os.link(folder / "f", folder / "second")
    os.mkfifo(folder / "pipe", 0o640)
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)
    listener.bind("sock")
    os.chdir(here)
    with open(folder / "sparse", "wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"middle")
    tree = await bench.copy_from(folder, "", to="/n/")
    listener.close()
    entries = bench.members(tree.layers[-1])
    assert set(entries) == {"n"} | {
        f"n/{name}" for name in ("f", "capable", "link", "outside", "second", "pipe", "null", "sparse")
    }
    assert entries["n/f"].mtime == pytest.approx(1_600_000_000.123, abs=0.01)
    assert entries["n/link"].linkname == "f" and entries["n/outside"].linkname == "/etc/passwd"
    assert entries["n/second"].islnk() and entries["n/second"].linkname == "n/f"
    assert entries["n/pipe"].isfifo() and entries["n/pipe"].mode == 0o640
    assert (entries["n/null"].devmajor, entries["n/null"].devminor) == (1, 3)
    assert entries["n/f"].pax_headers["SCHILY.xattr.user.note"] == "kept"
    assert "SCHILY.xattr.security.capability" in entries["n/capable"].pax_headers
    top = bench.home / "snapshots" / "layers" / tree.layers[-1].chain_id[7:] / "fs" / "n"
    assert os.stat(top / "sparse").st_blocks * 512 < 1 << 20
    assert os.getxattr(top / "capable", "security.capability") == capability
    assert os.stat(top / "f").st_ino == os.stat(top / "second").st_ino


async def test_a_link_that_is_named_is_followed(bench: Bench) -> None:
    folder = context(bench.home, {"d/f": "deep", "real": "r"})
    os.symlink("d", folder / "ld")
    os.symlink("/real", folder / "lf")
    os.symlink("../../../../../../etc/passwd", folder / "out")
    os.symlink("loop", folder / "loop")
    tree = await bench.copy_from(folder, "ld", "lf", to="/n/")
    assert added(bench, tree) == {"n", "n/f", "n/lf"}
    assert await bench.text(tree, "/n/lf") == "r"
    tree = await bench.copy_from(folder, "ld/f", to="/n/")
    assert added(bench, tree) == {"n", "n/f"}
    with pytest.raises(NotFound):
        await bench.copy_from(folder, "out", to="/n/")
    with pytest.raises((NotFound, Invalid)):
        await bench.copy_from(folder, "loop", to="/n/")
    tree = await bench.copy_from(folder, "ld", to="/n/", follow=False)
    assert bench.members(tree.layers[-1])["n/ld"].issym()


async def test_links_in_the_destination_stay_inside(bench: Bench) -> None:
    layer = archive(
        ("real/", ""),
        ("abs", "-> /real"),
        ("up", "-> ../../../../real"),
        ("dangling", "-> /made/here"),
        ("f", "old"),
        ("lf", "-> f"),
    )
    base = await bench.layer(bench.busybox, layer)
    folder = context(bench.home, {"a": "a", "d/x": "x"})
    for to in ("/abs/", "/abs", "/up/", "/up"):
        tree = await bench.copy_from(folder, "a", to=to, base=base)
        assert added(bench, tree) == {"real", "real/a"}
    tree = await bench.copy_from(folder, "a", to="/dangling/", base=base)
    assert added(bench, tree) == {"made", "made/here", "made/here/a"}
    tree = await bench.copy_from(folder, "d", to="/abs", base=base)
    assert added(bench, tree) == {"real", "real/x"}
    tree = await bench.copy_from(folder, "a", to="/lf", base=base)
    assert added(bench, tree) == {"f"} and await bench.text(tree, "/lf") == "a"
    # Below the destination nothing is followed.
    inner = context(bench.home, {"abs/x": "x"})
    with pytest.raises(Invalid, match="cannot copy to non-directory: /abs"):
        await bench.copy_from(inner, "", to="/", base=base)
    assert not (Path("/real")).exists() and not Path("/made").exists()


async def test_what_is_in_the_way(bench: Bench) -> None:
    base = await bench.layer(bench.busybox, archive(("d/", ""), ("d/f", "old"), ("file", "file"), ("d/sub/", "")))
    folder = context(bench.home, {"f": "new", "sub": "file", "file/x": "x"})
    tree = await bench.copy_from(folder, "f", to="/d/", base=base)
    assert await bench.text(tree, "/d/f") == "new"
    with pytest.raises(Invalid, match="cannot replace to directory /d/sub with file"):
        await bench.copy_from(folder, "", to="/d", base=base)
    with pytest.raises(Invalid, match="cannot copy to non-directory: /file"):
        await bench.copy_from(folder, "file", to="/file", base=base)
    with pytest.raises(Invalid, match="cannot copy to non-directory: /file"):
        await bench.copy_from(folder, "f", to="/file/", base=base)


async def test_a_folder_that_is_there_keeps_its_look_but_what_is_in_it_is_overwritten(bench: Bench) -> None:
    base = await bench.layer(bench.busybox, archive(("d/", "", 0o711), ("d/sub/", "", 0o711), ("d/sub/kept", "k")))
    folder = context(bench.home, {"sub/new": "n"})
    folder.chmod(0o700)
    (folder / "sub").chmod(0o750)
    tree = await bench.copy_from(folder, "", to="/d", base=base)
    entries = bench.members(tree.layers[-1])
    assert entries["d"].mode == 0o711 and entries["d/sub"].mode == 0o750
    seen = await bench.seen(tree)
    assert {"d/sub/kept", "d/sub/new"} <= set(seen)


async def test_setgid_folders_and_access_lists_do_not_leak_into_files(bench: Bench) -> None:
    base = await bench.layer(bench.busybox, archive(("d/", "", 0o2777)))
    fs = bench.home / "snapshots" / "layers" / base.layers[-1].chain_id[7:] / "fs"
    os.chown(fs / "d", 0, 77)
    folder = context(bench.home, {"f": "f", "s/g": "g"})
    (folder / "f").chmod(0o606)
    tree = await bench.copy_from(folder, "", to="/d", base=base)
    entries = bench.members(tree.layers[-1])
    assert {entries[name].gid for name in ("d/f", "d/s", "d/s/g")} == {0}
    assert entries["d/f"].mode == 0o606


async def test_link_is_a_layer_of_its_own(bench: Bench) -> None:
    folder = context(bench.home, {"f": "f"})
    first = await bench.copy_from(folder, "f", to="/opt/app/", link=True, epoch=1_000_000_000)
    other = await bench.layer(bench.busybox, archive(("opt/", "", 0o700), ("opt/x", "x")))
    second = await bench.copy_from(folder, "f", to="/opt/app/", link=True, base=other, epoch=1_000_000_000)
    assert first.layers[-1].blob == second.layers[-1].blob
    assert first.layers[-1].chain_id != second.layers[-1].chain_id
    named = await bench.copy_from(folder, "f", to="/opt/app/", link=True, owner="web")
    assert bench.members(named.layers[-1])["opt/app/f"].uid == 1000


async def test_epoch_bounds_times_and_makes_two_copies_one(bench: Bench) -> None:
    folder = context(bench.home, {"old": "o", "new": "n", "d/x": "x"})
    os.utime(folder / "old", (5, 5))
    layers = []
    for _ in range(2):
        tree = await bench.copy_from(folder, "", to="/n/m/", epoch=1_000_000)
        layers.append(tree.layers[-1])
        os.utime(folder / "new")
    assert layers[0].blob == layers[1].blob
    times = {name: entry.mtime for name, entry in bench.members(layers[0]).items()}
    assert times == {
        "n": 1_000_000,
        "n/m": 1_000_000,
        "n/m/d": 1_000_000,
        "n/m/d/x": 1_000_000,
        "n/m/new": 1_000_000,
        "n/m/old": 5,
    }
    fs = bench.home / "snapshots" / "layers" / layers[0].chain_id[7:] / "fs"
    assert {int(os.lstat(fs / name).st_mtime) for name in times if name != "n/m/old"} == {1_000_000}


async def test_from_another_tree(bench: Bench) -> None:
    other = await bench.layer(LayerTree(), archive(("srv/", ""), ("srv/f", "one", 0o640, 12, 34), ("srv/gone", "x")))
    other = await bench.layer(other, archive(("srv/.wh.gone", ""), ("srv/g", "two"), ("l", "-> /srv/f")))
    tree = await bench.copy_from(other, "/srv", "l", to="/n/")
    entries = bench.members(tree.layers[-1])
    assert set(entries) == {"n", "n/f", "n/g", "n/l"}
    assert (entries["n/f"].uid, entries["n/f"].gid, entries["n/f"].mode) == (12, 34, 0o640)
    one = await bench.layer(LayerTree(), archive(("only", "1")))
    assert added(bench, await bench.copy_from(one, "only", to="/n/")) == {"n", "n/only"}
    assert await bench.text(one, "only") == "1"
    with pytest.raises(NotFound, match="image or stage"):
        await bench.copy_from(other, "srv/gone", to="/n/")


async def test_several_trees_and_inline_files(bench: Bench) -> None:
    other = await bench.layer(LayerTree(), archive(("f", "layers")))
    third = await bench.layer(LayerTree(), archive(("t", "third")))
    folder = FolderTree(context(bench.home, {"a": "folder"}))
    sources = (
        CopySource(None, inline=InlineFile("i", b"inline")),
        CopySource(other, Selection(("f",))),
        CopySource(folder, Selection(("a",))),
        CopySource(third, Selection(("t",))),
    )
    tree = await bench.copy(bench.busybox, *sources, to="/n/", owner="web", mode="0640")
    entries = bench.members(tree.layers[-1])
    assert {(name, entry.uid, entry.mode) for name, entry in entries.items() if name != "n"} == {
        (f"n/{name}", 1000, 0o640) for name in "ifat"
    }
    assert await bench.text(tree, "/n/i") == "inline"
    single = await bench.copy(bench.busybox, sources[0], to="/etc/motd")
    assert await bench.text(single, "/etc/motd") == "inline"


async def test_odd_names(bench: Bench) -> None:
    folder = context(bench.home, {})
    names = [b"caf\xe9", b"new\nline", b"-rf", b" blank ", "grüße".encode(), b"x" * 255, b".wh", b"a\\b", b"[1]"]
    for name in names:
        (Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))).write_bytes(name)
    deep = folder
    for _ in range(40):
        deep = deep / ("d" * 100)
    os.makedirs(deep.parent.parent)
    tree = await bench.copy_from(folder, "", to="/n/")
    top = bench.home / "snapshots" / "layers" / tree.layers[-1].chain_id[7:] / "fs" / "n"
    for name in names:
        assert (top / os.fsdecode(name)).read_bytes() == name
    checksum = await bench.execution.checksum(CopySource(FolderTree(folder), Selection(("",))), parents=False)
    assert checksum.startswith("sha256:")


async def test_a_file_that_looks_like_a_whiteout_is_refused(bench: Bench) -> None:
    """An image layer has no way to say it: unpacking it again would take a file away."""
    folder = context(bench.home, {".wh.passwd": "x"})
    with pytest.raises(Invalid, match=r"\.wh\.passwd"):
        await bench.copy_from(folder, "", to="/etc/")


async def test_a_context_that_changes_is_noticed(bench: Bench) -> None:
    folder = context(bench.home, {"f": "one", "g": "g"})
    source = CopySource(FolderTree(folder), Selection(("",)))
    first = await bench.execution.checksum(source, parents=False)
    (folder / "f").write_text("two")
    with pytest.raises(Conflict, match="it changed while the build read it"):
        await bench.copy(bench.busybox, source, to="/n/")
    assert await bench.execution.checksum(source, parents=False) != first
    await bench.copy(bench.busybox, source, to="/n/")
    (folder / "h").write_text("one more")
    with pytest.raises(Conflict):
        await bench.copy(bench.busybox, source, to="/n/")


PACKERS = {"tar": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("packing", PACKERS)
async def test_archives_are_unpacked(bench: Bench, packing: str) -> None:
    data = PACKERS[packing](archive(("d/", ""), ("d/f", "in", 0o640, 5, 6)))
    folder = context(bench.home, {"a.any": data, "plain.gz": b"\x1f\x8bno", "text": "t"})
    tree = await bench.copy_from(folder, "a.any", "plain.gz", "text", to="/n/", unpack=True)
    entries = bench.members(tree.layers[-1])
    assert set(entries) == {"n", "n/d", "n/d/f", "n/plain.gz", "n/text"}
    assert (entries["n/d/f"].uid, entries["n/d/f"].gid, entries["n/d/f"].mode) == (5, 6, 0o640)
    owned = await bench.copy_from(folder, "a.any", to="/n", unpack=True, owner="web")
    assert bench.members(owned.layers[-1])["n/d/f"].uid == 1000
    source = CopySource(FolderTree(folder), Selection(("a.any",)), unpack=True)
    await bench.execution.checksum(source, parents=False)
    await bench.copy(bench.busybox, source, to="/n/")


async def test_archives_with_tricks_stay_inside(bench: Bench) -> None:
    outside = bench.home / "outside"
    outside.mkdir()
    for entries in (
        [("../../evil", "x")],
        [("l", f"-> {outside}"), ("l/evil", "x")],
        [("l", "-> ../../../../../.."), (f"l{outside}/evil", "x")],
        [("h", "=> ../../../etc/passwd")],
    ):
        folder = context(bench.home, {"a.tar": archive(*entries)})
        try:
            tree = await bench.copy_from(folder, "a.tar", to="/n/", unpack=True)
        except Invalid as error:
            assert "a.tar" in str(error)
        else:
            assert all(not name.startswith("..") for name in added(bench, tree))
    assert not list(outside.iterdir())


async def test_a_broken_archive_is_named(bench: Bench) -> None:
    data = archive(("f", "x" * 2000))
    folder = context(bench.home, {"a.tar": data[:1200]})
    with pytest.raises(Invalid, match=r"a\.tar.*ends too early"):
        await bench.copy_from(folder, "a.tar", to="/n/", unpack=True)


async def test_working_folders(bench: Bench) -> None:
    made = bench.on(bench.busybox, await bench.folder(bench.busybox, "/srv/a/b", owner="web"))
    entries = bench.members(made.layers[-1])
    assert {(name, entry.uid, entry.mode) for name, entry in entries.items()} == {
        (name, 1000, 0o755) for name in ("srv", "srv/a", "srv/a/b")
    }
    assert await bench.folder(made, "/srv/a") is None
    with pytest.raises(Invalid, match="a file is in the way"):
        await bench.folder(bench.busybox, "/etc/passwd/x")


async def test_many_files_in_one_folder(bench: Bench) -> None:
    folder = context(bench.home, {})
    for number in range(20_000):
        (folder / f"f{number}").touch()
    tree = await bench.copy_from(folder, "", to="/n/")
    assert len(added(bench, tree)) == 20_001


async def test_export_to_a_folder(bench: Bench) -> None:
    tree = await bench.layer(LayerTree(), archive(("d/", "", 0o750), ("d/f", "f", 0o640, 3, 4), ("l", "-> d")))
    target = bench.home / "exported"
    target.mkdir()
    assert [chunk async for chunk in await bench.execution.export(tree, target)] == []
    assert (target / "d/f").read_text() == "f" and os.readlink(target / "l") == "d"
    assert os.stat(target / "d/f").st_uid == 3 and stat.S_IMODE(os.stat(target / "d").st_mode) == 0o750
