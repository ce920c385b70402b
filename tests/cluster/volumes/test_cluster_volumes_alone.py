"""Volumes that one pod at a time may have: who has them outlives the agent, and goes with the pod's folder."""

import shutil
from pathlib import Path

import pytest
from volumes_kit import running_node

from boxship.cluster.node.planning import NotPossible
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


async def test_after_a_kill_nobody_else_gets_it(tmp_path: Path) -> None:
    """Pods ask again in any order, and the one that waits may be the first."""
    modes, size = ["ReadWriteOncePod"], {"storage": "1Gi"}
    async with running_node(tmp_path) as node:
        client = node.world.client
        claim = {"accessModes": modes, "resources": {"requests": size}, "volumeName": "pv", "storageClassName": ""}
        made = await client.create(
            "v1/persistentvolumeclaims",
            "default",
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p"}, "spec": claim},
        )
        reference = {"namespace": "default", "name": "p", "uid": made["metadata"]["uid"]}
        folder = {"path": str(tmp_path / "data"), "type": "DirectoryOrCreate"}
        volume = {"accessModes": modes, "capacity": size, "hostPath": folder, "claimRef": reference}
        named = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": volume}
        await client.create("v1/persistentvolumes", "", named)
        bound = {"status": {"phase": "Bound", "accessModes": modes, "capacity": size}}
        await client.patch("v1/persistentvolumeclaims", "default", "p", bound, subresource="status")
        source = {"name": "v", "persistentVolumeClaim": {"claimName": "p"}}
        first, second = [await node.pod(source, name=name) for name in ("first", "second")]
        await node.prepare(first)
        await node.restart()
        with pytest.raises(NotPossible, match="ReadWriteOncePod access mode and is already in use by another pod"):
            await node.prepare(second)
        await node.prepare(first)
        await node.files.volumes.release(first["metadata"]["uid"])
        assert (await node.prepare(second))["v"] == tmp_path / "data"
