"""One leads, others stand by: whose name stands in a Lease does the work, and says so again and again; who finds that
word too old takes its place.

How old a word is, is told by the clock of who looks, never by comparing two clocks. A leader that could not renew its
word stops before anybody else may begin; one that was asleep finds out before its next write, because each write asks
`leads`. A clean end gives the lease back, so that the next begins at once. Work must be such that it can be broken off
anywhere: what had been sent may still be done.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from boxship.cluster.access import Client, Event, Listing
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.times import stamp_micro
from boxship.cluster.reconcile.following import follow
from boxship.errors import BoxshipError

log = logging.getLogger(__name__)

RESOURCE, NAMESPACE = "coordination.k8s.io/v1/leases", "kube-system"
ALONE_PAUSE = 10.0  # seconds between two words where nobody listens
RELEASE_SECONDS = 2.0


class Times(msgspec.Struct, frozen=True):
    """Seconds: how long a word is good for others, for ourselves, and between two words."""

    lease: int = 15
    deadline: float = 10.0
    retry: float = 2.0


def machine_time() -> float:
    """Seconds that go on while the process, or the machine, sleeps; and not the loop's, which may be old."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leading:
    """For one lease. `alone`: nobody else can be there, as the store is ours alone; then nothing is waited for."""

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str,
        *,
        alone: bool = False,
        times: Times | None = None,
        clock: Callable[[], float] = machine_time,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._client = client
        self._identity = identity
        self._alone = alone
        self._times = times or Times()
        self._clock = clock
        self._now = now
        self._until = 0.0  # by our clock
        self._seen: tuple[Any, float] = (None, 0.0)  # another's word, and since when we know it
        self._news = asyncio.Event()

    @property
    def leads(self) -> bool:
        """Whether we may write now."""
        return self._clock() < self._until

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Without end: do the work whenever we lead. Raises what the work raises."""
        while True:
            await self._acquire()
            log.info("%s: %s leads", self.name, self._identity)
            tasks = [asyncio.ensure_future(work()), asyncio.ensure_future(self._keep())]
            lost = False
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                lost = tasks[1] in done
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                held, self._until = self.leads, 0.0
                if held and not lost:
                    await self._release()
            log.warning("%s: %s leads no more", self.name, self._identity)

    # Before.

    async def _acquire(self) -> None:
        if self._alone:
            self._until = float("inf")
            return
        following = asyncio.ensure_future(self._follow())
        told = ""
        try:
            while True:
                self._news.clear()
                try:
                    if await self._try():
                        return
                except BoxshipError as error:
                    if str(error) != told:
                        log.warning("cannot ask for the lease %s: %s", self.name, error)
                    told = str(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._times.retry * random.uniform(1.0, 1.2)):
                        await self._news.wait()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self) -> None:
        await follow(self._client, RESOURCE, self, fields=f"metadata.namespace={NAMESPACE},metadata.name={self.name}")

    async def listed(self, pages: AsyncIterator[Listing]) -> None:
        """For `follow`."""
        async for _ in pages:
            continue

    def changed(self, event: Event) -> None:
        """For `follow`: whoever goes says so."""
        spec = event.object.get("spec") or {}
        if event.type == "DELETED" or not spec.get("holderIdentity"):
            self._news.set()

    async def _try(self) -> bool:
        """Take the lease if nobody has it. Raises BoxshipError where the API does not answer."""
        began = self._clock()
        lease = await self._read()
        try:
            if lease is None:
                await self._client.create(RESOURCE, NAMESPACE, self._lease())
            elif self._is_taken(lease):
                return False
            else:
                await self._client.update(RESOURCE, {**lease, "spec": self._word(lease["spec"] or {})})
        except Failure as failure:
            if failure.reason in ("Conflict", "AlreadyExists", "NotFound"):
                return False
            raise
        self._until = began + self._times.deadline
        return True

    def _is_taken(self, lease: Object) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._identity):
            return False
        word = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if self._seen[0] != word:
            self._seen = (word, self._clock())
        return self._clock() < self._seen[1] + max(spec.get("leaseDurationSeconds") or 0, 1)

    # While we lead.

    async def _keep(self) -> None:
        """Until the lease is lost."""
        while True:
            if self._alone:
                with contextlib.suppress(BoxshipError):
                    await self._renew()
                await asyncio.sleep(ALONE_PAUSE)
                continue
            await asyncio.sleep(self._times.retry)
            began = self._clock()
            try:
                async with asyncio.timeout(max(self._until - began, 0.0)):
                    if not await self._renew():
                        return
            except (BoxshipError, TimeoutError) as error:
                log.warning("cannot renew the lease %s: %s", self.name, error)
            else:
                self._until = began + self._times.deadline
            if not self.leads:
                return

    async def _renew(self) -> bool:
        """False: somebody else has it."""
        for _ in range(3):
            lease = await self._read()
            try:
                if lease is None:
                    await self._client.create(RESOURCE, NAMESPACE, self._lease())
                    return True
                spec = lease.get("spec") or {}
                if spec.get("holderIdentity") != self._identity and not self._alone:
                    return False
                await self._client.update(RESOURCE, {**lease, "spec": self._word(spec)})
                return True
            except Failure as failure:
                if failure.reason not in ("Conflict", "AlreadyExists", "NotFound"):
                    raise
        raise Failure(409, "Conflict", "somebody else writes the lease")

    async def _release(self) -> None:
        """A clean end; whatever fails here, the lease ends by itself."""
        with contextlib.suppress(BoxshipError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                lease = await self._read()
                if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                    return
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._stamp()}
                await self._client.update(RESOURCE, {**lease, "spec": spec})

    # The word.

    async def _read(self) -> Object | None:
        try:
            return await self._client.get(RESOURCE, NAMESPACE, self.name)
        except Failure as failure:
            if failure.reason != "NotFound":
                raise
            return None

    def _lease(self) -> Object:
        metadata = {"name": self.name, "namespace": NAMESPACE}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": self._word({})}

    def _word(self, spec: Object) -> Object:
        is_ours = spec.get("holderIdentity") == self._identity
        return {
            **spec,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.lease,
            "acquireTime": spec.get("acquireTime") if is_ours else self._stamp(),
            "renewTime": self._stamp(),
            "leaseTransitions": (spec.get("leaseTransitions") or 0) + (bool(spec) and not is_ours),
        }

    def _stamp(self) -> str:
        return stamp_micro(datetime.fromtimestamp(self._now(), UTC))
