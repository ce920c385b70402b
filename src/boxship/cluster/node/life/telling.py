"""A pod's status on its way to the API: the newest alone, as soon as it matters, and only over what was read."""

import asyncio
import contextlib
import logging

from boxship.cluster.access import Client
from boxship.cluster.node.life import writing
from boxship.cluster.node.life.starting import Gate
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

PODS = "v1/pods"
TROUBLE_SECONDS = 1.0  # after an error of the API


class Teller:
    """Of one pod. `pod`: what the API has, as it was last read (of a static pod its mirror); None: nothing. `news` is
    set where that has changed."""

    def __init__(self, client: Client, pod: Object | None, news: asyncio.Event, gate: Gate) -> None:
        self._client = client
        self._gate = gate
        self._news = news
        self._wanted: Object = {}
        self._read: Object | None = None  # the pod that `_wanted` was decided for
        self._pause = writing.LAZY_SECONDS
        self._due = asyncio.Event()
        self._hurry = asyncio.Event()
        self.pod = pod

    def take(self, pod: Object | None) -> None:
        """It has come, changed or gone."""
        if pod is not None and self.pod is not None and pod["metadata"]["uid"] == self.pod["metadata"]["uid"]:
            pod = writing.newer(self.pod, pod)
        self.pod = pod
        self._news.set()

    def want(self, status: Object, *, goes: bool = False) -> None:
        """Decided for the pod as it is here now: over another reading it is never written. `goes`: the pod is about to
        be gone, and nobody waits for its last word."""
        if self._read is self.pod and self._wanted == status:
            return
        self._wanted, self._read = status, self.pod
        self._pause = writing.LAST_SECONDS if goes else writing.LAZY_SECONDS
        if self.pod is not None and not goes and writing.is_urgent(self.pod, status, addressed=not self._gate.is_open):
            self._hurry.set()
        self._due.set()

    async def run(self) -> None:
        """Without end."""
        while True:
            await self._due.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._hurry.wait()
            self._due.clear()
            self._hurry.clear()
            try:
                await self.write()
            except BoxshipError as error:
                if isinstance(error, Failure) and error.reason == "NotFound":
                    continue  # whoever follows the pods will hear of it
                log.warning("cannot tell how a pod is: %s", error)
                self._due.set()
                self._hurry.set()
                await asyncio.sleep(TROUBLE_SECONDS)

    async def write(self) -> None:
        """Raises Failure; that somebody else wrote meanwhile is none: it is decided anew."""
        pod = self.pod
        if pod is None or pod is not self._read:
            return  # it is about to be decided anew
        patch = writing.patch_for(pod, self._wanted)
        if patch is None:
            return
        metadata = pod["metadata"]
        place = metadata["namespace"], metadata["name"]
        try:
            answer = await self._client.patch(PODS, *place, patch, subresource="status")
        except Failure as failure:
            if failure.reason != "Conflict":
                raise
            answer = await self._client.get(PODS, *place)
        if self.pod is not None and answer["metadata"]["uid"] == metadata["uid"]:
            self.take(answer)
