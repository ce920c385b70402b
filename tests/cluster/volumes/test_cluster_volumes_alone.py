"""Volumes that one pod at a time may have: who has them outlives the agent, and goes with the pod's folder."""

import shutil
from pathlib import Path

import pytest

from boxship.cluster.node.volumes.alone import is_alone, take


@pytest.mark.parametrize(("modes", "alone"), [([], False), (["ReadWriteOnce"], False), (["ReadWriteOncePod"], True)])
def test_which(modes: list[str], alone: bool) -> None:
    assert is_alone({"spec": {"accessModes": modes}}) is alone


def test_one_pod_has_it_until_its_folder_goes(tmp_path: Path) -> None:
    root = tmp_path / "pods"
    assert take(root, "first", {"v1": "data"}) == ""
    (root / "file").touch()
    for _ in range(2):  # nothing is remembered but what lies there
        assert take(root, "second", {"v0": "more", "v1": "disk"}) == "disk"
        assert take(root, "first", {"v1": "data"}) == ""
    assert take(root, "third", {"v0": "free"}) == ""  # who did not get all that it wanted has none of it
    shutil.rmtree(root / "first")
    assert take(root, "second", {"v1": "disk"}) == ""
    assert take(root, "first", {"v1": "data"}) == "data"
