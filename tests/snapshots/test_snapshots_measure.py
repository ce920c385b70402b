"""How much a tree takes, also one that a container has made to be a trouble."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.snapshots.child import measure as counting
from boxship.snapshots.child.measure import measure


def measured(root: Path) -> tuple[int, int]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return measure(descriptor)
    finally:
        os.close(descriptor)


def du(root: Path, *words: str) -> int:
    said = subprocess.run(["du", "-s", *words, str(root)], capture_output=True, text=True, check=True).stdout
    return int(said.split()[0])


def test_as_du_counts(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/file").write_bytes(bytes(100_000))
    os.link(tmp_path / "a/file", tmp_path / "a/b/again")
    (tmp_path / "link").symlink_to("/etc")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    found = measured(tmp_path)
    assert found == (du(tmp_path, "-B1"), du(tmp_path, "--inodes"))


def test_folders_in_folders_need_few_descriptors(tmp_path: Path) -> None:
    depth = 3000
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    before = len(os.listdir("/proc/self/fd"))
    assert measured(tmp_path)[1] == depth + 1
    assert len(os.listdir("/proc/self/fd")) == before
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_what_is_moved_meanwhile_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container hides nothing by moving folders while they are counted."""
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/b/one", "a/two", "three"):
        (tmp_path / name).write_bytes(bytes(10_000))
    enter, entered = counting._enter, []

    def moving(here: int, level: counting._Level) -> int:
        found = enter(here, level)
        entered.append(found)
        if len(entered) == 2:
            (tmp_path / "a/b").rename(tmp_path / "moved")
        return found

    monkeypatch.setattr(counting, "_enter", moving)
    assert measured(tmp_path) == (du(tmp_path, "-B1"), du(tmp_path, "--inodes"))
    assert len(entered) == 4


@given(st.recursive(st.integers(0, 9000), lambda inner: st.lists(inner, max_size=4), max_leaves=12))
def test_every_tree_as_du_counts(tree: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "root", tree)
        root = Path(folder)
        assert measured(root) == (du(root, "-B1"), du(root, "--inodes"))


def make(path: Path, tree: object) -> None:
    if isinstance(tree, int):
        path.write_bytes(bytes(tree))
        return
    assert isinstance(tree, list)
    path.mkdir()
    for number, inner in enumerate(tree):
        make(path / str(number), inner)
