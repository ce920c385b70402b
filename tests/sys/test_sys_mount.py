"""Mounts in the kernel for real: overlays of many layers, binds, namespaces, and paths that stay in their root."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Internal, Invalid
from boxship.spec.mount import Mount
from boxship.sys.mount import bind, detach_held, mount, mounted_under, parse_mountinfo, split_options, unmount
from boxship.sys.overlay import MAXIMUM_LAYERS, has_layer_options, open_overlay, overlay
from boxship.sys.path import open_in_root, resolve_in_root

OPTIONS = ("index=off", "redirect_dir=off", "metacopy=off")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder under which the test must leave no mount."""
    yield tmp_path
    left = mounted_under(tmp_path)
    for info in reversed(left):
        unmount(info.target)
    assert not left


def make_layers(place: Path, count: int) -> list[str]:
    layers = []
    for number in range(count):
        folder = place / "layers" / f"{number:064x}" / "fs"
        folder.mkdir(parents=True)
        (folder / f"file{number}").write_bytes(b"")
        (folder / "same").write_text(str(number))
        layers.append(str(folder))
    for name in ("upper", "work", "merged"):
        (place / name).mkdir()
    return layers


def test_mountinfo_is_parsed() -> None:
    text = (
        "36 35 98:0 /a\\040b /mnt\\040two\\134x rw,noatime shared:1 master:2 - ext4 /dev/root rw,errors=continue\n"
        "37 36 0:5 / /x rw - tmpfs none rw\nrubbish\n"
    )
    first, second = parse_mountinfo(text)
    assert (first.root, first.target, first.kind, first.source) == ("/a b", "/mnt two\\x", "ext4", "/dev/root")
    assert (first.propagation, first.options) == (("shared:1", "master:2"), ("rw", "noatime"))
    assert second.filesystem_options == ("rw",)
    assert second.propagation == ()


@given(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=30))
def test_mountinfo_undoes_any_escape(name: str) -> None:
    escaped = name
    for letter in "\\ \t\n#":
        escaped = escaped.replace(letter, f"\\{ord(letter):03o}")
    (info,) = parse_mountinfo(f"1 2 0:1 / /{escaped} rw - tmpfs none rw")
    assert info.target == f"/{name}"


@given(st.text(max_size=200))
def test_mountinfo_never_fails_on_lines_without_a_dash(text: str) -> None:
    assert parse_mountinfo(text.replace("-", "")) == []


def test_options_become_flags_and_data() -> None:
    assert split_options(["ro", "nosuid", "size=1m", "rw", "", "mode=755"]) == (2, "size=1m,mode=755")


BY_LAYER = pytest.mark.skipif(not has_layer_options(), reason="the kernel takes no layers one by one")


@pytest.mark.parametrize("by_layer", [pytest.param(True, marks=BY_LAYER), False])
def test_overlay_carries_500_layers(place: Path, by_layer: bool) -> None:
    layers = make_layers(place, MAXIMUM_LAYERS)
    overlay(layers, place / "upper", place / "work", place / "merged", options=OPTIONS, by_layer=by_layer)
    try:
        assert (place / "merged" / "same").read_text() == "0"
        assert len(os.listdir(place / "merged")) == MAXIMUM_LAYERS + 1
        (place / "merged" / "same").write_text("new")
        assert (place / "upper" / "same").read_text() == "new"
    finally:
        assert unmount(place / "merged")
    assert not unmount(place / "merged")


def test_overlay_refuses_501_layers(place: Path) -> None:
    with pytest.raises(Invalid, match="501 layers, at most 500"):
        overlay(["/x"] * 501, None, None, place)


@pytest.mark.parametrize("name", ["a,b", "a:b", "a\\b", "a b", "ä", "x" * 120 + "/" + "y" * 160])
def test_overlay_takes_odd_and_long_paths(place: Path, name: str) -> None:
    odd = place / name
    odd.mkdir(parents=True)
    layers = make_layers(odd, 2)
    overlay(layers, odd / "upper", odd / "work", odd / "merged", options=OPTIONS)
    try:
        (odd / "merged" / "new").write_text("x")
        assert (odd / "upper" / "new").exists()
    finally:
        unmount(odd / "merged")


@BY_LAYER
def test_overlay_may_be_read_only_and_detached(place: Path) -> None:
    tree = open_overlay(make_layers(place, 2), None, None, read_only=True)
    try:
        assert sorted(os.listdir(os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=tree))) == ["file0", "file1", "same"]
        assert not mounted_under(place)
        with pytest.raises(OSError, match="Read-only"):
            os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=tree)
    finally:
        os.close(tree)


def test_overlay_of_nothing_is_internal_and_leaves_nothing(place: Path) -> None:
    make_layers(place, 1)
    with pytest.raises(Internal, match=r"cannot mount overlay on .*: No such file"):
        overlay([f"{place}/missing"], place / "upper", place / "work", place / "merged")
    with pytest.raises(Internal, match=r"cannot mount overlay on .*: No such file"):
        overlay([f"{place}/missing"], place / "upper", place / "work", place / "merged", by_layer=False)


def test_mount_takes_values(place: Path) -> None:
    layers = make_layers(place, 2)
    words = (*(f"lowerdir+={layer}" for layer in layers), f"upperdir={place}/upper", f"workdir={place}/work", *OPTIONS)
    mount(Mount("overlay", "overlay", f"{place}/merged", words))
    mount(Mount("tmpfs", "tmpfs", f"{place}/work", ("size=64k", "ro", "nosuid")))
    infos = mounted_under(place)
    assert [info.kind for info in infos] == ["overlay", "tmpfs"]
    assert {"ro", "nosuid"} <= set(infos[1].options)
    for info in infos:
        assert unmount(info.target)
    with pytest.raises(Internal, match=r"cannot mount nothing on .*: No such device"):
        mount(Mount("nothing", "nothing", f"{place}/work"))


def test_held_mounts_live_until_the_descriptor_is_closed(place: Path) -> None:
    mount(Mount("tmpfs", "tmpfs", str(place)))
    (place / "file").write_text("x")
    held = detach_held(place)
    assert held is not None
    assert not (place / "file").exists()
    assert os.stat("file", dir_fd=held).st_size == 1
    os.close(held)
    assert detach_held(place) is None
    assert detach_held(place / "missing") is None


def test_bind_read_only_can_cover_what_lies_below(place: Path) -> None:
    (place / "source" / "below").mkdir(parents=True)
    (place / "target").mkdir()
    mount(Mount("tmpfs", "tmpfs", f"{place}/source/below"))
    try:
        for words, writable in ((("rbind", "ro"), True), (("rbind", "ro", "rro", "rprivate"), False)):
            bind(f"{place}/source", f"{place}/target", words)
            try:
                with pytest.raises(OSError, match="Read-only"):
                    (place / "target" / "x").write_text("")
                if writable:
                    (place / "target" / "below" / "x").write_text("")
                else:
                    with pytest.raises(OSError, match="Read-only"):
                        (place / "target" / "below" / "x").write_text("")
            finally:
                for info in reversed(mounted_under(place / "target")):
                    unmount(info.target)
    finally:
        unmount(f"{place}/source/below")


def test_bind_takes_descriptors_files_and_refuses_unknown_words(place: Path) -> None:
    (place / "source").write_text("bound")
    (place / "target").write_text("")
    source = os.open(place / "source", os.O_PATH)
    target = os.open(place / "target", os.O_PATH)
    bind(source, target, ("bind",))
    os.close(source)
    os.close(target)
    assert (place / "target").read_text() == "bound"
    assert unmount(place / "target")
    with pytest.raises(Invalid, match="unknown option of a bind mount: wrong"):
        bind(f"{place}/source", f"{place}/target", ("wrong",))
    with pytest.raises(Internal, match="No such file"):
        bind(f"{place}/missing", f"{place}/target")


NAMESPACE = """
import os, sys
from boxship.spec.mount import Mount
from boxship.sys import mount as m
m.enter_private_namespace()
m.mount(Mount("tmpfs", "tmpfs", sys.argv[1]))
open(sys.argv[1] + "/inside", "w").close()
cgroups = [info for info in m.read_mountinfo() if info.kind == "cgroup"]
unified = [info for info in m.read_mountinfo() if info.kind == "cgroup2" and info.target != "/sys/fs/cgroup"]
print("mixed" if cgroups and unified else "plain", flush=True)
sys.stdin.read()
"""
JOIN = """
import os, sys
from boxship.sys.mount import join_mount_namespace
join_mount_namespace(int(sys.argv[2]))
print(os.listdir(sys.argv[1]))
"""


def test_private_namespace_hides_its_mounts_and_can_be_joined(place: Path) -> None:
    def cgroups() -> list[str]:
        return [info.target for info in mounted_under("/sys/fs/cgroup")]

    before = cgroups()
    argv = [sys.executable, "-c", NAMESPACE, str(place)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "plain\n"
        assert os.listdir(place) == []
        assert cgroups() == before
        joined = [sys.executable, "-c", JOIN, str(place), str(holder.pid)]
        assert subprocess.check_output(joined, text=True, timeout=20) == "['inside']\n"
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.check_output([*joined[:-1], "999999999"], stderr=subprocess.DEVNULL, timeout=20)


def test_open_in_root_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("inner")
    (tmp_path / "absolute").symlink_to("/etc")
    (tmp_path / "up").symlink_to("../../../../../../etc")
    (tmp_path / "circle").symlink_to("circle")
    root = os.open(tmp_path, os.O_PATH)
    try:
        for path in ("/etc/passwd", "absolute/passwd", "up/passwd", "../../etc/passwd", "etc/../../etc/passwd"):
            descriptor = open_in_root(root, path, os.O_RDONLY)
            assert os.read(descriptor, 100) == b"inner"
            os.close(descriptor)
        with pytest.raises(OSError, match="Too many levels"):
            open_in_root(root, "circle", os.O_RDONLY)
        with pytest.raises(FileNotFoundError):
            open_in_root(root, "missing", os.O_RDONLY)
        with pytest.raises(OSError, match="Invalid"):
            open_in_root(root, "a\0b", os.O_RDONLY)
        assert resolve_in_root(root, "absolute/../up/./x") == "/etc/x"
        assert resolve_in_root(root, "../missing/../etc") == "/etc"
        with pytest.raises(OSError, match="Too many levels"):
            resolve_in_root(root, "circle/x")
    finally:
        os.close(root)


def test_open_in_root_refuses_magic_links() -> None:
    root = os.open("/", os.O_PATH)
    try:
        with pytest.raises(OSError, match="Too many levels"):
            open_in_root(root, "proc/self/root/etc", os.O_PATH)
        assert resolve_in_root(root, "proc/self/root/etc") == "/etc"
    finally:
        os.close(root)
