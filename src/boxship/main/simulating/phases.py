"""What is measured, one phase after the other, each on the real control plane over HTTPS.

For the scheduler all pods are written while it is not running, then it is started: its rate has nothing to do with how
fast pods are written, but all with reading them, deciding, and binding each by one durable request.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.errors import Timeout
from boxship.main.simulating.load import KINDS, percentile, pod, write_namespace, write_nodes, write_pods
from boxship.main.simulating.plane import Plane

BOUND_SECONDS = 1800.0
READS, LISTS, WRITES = 300, 30, 100
Say = Callable[[str], None]


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How fast pods of a kind were bound. `first` is the time from the scheduler's process being ready to the first."""

    kind: str
    pods: int
    seconds: float
    rate: float
    first_seconds: float


class Figures(msgspec.Struct, kw_only=True):
    """Everything. Latencies in milliseconds, memory in bytes."""

    nodes: int
    pods: int = 0
    nodes_seconds: float = 0.0
    pods_per_second: float = 0.0
    scheduling: list[Rate] = []
    latencies: dict[str, tuple[float, float]] = {}
    memory: int = 0
    start_seconds: float = 0.0
    running_seconds: float = 0.0
    running: tuple[float, float] = (0.0, 0.0)


async def make_nodes(plane: Plane, figures: Figures, say: Say) -> None:
    await plane.start("api")
    begun = _now()
    await write_nodes(plane.client, figures.nodes)
    figures.nodes_seconds = _now() - begun
    say(f"{figures.nodes} nodes written in {figures.nodes_seconds:.1f} s")


async def schedule(plane: Plane, kind: str, count: int, figures: Figures, say: Say) -> None:
    """Write the pods, then start the scheduler and wait until all are bound. The plane is left as it was begun."""
    namespace = f"simulated-{kind}"
    client = plane.client
    await write_namespace(client, namespace)
    begun = _now()
    await write_pods(client, (pod(kind, number, namespace) for number in range(count)))
    written = _now() - begun
    figures.pods += count
    figures.pods_per_second = count / written
    await plane.stop()
    await plane.start("api", "scheduler")
    ready = _now()
    times = await bound(plane.client, namespace, count)
    seconds = times[-1] - times[0]
    rate = Rate(
        kind=kind,
        pods=count,
        seconds=seconds,
        rate=(count - 1) / seconds if seconds else 0.0,
        first_seconds=max(times[0] - ready, 0.0),
    )
    figures.scheduling.append(rate)
    say(f"{kind}: {count} pods written at {count / written:.0f}/s, bound at {rate.rate:.0f}/s")
    await plane.stop()
    await plane.start("api")


async def bound(client: Client, namespace: str, count: int) -> list[float]:
    """When each of the pods was seen to have a node. Raises Timeout."""
    listing = await client.list("v1/pods", namespace)
    times = {item["metadata"]["name"]: _now() for item in listing.items if item["spec"].get("nodeName")}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BOUND_SECONDS):
            if len(times) < count:
                async for event in client.watch("v1/pods", namespace, version=listing.version):
                    _note(times, event.object)
                    if len(times) >= count:
                        break
    if len(times) < count:
        raise Timeout(f"{count - len(times)} of {count} pods of {namespace} were not bound in {BOUND_SECONDS:g} s")
    return sorted(times.values())


def _note(times: dict[str, float], pod: Object) -> None:
    if (pod.get("spec") or {}).get("nodeName"):
        times.setdefault(pod["metadata"]["name"], _now())


async def measure_api(plane: Plane, figures: Figures, say: Say) -> None:
    """How fast the full API answers, with everything running."""
    await plane.stop()
    figures.start_seconds = await plane.start()
    client = plane.client
    kind = figures.scheduling[0].kind if figures.scheduling else KINDS[0]
    namespace = f"simulated-{kind}" if figures.scheduling else "default"
    there = figures.scheduling[0].pods if figures.scheduling else 0
    if figures.scheduling:
        figures.latencies["GET pod"] = await _timed(
            READS, lambda number: client.get("v1/pods", namespace, f"{kind}-{number % there:06d}")
        )
        figures.latencies["LIST pods of a node"] = await _timed(
            LISTS, lambda number: client.list("v1/pods", fields=f"spec.nodeName=node-{number % figures.nodes:05d}")
        )
    figures.latencies["GET node"] = await _timed(
        READS, lambda number: client.get("v1/nodes", "", f"node-{number % figures.nodes:05d}")
    )
    figures.latencies["CREATE config map"] = await _timed(
        WRITES, lambda number: client.create("v1/configmaps", "default", {"metadata": {"name": f"made-{number}"}})
    )
    figures.latencies["PATCH config map"] = await _timed(
        WRITES, lambda number: client.patch("v1/configmaps", "default", f"made-{number}", {"data": {"a": "b"}})
    )
    figures.memory = plane.memory()
    say(f"the control plane takes {figures.memory / 1e6:.0f} MB")


async def _timed(count: int, request: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """Half and 99 of 100 of so many requests, one after the other: milliseconds."""
    taken = []
    for number in range(count):
        begun = _now()
        await request(number)
        taken.append((_now() - begun) * 1000)
    return percentile(taken, 0.5), percentile(taken, 0.99)


def _now() -> float:
    return asyncio.get_running_loop().time()
