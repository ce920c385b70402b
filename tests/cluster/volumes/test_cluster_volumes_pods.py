"""All volumes of a pod on one node, over an API in memory that lets the node see what its pods need."""

import asyncio
import base64
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from volumes_kit import Node, running_node
from world_kit import eventually

from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.runtime import Sandbox, SandboxSpec
from boxship.cluster.node.volumes import holding, trees
from boxship.cluster.objects.failure import Failure


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(tmp_path) as found:
        yield found


def secret(name: str, **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_everything_that_is_files(node: Node) -> None:
    client = node.world.client
    await client.create("v1/configmaps", "default", config_map("c", a="1", b="2"))
    await client.create("v1/secrets", "default", secret("s", k="v"))
    pod = await node.pod(
        {"name": "c", "configMap": {"name": "c", "items": [{"key": "a", "path": "x/y", "mode": 0o600}]}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "none", "configMap": {"name": "none", "optional": True}},
        {
            "name": "all",
            "projected": {
                "sources": [
                    {"configMap": {"name": "c"}},
                    {"secret": {"name": "s"}},
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
                ]
            },
        },
        {
            "name": "d",
            "downwardAPI": {
                "items": [
                    {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                    {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "requests.cpu"}},
                ]
            },
        },
        securityContext={"fsGroup": 2000},
    )
    found = await node.prepare(pod)
    assert (found["c"] / "x/y").read_text() == "1"
    assert stat.S_IMODE((found["c"] / "x/y").stat().st_mode) == 0o640
    assert (found["s"] / "k").read_text() == "v"
    assert (found["s"] / "k").stat().st_gid == 2000
    assert not [name for name in os.listdir(found["none"]) if not name.startswith("..")]
    assert {name for name in os.listdir(found["all"]) if not name.startswith("..")} == {
        "a",
        "b",
        "k",
        "labels",
        "token",
    }
    assert (found["all"] / "labels").read_text() == 'app="web"'
    token = (found["all"] / "token").read_text()
    assert token.count(".") == 2
    assert (found["d"] / "name").read_text() == "web"
    assert (found["d"] / "cpu").read_text() == "0"
    assert os.path.ismount(node.root / "memory")
    assert found["s"].is_relative_to(node.root / "memory")

    uid = pod["metadata"]["uid"]
    assert set(node.files.volumes.known()) == {uid}
    await node.files.volumes.release(uid)
    await node.files.volumes.release(uid)
    assert not node.files.volumes.known()
    assert os.listdir(node.root / "memory") == []


async def test_files_follow_their_objects_and_the_pods_labels(node: Node) -> None:
    client = node.world.client
    await client.create("v1/configmaps", "default", config_map("c", a="1"))
    pod = await node.pod(
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "late", "configMap": {"name": "late", "optional": True}},
        {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    )
    found = await node.prepare(pod)
    await client.patch("v1/configmaps", "default", "c", {"data": {"a": "2", "b": "3"}})
    await eventually(_same(found["c"] / "a", "2"), "the file follows")
    assert (found["c"] / "b").read_text() == "3"
    await client.create("v1/configmaps", "default", config_map("late", z="1"))
    await eventually(_same(found["late"] / "z", "1"), "what was missing appears")
    await client.delete("v1/configmaps", "default", "c")
    await node.prepare({**pod, "metadata": {**pod["metadata"], "labels": {"app": "other"}}})
    assert (found["d"] / "l").read_text() == 'app="other"'
    assert (found["c"] / "a").read_text() == "2"  # what is gone stays as it was


async def test_files_that_were_taken_away_are_made_again(node: Node) -> None:
    await node.world.client.create("v1/configmaps", "default", config_map("c", a="1"))
    pod = await node.pod({"name": "c", "configMap": {"name": "c"}})
    found = await node.prepare(pod)
    trees.remove(found["c"])
    assert await node.prepare(pod) == found
    assert (found["c"] / "a").read_text() == "1"


async def test_more_objects_than_watches(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MOST_WATCHES", 1)
    monkeypatch.setattr(holding, "POLL_SECONDS", 0.05)
    client, names = node.world.client, [f"c{number}" for number in range(3)]
    for name in names:
        await client.create("v1/configmaps", "default", config_map(name, a="1"))
    found = await node.prepare(await node.pod(*({"name": name, "configMap": {"name": name}} for name in names)))
    for name in names:
        await client.patch("v1/configmaps", "default", name, {"data": {"a": "2"}})
    for name in names:
        await eventually(_same(found[name] / "a", "2"), f"{name} follows")


def _same(path: Path, text: str) -> Any:
    async def look() -> bool:
        return path.exists() and path.read_text() == text

    return look


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"configMap": {"name": "none"}}, 'MountVolume.SetUp failed for volume "v" : configmap "none" not found'),
    ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
    ({"configMap": {"name": "c", "items": [{"key": "z", "path": "z"}]}}, "non-existent config key: z"),
    ({"nfs": {"server": "s", "path": "/"}}, "unsupported: volumes of kind nfs"),
    ({"csi": {"driver": "d.example"}}, "unsupported: volumes of kind csi"),
    ({"emptyDir": {"medium": "HugePages"}}, "unsupported: emptyDir.medium HugePages"),
    (
        {"projected": {"sources": [{"clusterTrustBundle": {"name": "b", "path": "p"}}]}},
        "unsupported: projected source clusterTrustBundle",
    ),
    ({"persistentVolumeClaim": {"claimName": "p"}}, 'PVC "default/p" is not bound'),
    ({"image": {"reference": "none"}}, 'volume "v" : image "none": no such image: none'),
    ({"hostPath": {"path": "/nowhere", "type": "Directory"}}, "/nowhere is not a directory"),
]


async def test_what_cannot_be_had_is_named(node: Node) -> None:
    await node.world.client.create("v1/configmaps", "default", config_map("c", a="1"))
    await node.world.client.create("v1/persistentvolumeclaims", "default", claim("p"))
    for number, (volume, message) in enumerate(REFUSED):
        pod = await node.pod({"name": "v", **volume}, name=f"p{number}")
        with pytest.raises(NotPossible) as refused:
            await node.prepare(pod)
        assert refused.value.reason == "FailedMount"
        assert message in refused.value.message


def claim(name: str, **spec: Any) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


async def test_files_of_an_image(node: Node) -> None:
    found = await node.files.volumes.prepare(await node.pod({"name": "i", "image": {"reference": "busybox"}}))
    assert (found["i"].kind, found["i"].path, found["i"].read_only) == ("image", "/trees/busybox", True)


async def test_empty_folders_survive_a_restart(node: Node) -> None:
    pod = await node.pod(
        {"name": "disk", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        securityContext={"fsGroup": 2000},
    )
    found = await node.prepare(pod)
    for path in found.values():
        assert stat.S_IMODE(path.stat().st_mode) & 0o2777 == 0o2777
        assert path.stat().st_gid == 2000
        (path / "kept").write_text("x")
    (found["disk"] / "big").write_bytes(b"x" * 100_000)
    os.link(found["disk"] / "big", found["disk"] / "same")
    (use,) = await node.files.volumes.usage(pod["metadata"]["uid"])
    assert (use.name, use.inodes, use.limit) == ("disk", 3, 1 << 30)
    assert 100_000 < use.used < 150_000
    await node.restart()
    assert set(node.files.volumes.known()) == {pod["metadata"]["uid"]}
    assert await node.prepare(pod) == found
    for path in found.values():
        assert (path / "kept").exists()
    await node.files.volumes.release(pod["metadata"]["uid"])
    assert not any(path.exists() for path in found.values())


async def test_a_claim_leads_to_a_folder(node: Node, tmp_path: Path) -> None:
    client = node.world.client
    (tmp_path / "data").mkdir()
    made = await client.create("v1/persistentvolumeclaims", "default", claim("p", volumeName="v", storageClassName=""))
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(tmp_path / "data")},
            "claimRef": {"namespace": "default", "name": "p", "uid": made["metadata"]["uid"]},
        },
    }
    await client.create("v1/persistentvolumes", "", volume)
    patch = {"status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}
    await client.patch("v1/persistentvolumeclaims", "default", "p", patch, subresource="status")
    pod = await node.pod({"name": "v", "persistentVolumeClaim": {"claimName": "p", "readOnly": True}})
    mounted = (await node.files.volumes.prepare(pod))["v"]
    assert (mounted.path, mounted.read_only) == (str(tmp_path / "data"), True)
    (tmp_path / "data" / "kept").write_text("x")
    await node.files.volumes.release(pod["metadata"]["uid"])
    assert (tmp_path / "data" / "kept").exists()


async def test_nothing_outside_is_removed_through_a_part(node: Node, tmp_path: Path) -> None:
    host = tmp_path / "host"
    (host / "part").mkdir(parents=True)
    (host / "part" / "precious").write_text("x")
    mounts = [{"name": "h", "mountPath": "/h", "subPath": "part"}]
    pod = await node.pod(
        {"name": "h", "hostPath": {"path": str(host)}},
        containers=[
            {"name": "main", "image": "i", "volumeMounts": mounts, "command": ["echo", "$(KUBERNETES_SERVICE_HOST)"]}
        ],
    )
    uid = pod["metadata"]["uid"]
    volumes = await node.files.volumes.prepare(pod)
    sandbox = Sandbox("s", SandboxSpec(uid=uid, namespace="default", name="web"), 1, addresses=("10.0.0.1",))
    async with asyncio.timeout(20):
        request = await node.files.planner.container(
            pod, "main", attempt=0, sandbox=sandbox, volumes=volumes, image_id="sha256:1"
        )
    place = Path(request.spec.mounts[0].source)
    assert (place / "precious").exists()
    assert request.spec.entrypoint == ("echo", "10.96.0.1")
    message = next(one for one in request.spec.mounts if one.target == "/dev/termination-log")
    assert Path(message.source).is_file()
    await node.restart()  # the mount is forgotten, not gone
    await node.files.volumes.release(uid)
    assert (host / "part" / "precious").exists()
    assert not place.exists()
    assert not (node.root / uid).exists()


async def test_a_part_is_as_it_was_when_the_container_started(node: Node) -> None:
    client = node.world.client
    await client.create("v1/configmaps", "default", config_map("c", a="1"))
    mounts = [{"name": "c", "mountPath": "/a", "subPath": "a"}]
    pod = await node.pod(
        {"name": "c", "configMap": {"name": "c"}}, containers=[{"name": "main", "image": "i", "volumeMounts": mounts}]
    )
    sandbox = Sandbox("s", SandboxSpec(uid=pod["metadata"]["uid"], namespace="default", name="web"), 1)

    async def start(attempt: int) -> Path:
        volumes = await node.files.volumes.prepare(pod)
        request = await node.files.planner.container(
            pod, "main", attempt=attempt, sandbox=sandbox, volumes=volumes, image_id="sha256:1"
        )
        return Path(request.spec.mounts[0].source)

    place = await start(0)
    assert place.read_text() == "1"
    held = place.open()  # as a container has it
    await client.patch("v1/configmaps", "default", "c", {"data": {"a": "2"}})
    await eventually(_same(node.root / "memory" / pod["metadata"]["uid"] / "c" / "a", "2"), "the volume follows")
    assert place.read_text() == "1"
    assert await start(1) == place
    assert place.read_text() == "2"
    with held:
        assert held.read() == "1"


async def test_tokens_are_replaced_before_their_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.cluster.node.volumes.tokens.SHARE", 0.0)  # at once
    monkeypatch.setattr("boxship.cluster.node.volumes.preparing.RETRY_SECONDS", 0.1)
    sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]
    found = await node.prepare(await node.pod({"name": "t", "projected": {"sources": sources}}))
    first = (found["t"] / "token").read_text()

    async def another() -> bool:
        return (found["t"] / "token").read_text() != first

    await eventually(another, "a new token")


async def test_a_provisioned_folder_goes_before_its_volume(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    client, folder = node.world.client, node.root.parent / "local-volumes"
    made = await client.create("v1/persistentvolumeclaims", "default", claim("p", volumeName="pv", storageClassName=""))
    await client.create("v1/persistentvolumes", "", provisioned("pv", folder / "pv", made))
    patch = {"status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}
    await client.patch("v1/persistentvolumeclaims", "default", "p", patch, subresource="status")
    pod = await node.pod({"name": "v", "persistentVolumeClaim": {"claimName": "p"}}, securityContext={"fsGroup": 2000})
    found = await node.prepare(pod)
    assert found["v"] == folder / "pv"
    assert found["v"].stat().st_gid == 2000
    (found["v"] / "data").write_text("x")
    await client.delete("v1/persistentvolumes", "", "pv")
    assert (found["v"] / "data").exists()  # still protected
    for wanted in (
        {"spec": {"capacity": {"storage": "9Gi"}}},
        {"metadata": {"finalizers": ["boxship.io/local-volume"]}},
    ):
        with pytest.raises(Failure, match="can only take the finalizer"):
            await node.client.patch("v1/persistentvolumes", "", "pv", wanted)
    await client.patch("v1/persistentvolumes", "", "pv", {"metadata": {"finalizers": ["boxship.io/local-volume"]}})

    async def gone() -> bool:
        return await node.world.found("v1/persistentvolumes", "", "pv") is None

    async def looked() -> bool:
        return bool(node.files.volumes.uses.called)  # type: ignore[attr-defined]

    real, uses = node.files.volumes.uses, mock.Mock(wraps=node.files.volumes.uses)
    monkeypatch.setattr(node.files.volumes, "uses", uses)
    await eventually(looked, "the node wants to remove it")
    assert (found["v"] / "data").exists()  # a container may run still
    assert real(str(found["v"]))
    await node.files.volumes.release(pod["metadata"]["uid"])
    await eventually(gone, "the volume goes")
    assert not found["v"].exists()


async def test_a_node_sees_its_own_local_volumes_alone(node: Node) -> None:
    made = await node.world.client.create("v1/persistentvolumeclaims", "default", claim("p"))
    other = provisioned("pv", Path("/x/pv"), made)
    other["metadata"]["labels"] = {"boxship.io/local-volume-node": "two"}
    await node.world.client.create("v1/persistentvolumes", "", other)
    with pytest.raises(Failure, match="forbidden"):
        await node.client.patch("v1/persistentvolumes", "", "pv", {"metadata": {"finalizers": []}})
    for labels in ("", "boxship.io/local-volume-node=two", "boxship.io/local-volume-node"):
        with pytest.raises(Failure, match="forbidden"):
            await node.client.list("v1/persistentvolumes", labels=labels)


def provisioned(name: str, path: Path, claim: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "labels": {"boxship.io/local-volume-node": "one"},
            "annotations": {"pv.kubernetes.io/provisioned-by": "boxship.io/local"},
            "finalizers": ["boxship.io/local-volume", "kubernetes.io/pv-protection"],
        },
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "local": {"path": str(path)},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["one"]}]}
                    ]
                }
            },
            "claimRef": {"namespace": "default", "name": "p", "uid": claim["metadata"]["uid"]},
        },
    }


async def test_nobody_works_on_a_pod_beside_another_also_after_a_release(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = await node.pod({"name": "e", "emptyDir": {}})
    volumes, at_work, most = node.files.volumes, 0, 0
    make = volumes._make  # type: ignore[attr-defined]

    async def slow(*arguments: Any) -> Any:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        try:
            for _ in range(50):
                await asyncio.sleep(0)
            return await make(*arguments)
        finally:
            at_work -= 1

    monkeypatch.setattr(volumes, "_make", slow)
    first = asyncio.create_task(volumes.prepare(pod))
    await asyncio.sleep(0)
    released = asyncio.create_task(volumes.release(pod["metadata"]["uid"]))
    await asyncio.sleep(0)
    second = asyncio.create_task(volumes.prepare(pod))
    await released
    await asyncio.gather(first, second, volumes.prepare(pod))
    assert most == 1


async def test_a_pod_with_users_of_its_own_gets_no_files_of_others(node: Node) -> None:
    pod = await node.pod({"name": "e", "emptyDir": {"medium": "Memory"}})
    pod["spec"] |= {"hostUsers": False, "securityContext": {"fsGroup": 65_536}}
    with pytest.raises(NotPossible, match="fsGroup 65536 is none of the users of a pod with hostUsers: false"):
        await node.files.volumes.prepare(pod)
