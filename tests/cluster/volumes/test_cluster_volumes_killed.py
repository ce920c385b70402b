"""A kill between two steps of the filesystem: the next start makes whole what was begun, and leaves nothing behind."""

import os
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from volumes_kit import Node, running_node

from boxship.cluster.node.runtime import Sandbox, SandboxSpec
from boxship.cluster.objects import Object

STEPS: list[tuple[Any, str]] = [
    (os, "rename"),
    (os, "symlink"),
    (os, "chown"),
    (os, "rmdir"),
    (os, "unlink"),
    (shutil, "rmtree"),
    (Path, "mkdir"),
    (Path, "chmod"),
    (Path, "write_bytes"),
    (Path, "touch"),
    (Path, "unlink"),
    (Path, "rmdir"),
]
MOUNTS = ("memory", "pin", "unmount")
MOST = 400  # steps


class Killed(Exception):
    """What nobody catches."""


class Life:
    """Counts steps; at the given one everything ends, and nothing happens any more."""

    def __init__(self, patch: pytest.MonkeyPatch, node: Node) -> None:
        self.left = MOST
        for owner, name in STEPS:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))
        for name in MOUNTS:
            patch.setattr(node.mounts, name, self._counted(getattr(node.mounts, name)))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **words: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return real(*args, **words)

        return step


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(tmp_path) as found:
        yield found


@pytest.fixture
async def pod(node: Node) -> Object:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
    await node.world.client.create("v1/configmaps", "default", made)
    mounts = [{"name": "disk", "mountPath": "/d", "subPath": "part"}, {"name": "c", "mountPath": "/c", "subPath": "a"}]
    return await node.pod(
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        containers=[{"name": "main", "image": "busybox", "volumeMounts": mounts}],
        securityContext={"fsGroup": 2000},
    )


async def begin(node: Node, pod: Object) -> None:
    volumes = await node.files.volumes.prepare(pod)
    uid = pod["metadata"]["uid"]
    sandbox = Sandbox("s", SandboxSpec(uid=uid, namespace="default", name="web"), 1)
    request = await node.files.planner.container(
        pod, "main", attempt=0, sandbox=sandbox, volumes=volumes, image_id="sha256:1"
    )
    part, single, *_ = sorted(request.spec.mounts, key=lambda mount: mount.target, reverse=True)[1:]
    assert {part.target, single.target} == {"/d", "/c"}


def shows(node: Node, pod: Object) -> bool:
    uid = pod["metadata"]["uid"]
    folder = node.root / "memory" / uid / "c"
    whole = (folder / "a").read_text() == "1" and (folder / "b").read_text() == "2"
    return (
        whole
        and os.path.ismount(node.root / uid / "volumes" / "memory")
        and (node.root / uid / "volumes/disk/part").is_dir()
    )


def lives() -> Iterator[int]:
    """Ever more steps until the kill; not each number, for the time that it takes."""
    yield from range(random.randrange(3), MOST, 3)


async def test_what_a_kill_leaves_is_made_whole(node: Node, pod: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    life, kills = Life(monkeypatch, node), 0
    for steps in lives():
        life.left = steps
        try:
            await begin(node, pod)
            break
        except Killed:
            kills += 1
        life.left = MOST
        await node.restart()
        await begin(node, pod)
        assert shows(node, pod)
        await node.restart()
        await node.files.volumes.release(pod["metadata"]["uid"])
        assert not node.files.volumes.known()
    assert kills > 10


async def test_a_release_is_completed(node: Node, pod: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    life, kills, uid = Life(monkeypatch, node), 0, pod["metadata"]["uid"]
    for steps in lives():
        life.left = MOST
        await begin(node, pod)
        life.left = steps
        try:
            await node.files.volumes.release(uid)
            break
        except Killed:
            kills += 1
        life.left = MOST
        await node.restart()
        assert uid in node.files.volumes.known()
        await node.files.volumes.release(uid)
        assert not node.files.volumes.known()
        assert not (node.root / uid).exists()
        assert not (node.root / "memory" / uid).exists()
    assert kills > 5
