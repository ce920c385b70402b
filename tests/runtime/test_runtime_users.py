"""Users and groups of a container's own files, and images that lie about them."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.errors import BoxshipError, Internal, Invalid
from boxship.runtime.plan import Identity
from boxship.runtime.users import FILE_LIMIT, MAXIMUM_ID, resolve_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
# a comment
broken
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
web:x:1000:1001:,,,:/home/web:/bin/sh
homeless:x:1002:1002:::
1003:x:2000:2001:a name of digits:/d:/bin/sh
nobody:x:4294967294:4294967294:out of range:/:/
"""
GROUP = """root:x:0:
daemon:x:1:
web:x:1001:
extra:x:2500:web,daemon
audio:x:29:root,web
broken:x
far:x:99999999999:web
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


def who(root: Path, user: str, *groups: str) -> tuple[int, int, set[int], str]:
    identity = resolve_user(str(root), user, groups)
    return identity.uid, identity.gid, set(identity.groups) - {identity.gid}, identity.home


def test_which_groups_count(root: Path) -> None:
    for user, policy, groups in (
        ("web:77", "merge", {2500, 29, 5}),
        ("web", "merge", {2500, 29, 5}),
        ("web", "strict", {5}),
        ("web:77", "strict", {5}),
        ("5000", "merge", {5}),
    ):
        assert set(resolve_user(str(root), user, ("5",), policy).groups) == groups


def test_who_somebody_is(root: Path) -> None:
    assert who(root, "") == (0, 0, {29}, "/root")
    assert who(root, "root") == who(root, "0") == who(root, "")
    assert who(root, "web") == (1000, 1001, {2500, 29}, "/home/web")
    assert who(root, "1000") == who(root, "web")
    assert who(root, "web:daemon") == (1000, 1, set(), "/home/web"), "a named group stands alone"
    assert who(root, "web:77") == (1000, 77, set(), "/home/web")
    assert who(root, "5000") == (5000, 0, set(), "/")
    assert who(root, "5000:6000") == (5000, 6000, set(), "/")
    assert who(root, ":extra")[:2] == (0, 2500)
    assert who(root, "homeless")[3] == "/"
    assert who(root, "1003")[:2] == (2000, 2001), "a name that is there goes before the number"


def test_further_groups(root: Path) -> None:
    assert who(root, "daemon", "audio", "4000") == (1, 1, {2500, 29, 4000}, "/usr/sbin")
    assert who(root, "5000:6000", "extra") == (5000, 6000, {2500}, "/")


@pytest.mark.parametrize(
    ("user", "groups", "message"),
    [
        ("nope", (), "unable to find user nope: no matching entries in passwd file"),
        ("web:nope", (), "unable to find group nope: no matching entries in group file"),
        ("web", ("nope",), "unable to find group nope: no matching entries in group file"),
        ("-1", (), "unable to find user -1: no matching entries in passwd file"),
        (str(MAXIMUM_ID + 1), (), f"uids and gids must be in range 0-{MAXIMUM_ID}"),
        (f"0:{MAXIMUM_ID + 1}", (), f"uids and gids must be in range 0-{MAXIMUM_ID}"),
        ("9" * 5000, (), f"uids and gids must be in range 0-{MAXIMUM_ID}"),
    ],
)
def test_who_is_not_there(root: Path, user: str, groups: tuple[str, ...], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        resolve_user(str(root), user, groups)
    assert str(caught.value) == message


def test_an_image_without_files(tmp_path: Path) -> None:
    identity = resolve_user(str(tmp_path), "", ())
    assert (identity.uid, identity.gid) == (0, 0)
    assert resolve_user(str(tmp_path), "7:8", ()) == Identity(7, 8, (), "/")
    with pytest.raises(Invalid, match="unable to find user web"):
        resolve_user(str(tmp_path), "web", ())
    with pytest.raises(Internal, match="nowhere"):
        resolve_user(str(tmp_path / "nowhere"), "", ())


def test_links_stay_inside(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "passwd"
    outside.write_text("spy:x:66:66::/:\n")
    (root / "etc/passwd").unlink()
    for target in (str(outside), "../" * 20 + str(outside)[1:]):
        (root / "etc/passwd").symlink_to(target)
        with pytest.raises(Invalid, match="unable to find user spy"):
            resolve_user(str(root), "spy", ())
        (root / "etc/passwd").unlink()
    (root / "etc/passwd").symlink_to("/etc/real")
    (root / "etc/real").write_text("inner:x:67:68::/:\n")
    assert who(root, "inner")[:2] == (67, 68)


def test_what_is_no_file_is_not_opened(root: Path) -> None:
    """A pipe would hold us up, and to open a device may do something: a watchdog would reboot the machine."""
    (root / "etc/passwd").unlink()
    os.mkfifo(root / "etc/passwd")
    (root / "etc/group").unlink()
    os.mknod(root / "etc/group", 0o20666, os.makedev(1, 5))  # /dev/zero: endless if it were read
    assert who(root, "0")[:2] == (0, 0)
    (root / "etc/group").unlink()
    (root / "etc/group").mkdir()
    assert who(root, "12:13")[:2] == (12, 13)


def test_a_file_without_end_is_refused(root: Path) -> None:
    (root / "etc/passwd").write_text("x" * (FILE_LIMIT + 1))
    with pytest.raises(Invalid, match="more than"):
        resolve_user(str(root), "0", ())


@given(
    st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=12), st.lists(st.text(max_size=8), max_size=2)
)
@settings(max_examples=200, deadline=None)
def test_any_files_and_any_user(passwd: bytes, group: bytes, user: str, groups: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "etc").mkdir()
        (root / "etc/passwd").write_bytes(passwd)
        (root / "etc/group").write_bytes(b"a:x:1:b\n" + group)
        try:
            found = resolve_user(name, user, tuple(groups))
        except BoxshipError:
            return
        assert all(0 <= number <= MAXIMUM_ID for number in (found.uid, found.gid, *found.groups))
