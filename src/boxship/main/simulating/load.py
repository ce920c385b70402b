"""The objects of a simulated cluster, and writing many of them at once. Objects are pure functions of their number."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from boxship.cluster.access import Client
from boxship.cluster.node.status.describing import first_node
from boxship.cluster.node.status.facts import MachineFacts, NodeFacts
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

AT_ONCE = 24  # requests
ZONES = 3
GIB = 1 << 30
KINDS = ("plain", "spread", "anti-affinity")
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def facts_of(number: int) -> NodeFacts:
    """A node of 4 processors and 32 GiB in one of three zones."""
    name = f"node-{number:05d}"
    return NodeFacts(
        name=name,
        addresses=(("InternalIP", f"192.{18 + number // 65025}.{number // 255 % 255}.{number % 255 + 1}"),),
        labels={ZONE: f"zone-{number % ZONES}"},
        machine=MachineFacts(cpus=4, memory=32 * GIB),
    )


def node(number: int) -> Object:
    """As its agent would register it, and ready at once."""
    made = first_node(facts_of(number), datetime.now(UTC).timestamp())
    for condition in made["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition |= {"status": "True", "reason": "KubeletReady", "message": "simulated"}
    return made


def pod(kind: str, number: int, namespace: str) -> Object:
    """One of many that are alike: plain, spread over zones as evenly as can be, or never two on one node."""
    labels = {"app": kind}
    chosen = {"labelSelector": {"matchLabels": labels}}
    spec: dict[str, Any] = {
        "containers": [
            {"name": "main", "image": "simulated:1", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}
        ],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    if kind == "spread":
        rule = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", **chosen}
        spec["topologySpreadConstraints"] = [rule]
    elif kind == "anti-affinity":
        term = {"topologyKey": HOST, **chosen}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    metadata = {"name": f"{kind}-{number:06d}", "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def write_nodes(client: Client, count: int) -> None:
    """All of them, without the taints that new nodes are given: nobody watches over them."""

    async def write(number: int) -> None:
        made = node(number)
        await _again(lambda: client.create("v1/nodes", "", made))
        name = made["metadata"]["name"]
        block = f"10.{128 + number // 256}.{number % 256}.0/24"
        patch = {"spec": {"taints": None, "podCIDR": block, "podCIDRs": [block]}}
        await _again(lambda: client.patch("v1/nodes", "", name, patch))

    await each(write, range(count))


async def write_namespace(client: Client, name: str) -> None:
    """With the account that pods have; its controller may not be running."""
    await _again(lambda: client.create("v1/namespaces", "", {"metadata": {"name": name}}))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await _again(lambda: client.create("v1/serviceaccounts", name, account))


async def write_pods(client: Client, pods: Iterable[Object]) -> None:
    async def write(pod: Object) -> None:
        await _again(lambda: client.create("v1/pods", pod["metadata"]["namespace"], pod))

    await each(write, pods)


async def each(work: Callable[[Any], Any], items: Iterable[Any]) -> None:
    """Some at a time."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(worker())


async def _again(request: Callable[[], Any]) -> None:
    """What is there is there; an API that has too much to do is asked again."""
    while True:
        try:
            await request()
            return
        except Failure as failure:
            if failure.reason == "AlreadyExists":
                return
            if failure.code not in (429, 503):
                raise
            await asyncio.sleep(0.1)


def percentile(values: Sequence[float], part: float) -> float:
    """0 for none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0
