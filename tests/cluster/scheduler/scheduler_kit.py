"""Nodes and pods for tests of the scheduler: short to write, whole as the API has them."""

from collections.abc import Iterable
from typing import Any

from boxship.cluster.scheduler.nodes import node_of
from boxship.cluster.scheduler.shapes import Pod, pod_of
from boxship.cluster.scheduler.world import World

Object = dict[str, Any]
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def node(
    name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "10", zone: str = "", labels: Any = None, **more: Any
) -> Object:
    """`more`: taints, unschedulable, images; and further amounts by `extra`."""
    found = {HOSTNAME: name, **({ZONE: zone} if zone else {}), **(labels or {})}
    spec = {key: more[key] for key in ("taints", "unschedulable") if key in more}
    amounts = {"cpu": cpu, "memory": memory, "pods": pods, **more.get("extra", {})}
    status = {"allocatable": amounts, "images": more.get("images", [])}
    return {"metadata": {"name": name, "labels": found}, "spec": spec, "status": status}


def pod(
    name: str,
    *,
    on: str = "",
    cpu: str = "",
    memory: str = "",
    namespace: str = "default",
    labels: Any = None,
    extra: Any = None,
    ports: Iterable[int] = (),
    image: str = "app",
    **spec: Any,
) -> Object:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value} | (extra or {})
    container = {
        "name": "main",
        "image": image,
        "resources": {"requests": requests},
        "ports": [{"containerPort": port, "hostPort": port} for port in ports],
    }
    metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}/{name}", "labels": labels or {}}
    started = spec.pop("started", "2026-01-01T00:00:00Z")
    nominated = spec.pop("nominated", "")
    return {
        "metadata": metadata,
        "spec": {"containers": [container], **({"nodeName": on} if on else {}), **spec},
        "status": {"startTime": started, "nominatedNodeName": nominated},
    }


def world_of(nodes: Iterable[Object], pods: Iterable[Object] = (), *, wide: int = 150) -> World:
    """`wide`: 0 for arrays from the first node on."""
    world = World(wide)
    for name in ("default", "other"):
        world.put_namespace(name, {"kubernetes.io/metadata.name": name, "team": name})
    for each in nodes:
        world.put_node(node_of(each))
    for each in pods:
        found = pod_of(each)
        if found.node:
            world.put_pod(found)
        elif found.nominated:
            world.nominate(found, found.uid)
    return world


def one(name: str = "new", **more: Any) -> Pod:
    return pod_of(pod(name, **more))
