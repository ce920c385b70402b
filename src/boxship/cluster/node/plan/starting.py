"""Planner and volumes of one node, put together: who composes the agent calls this once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.plan.planner import Images, PodPlanner, handler_of
from boxship.cluster.node.plan.services import essential
from boxship.cluster.node.volumes.holding import HeldObjects
from boxship.cluster.node.volumes.local import LocalVolumes
from boxship.cluster.node.volumes.mounts import Mounts
from boxship.cluster.node.volumes.preparing import NodeVolumes, Trees
from boxship.cluster.reconcile.cache import Cache


class ImageFiles(Images, Trees, Protocol):
    """What of `Runtime` both need."""


class Files(msgspec.Struct, frozen=True):
    """`parts` run as long as the agent does, each once, without end."""

    planner: PodPlanner
    volumes: NodeVolumes
    parts: Sequence[Callable[[], Awaitable[None]]]


def make_files(client: Client, *, images: ImageFiles, mounts: Mounts, facts: NodeFacts) -> Files:
    """`client` acts as the node, `images` is the runtime."""
    held = HeldObjects(client)
    services = Cache(client, "v1/services", keep=essential)
    classes = Cache(client, "node.k8s.io/v1/runtimeclasses", keep=handler_of)
    planner = PodPlanner(held, services, classes, images=images, mounts=mounts, facts=facts)
    volumes = NodeVolumes(client, held, trees=images, mounts=mounts, facts=facts)
    local = LocalVolumes(client, volumes, facts)
    return Files(planner, volumes, (services.run, classes.run, volumes.run, local.run))
