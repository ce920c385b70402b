"""`cp`: names, packing, and unpacking of archives that nobody vouches for."""

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cli.copying import PathState, PieceReader, choose_target, decode_state, pack, split_argument, unpack
from boxship.errors import Invalid

FOLDER, FILE = PathState(True), PathState(False)


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("web:/a", ("web", "/a")),
        ("web:a:b", ("web", "a:b")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("-", ("", "-")),
        ("a", ("", "a")),
        (":a", ("", ":a")),
    ],
)
def test_sides(argument: str, parts: tuple[str, str]) -> None:
    assert split_argument(argument) == parts


@pytest.mark.parametrize(
    ("source_folder", "destination", "state", "target"),
    [
        (False, "/d", FOLDER, ("/d", "")),
        (True, "/d/", FOLDER, ("/d/", "")),
        (False, "/d/f", FILE, ("/d", "f")),
        (False, "/d/new", None, ("/d", "new")),
        (True, "/d/new", None, ("/d", "new")),
        (True, "/d/new/", None, ("/d", "new")),
        (False, "new", None, (".", "new")),
        (False, "/new", None, ("/", "new")),
    ],
)
def test_targets(source_folder: bool, destination: str, state: PathState | None, target: tuple[str, str]) -> None:
    assert choose_target("s", source_folder, destination, state) == target


@pytest.mark.parametrize(
    ("source_folder", "destination", "state"),
    [(True, "/f", FILE), (False, "/f/", FILE), (False, "/new/", None), (False, "/f/.", FILE)],
)
def test_targets_that_do_not_fit(source_folder: bool, destination: str, state: PathState | None) -> None:
    with pytest.raises(Invalid):
        choose_target("s", source_folder, destination, state)


def test_the_state_header() -> None:
    import base64
    import json

    def header(**content: object) -> str:
        return base64.b64encode(json.dumps(content).encode()).decode()

    assert decode_state(header(mode=1 << 31 | 0o755)).folder
    assert decode_state(header(mode=1 << 27, linkTarget="/x")).target == "/x"
    for broken in ("", "!", header(), header(mode="x")):
        with pytest.raises(Invalid):
            decode_state(broken)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "a").write_bytes(b"a" * 1000)
    (top / "sub" / "é").write_bytes(b"")
    (top / ("long" * 40)).write_bytes(b"x")
    (top / "link").symlink_to("a")
    (top / "sub" / "dangling").symlink_to("/nowhere")
    (top / "folder-link").symlink_to("sub")
    os.link(top / "a", top / "hard")
    os.mkfifo(top / "pipe")
    (top / "a").chmod(0o4750)
    os.utime(top / "sub", ns=(1, 1_600_000_000_123_456_789))
    os.utime(top / "link", ns=(1, 1_500_000_000_000_000_001), follow_symlinks=False)
    return top


def look(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        state = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(top))] = (state.st_mode, state.st_mtime_ns, state.st_nlink, content)
    return found


@pytest.mark.parametrize("name", ["tree", "other", "."])
def test_what_is_packed_is_unpacked_the_same(tree: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    total = unpack(pack(str(tree), name, follow=False), str(out), "", owners=False)
    made = out if name == "." else out / name
    before, after = look(tree), look(made)
    if name == ".":
        before.pop("."), after.pop(".")
    assert before == after
    assert total == 1000 + 1


def test_what_becomes_the_user_s_own_gives_nobody_his_rights(tmp_path: Path) -> None:
    """A program of somebody's that runs as him must not run as whoever unpacks it; nor is a disk open to all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, uid, mode in (
            ("theirs", tarfile.REGTYPE, 12345, 0o6755),
            ("mine", tarfile.REGTYPE, os.geteuid(), 0o4755),
            ("disk", tarfile.BLKTYPE, os.geteuid(), 0o666),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.gid, member.mode, member.devmajor = kind, uid, uid, mode, 250
            archive.addfile(member)
    unpack([buffer.getvalue()], str(tmp_path), "", owners=False)
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"theirs": 0o755, "mine": 0o4755, "disk": 0o600}
    (tmp_path / "kept").mkdir()
    unpack([buffer.getvalue()], str(tmp_path / "kept"), "", owners=True)
    assert stat.S_IMODE((tmp_path / "kept" / "theirs").lstat().st_mode) == 0o6755


def test_unpacking_can_give_a_new_name(tree: Path, tmp_path: Path) -> None:
    unpack(pack(str(tree), "tree", follow=False), str(tmp_path), "renamed", owners=False)
    assert look(tmp_path / "renamed") == look(tree)
    unpack(pack(str(tree / "a"), "a", follow=False), str(tmp_path), "b", owners=False)
    assert (tmp_path / "b").read_bytes() == b"a" * 1000


def test_links_are_followed_when_asked(tree: Path, tmp_path: Path) -> None:
    unpack(pack(str(tree / "link"), "x", follow=True), str(tmp_path), "", owners=False)
    unpack(pack(str(tree / "link"), "y", follow=False), str(tmp_path), "", owners=False)
    assert (tmp_path / "x").read_bytes() == b"a" * 1000 and os.readlink(tmp_path / "y") == "a"


def archive(*members: tuple[str, int, str]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = bytes([kind]), link
            member.size = 3 if kind == ord("0") else 0
            tar.addfile(member, io.BytesIO(b"bad") if member.size else None)
    yield buffer.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        [("../out", ord("0"), "")],
        [("x/../../out", ord("0"), "")],
        [("link", ord("2"), "/OUTSIDE"), ("link/file", ord("0"), "")],
        [("link", ord("2"), "../outside"), ("link/sub/file", ord("0"), "")],
        [("hard", ord("1"), "../outside/secret")],
        [("link", ord("2"), "../outside/secret"), ("hard", ord("1"), "link")],
        [("folder", ord("5"), ""), ("folder", ord("0"), "")],
    ],
)
def test_an_archive_cannot_reach_outside(tmp_path: Path, members: list[tuple[str, int, str]]) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    named = [(name, kind, link.replace("/OUTSIDE", str(outside))) for name, kind, link in members]
    with pytest.raises(Invalid):
        unpack(archive(*named), str(inside), "", owners=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "outside"]
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_text() == "secret" and (outside / "secret").stat().st_nlink == 1


def test_a_file_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    secret.write_text("secret")
    unpack(archive(("link", ord("2"), str(secret)), ("link", ord("0"), "")), str(inside), "", owners=False)
    assert secret.read_text() == "secret" and (inside / "link").read_bytes() == b"bad"
    assert stat.S_ISREG((inside / "link").lstat().st_mode)


def test_absolute_names_stay_inside(tmp_path: Path) -> None:
    unpack(archive(("/etc", ord("5"), ""), ("/etc/x", ord("0"), "")), str(tmp_path), "", owners=False)
    assert (tmp_path / "etc" / "x").read_bytes() == b"bad"


@given(st.lists(st.binary(max_size=20), max_size=8), st.lists(st.integers(1, 30), max_size=10))
def test_pieces_read_as_a_file(pieces: list[bytes], sizes: list[int]) -> None:
    reader = PieceReader(pieces)
    whole = b"".join(reader.read(size) for size in sizes)
    assert whole == b"".join(pieces)[: sum(sizes)]


@settings(max_examples=50)
@given(data=st.data())
def test_damaged_archives_are_errors_and_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = bytearray(b"".join(archive(("a", ord("0"), ""), ("b", ord("5"), ""), ("b/c", ord("2"), "x"))))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, 2047))] = data.draw(st.integers(0, 255))
    top = tmp_path_factory.mktemp("damaged")
    (top / "in").mkdir()
    with contextlib.suppress(Invalid, OSError):
        unpack([bytes(whole)], str(top / "in"), "", owners=False)
    assert [path.name for path in top.iterdir()] == ["in"]
