"""Creating and deleting pods for an owner: in batches, with what is expected of the cache, and told in events."""

import functools
from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.expecting import Expectations
from boxship.cluster.controllers.workloads.pods import RESOURCE, Pod, controller_of
from boxship.cluster.controllers.workloads.writing import in_batches, is_namespace_ending, together
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.selectors import LabelSelector
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.recording import Events
from boxship.errors import BoxshipError


class PodWork:
    """For one controller. Where an answer was lost, the pods themselves are asked before anything more is done."""

    def __init__(self, client: Client, expected: Expectations, events: Events, pods: Cache) -> None:
        self._client = client
        self._expected = expected
        self._events = events
        self._pods = pods
        self._unsure: set[Key] = set()

    async def waits(self, key: Key, owner: Object, selector: LabelSelector) -> float:
        """Seconds for which nothing may be created or deleted, because what was done is not seen yet; 0.0: none."""
        if key in self._unsure:
            with self._expected.creating():
                await self._ask(key, owner, selector)
            self._unsure.discard(key)
        return self._expected.remaining(key)

    def forget(self, key: Key) -> None:
        self._unsure.discard(key)
        self._expected.forget(key)

    async def _ask(self, key: Key, owner: Object, selector: LabelSelector) -> None:
        found = {}
        for pod in (await self._client.list(RESOURCE, key[0], labels=selector.text)).items:
            has = controller_of(pod["metadata"].get("ownerReferences") or ())
            if has is not None and has.uid == owner["metadata"]["uid"]:
                found[pod["metadata"]["uid"]] = pod
        for uid in self._expected.deletes_of(key):
            if uid in found and not found[uid]["metadata"].get("deletionTimestamp"):
                self._expected.not_deleted(uid)
        for uid, pod in found.items():
            known = self._pods.get((key[0], pod["metadata"]["name"]))
            if known is None or known.uid != uid:
                self._expected.created(key, uid)

    async def create(self, key: Key, owner: Object, pods: Sequence[Object]) -> BoxshipError | None:
        """The first failure; that the namespace ends is none."""

        async def create(index: int) -> None:
            try:
                made = await self._client.create(RESOURCE, key[0], pods[index])
            except BoxshipError as error:
                self._doubt(key, error)
                if not is_namespace_ending(error):
                    self._events.tell(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self._expected.created(key, made["metadata"]["uid"])
            self._events.tell(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

        with self._expected.creating():
            _, failure = await in_batches(len(pods), create)
        return None if failure is not None and is_namespace_ending(failure) else failure

    async def delete(self, key: Key, owner: Object, pods: Sequence[Pod], *, release: str = "") -> BoxshipError | None:
        """`release`: a finalizer to take off before. The first failure; that a pod is gone is none."""

        async def delete(pod: Pod) -> None:
            self._expected.deleting(key, pod.uid)
            try:
                if release:
                    await take_off(self._client, pod, release)
                await self._client.delete(RESOURCE, pod.namespace, pod.name, uid=pod.uid)
            except BoxshipError as error:
                if not self._doubt(key, error):
                    self._expected.not_deleted(pod.uid)
                if isinstance(error, Failure) and error.reason in ("NotFound", "Conflict"):
                    return  # it is gone, or another one
                self._events.tell(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            self._events.tell(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.name}")

        failures = await together([functools.partial(delete, pod) for pod in pods])
        return failures[0] if failures else None

    def _doubt(self, key: Key, error: BoxshipError) -> bool:
        """Whether it may have been done all the same."""
        if isinstance(error, Failure) and error.code < 500:
            return False
        self._unsure.add(key)
        return True


async def take_off(client: Client, pod: Pod, finalizer: str) -> None:
    """Take the finalizer off; nothing happens where it is not there. Raises Failure where the pod changed meanwhile."""
    if finalizer not in pod.finalizers:
        return
    at = f"/metadata/finalizers/{pod.finalizers.index(finalizer)}"
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": pod.uid},
        {"op": "test", "path": at, "value": finalizer},
        {"op": "remove", "path": at},
    ]
    await client.patch(RESOURCE, pod.namespace, pod.name, patch)
