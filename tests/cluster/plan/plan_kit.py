"""A node's facts, pods, and a small API for tests of planning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

UID = "11111111-2222-3333-4444-555555555555"


def facts(root: Path = Path("/nowhere/pods"), **changes: Any) -> NodeFacts:
    known: dict[str, Any] = {
        "node": "one",
        "root": root,
        "cgroup": "boxship-pods-test",
        "dns": ("10.96.0.10",),
        "addresses": ("192.0.2.1",),
        "cpu_milli": 2000,
        "memory_bytes": 4 << 30,
        "storage_bytes": 10 << 30,
        "memory_capacity": 8 << 30,
        "resolv_conf": root / "no-resolv.conf",
    }
    return NodeFacts(**{**known, **changes})


def container(name: str = "main", **fields: Any) -> Object:
    return {"name": name, "image": "busybox", **fields}


def pod(*containers: Object, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "uid": UID, **(metadata or {})},
        "spec": {"nodeName": "one", "containers": list(containers) or [container()], **spec},
    }


class Stored:
    """Objects by kind, namespace and name."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {
            (f"v1/{one['kind'].lower()}s", one["metadata"]["namespace"], one["metadata"]["name"]): one
            for one in objects
        }

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        found = self.objects.get((resource, namespace, name))
        if found is None:
            raise Failure(404, "NotFound", f'{resource.rpartition("/")[2]} "{name}" not found')
        return found


def config_map(name: str, data: Mapping[str, str], **fields: Any) -> Object:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data), **fields}


def secret(name: str, data: Mapping[str, str]) -> Object:
    """`data` in base64."""
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": dict(data)}
