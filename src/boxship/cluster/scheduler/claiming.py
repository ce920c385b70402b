"""Claims that wait for their first consumer get what they need before the pod is bound: a volume that is there, or the
word to their provisioner for which node one is to be made."""

import asyncio
from collections.abc import Mapping

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.scheduler.feeding import CLAIMS, VOLUMES
from boxship.cluster.scheduler.shapes import Key, Pod
from boxship.cluster.scheduler.storage import SELECTED_NODE, Claim
from boxship.cluster.scheduler.world import World
from boxship.errors import Conflict, Timeout

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PATIENCE = 600.0  # seconds for a provisioner


def unbound(world: World, pod: Pod) -> list[Claim]:
    """The pod's claims that are not bound yet."""
    claims = (world.storage.claims.get((pod.key[0], name)) for name, _ in pod.shape.claims)
    return [claim for claim in claims if claim is not None and not claim.bound]


def assume(world: World, wanted: Mapping[Key, str], node: str) -> None:
    """So that no other pod takes the same volumes meanwhile."""
    storage = world.storage
    for key, name in wanted.items():
        claim, volume = storage.claims[key], storage.volumes.get(name)
        if volume is not None:
            storage.put_volume(name, msgspec.structs.replace(volume, claim=(*key, claim.uid)))
        elif not name:
            storage.put_claim(key, msgspec.structs.replace(claim, selected_node=node))
    world.touch()


class Claiming:
    """`heard`: set whenever storage has changed."""

    def __init__(self, client: Client, world: World) -> None:
        self._client = client
        self._world = world
        self._waiters: dict[asyncio.Event, None] = {}  # in their order

    def heard(self) -> None:
        """Claims or volumes have changed."""
        for waiter in self._waiters:
            waiter.set()

    async def provide(self, pod: Pod, node: str, wanted: Mapping[Key, str]) -> None:
        """Wait until the pod's claims are bound. Raises Timeout, Conflict (another node, now), Failure."""
        for key, volume in wanted.items():
            claim = self._world.storage.claims.get(key)
            if claim is None:
                raise Conflict(f"cannot bind claim {key[1]}: it is gone")
            if volume:
                await self._take(claim, volume)
            else:
                patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
                await self._client.patch(CLAIMS, *key, patch)
        waiter = asyncio.Event()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._are_bound(pod, node, wanted):
                    waiter.clear()
                    await waiter.wait()
        except TimeoutError:
            raise Timeout(f"cannot bind the volumes of {'/'.join(pod.key)}: waited for {PATIENCE:.0f} s") from None
        finally:
            self._waiters.pop(waiter, None)

    def _are_bound(self, pod: Pod, node: str, wanted: Mapping[Key, str]) -> bool:
        left = unbound(self._world, pod)
        for claim in left:
            if claim.selected_node != node and not wanted.get(claim.key):
                raise Conflict(f"cannot bind claim {claim.key[1]}: no volume could be made for node {node}")
        return not left

    async def _take(self, claim: Claim, volume: str) -> None:
        """The volume is for this claim; whoever binds volumes does the rest."""
        found = await self._client.get(VOLUMES, "", volume)
        reference = (found.get("spec") or {}).get("claimRef") or {}
        if reference and (reference.get("namespace"), reference.get("name")) != claim.key:
            raise Conflict(f"cannot bind claim {claim.key[1]}: volume {volume} is another's")
        if reference.get("uid") == claim.uid:
            return
        namespace, name = claim.key
        patch = {
            "metadata": {
                "resourceVersion": found["metadata"]["resourceVersion"],
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
            },
            "spec": {
                "claimRef": {
                    "kind": "PersistentVolumeClaim",
                    "apiVersion": "v1",
                    "namespace": namespace,
                    "name": name,
                    "uid": claim.uid,
                }
            },
        }
        await self._client.patch(VOLUMES, "", volume, patch)
