"""The snapshot as it would be without some pods, or with some more, for as long as a block lasts."""

import contextlib
from collections.abc import Iterable, Iterator

from boxship.cluster.scheduler.shapes import Pod
from boxship.cluster.scheduler.world import World


@contextlib.contextmanager
def without(world: World, pods: Iterable[Pod]) -> Iterator[None]:
    """As if these pods were gone."""
    version, taken = world.version, list(pods)
    for pod in taken:
        world.remove_pod(pod.uid)
    try:
        yield
    finally:
        for pod in taken:
            world.put_pod(pod)
        world.version = version


@contextlib.contextmanager
def including(world: World, pods: Iterable[Pod]) -> Iterator[None]:
    """As if these pods were where they say."""
    version, added = world.version, list(pods)
    for pod in added:
        world.put_pod(pod)
    try:
        yield
    finally:
        for pod in added:
            world.remove_pod(pod.uid)
        world.version = version
