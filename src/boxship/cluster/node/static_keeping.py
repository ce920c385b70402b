"""Static pods at work: workers for what the folder says, and mirrors of them in the API."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from boxship.cluster.access import Client
from boxship.cluster.node.life.worker import PodWorker
from boxship.cluster.node.static import LOOK_SECONDS, Manifests, mirror_of, mirrored
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

PODS = "v1/pods"


class StaticPods:
    """`begin` makes a worker for a pod, which is then among `workers`; `pods` are those of the API on this node."""

    def __init__(
        self,
        client: Client,
        manifests: Manifests | None,
        workers: Mapping[str, PodWorker],
        begin: Callable[[Object], None],
        pods: Cache,
    ) -> None:
        self._client = client
        self._manifests = manifests
        self._workers = workers
        self._begin = begin
        self._pods = pods
        self._said: Mapping[str, Object] = {}
        self.looked = asyncio.Event()  # what the folder says is among the workers

    async def run(self, now: Callable[[], float], node: Callable[[], Object]) -> None:
        """Without end where there is a folder; else mirrors that are left over are taken away, once."""
        said = ""
        while True:
            if self._manifests is not None:
                await self._manifests.look(now())
                self._said = self._manifests.pods
            self._follow()
            self.looked.set()
            if self._manifests is None:
                await self._pods.ready()
            if self._pods.is_ready:
                try:
                    await self._keep_mirrors(node())
                    said = ""
                except BoxshipError as error:
                    if str(error) != said:  # such as that the Node was deleted, which may stay so
                        said = str(error)
                        log.warning("cannot mirror the static pods: %s", said)
            if self._manifests is None:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def told(self, new: Object | None, old: Object | None) -> bool:
        """Whether it is a mirror, which has been handed to its pod's worker."""
        uid = mirrored(new or old or {"metadata": {}})
        if uid and uid in self._workers:
            if new is not None:
                self._workers[uid].show(new)
            else:
                self._workers[uid].hide()
        return bool(uid)

    def _follow(self) -> None:
        for uid, worker in self._workers.items():
            if worker.static and uid not in self._said:
                worker.lost()
        names = {_key(worker.pod) for worker in self._workers.values() if worker.static}
        for uid, pod in self._said.items():
            if uid not in self._workers and _key(pod) not in names:  # the one before has to end first
                self._begin(pod)

    async def _keep_mirrors(self, node: Object) -> None:
        shown = {mirrored(pod): pod for _, pod in list(self._pods.items()) if mirrored(pod)}
        for uid, mirror in shown.items():
            if uid not in self._said or mirror["metadata"].get("deletionTimestamp"):
                await self._delete(mirror)
        for uid, pod in self._said.items():
            if uid in self._workers and uid not in shown:
                await self._create(pod, node)

    async def _create(self, pod: Object, node: Object) -> None:
        mirror = mirror_of(pod, node)
        try:
            made = await self._client.create(PODS, mirror["metadata"]["namespace"], mirror)
        except Failure as failure:
            if failure.reason != "AlreadyExists":
                raise
            return  # the one before has to go first
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is not None:
            worker.show(made)

    async def _delete(self, mirror: Object) -> None:
        metadata = mirror["metadata"]
        try:
            await self._client.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"], grace=0)
        except Failure as failure:
            if failure.reason not in ("NotFound", "Conflict"):
                raise


def _key(pod: Object) -> Key:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]
