"""Pods: what several containers share, made before them and taken away after them. No process stands for a pod.

Containers join with the modes "pod:UID" for network, IPC and processes, and with the pod's cgroup as their parent.
Order of every change: intent to the store, act, record; so `recover` finishes or takes back whatever a crash left.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Mapping, Sequence
from weakref import WeakValueDictionary

import msgspec

from boxship.engine.clock import Clock
from boxship.engine.containers import Containers
from boxship.engine.life import Life
from boxship.engine.model import ALIVE, Container, Event, Phase
from boxship.engine.names import new_id
from boxship.engine.placing import POD
from boxship.engine.pods_parts import PodParts
from boxship.engine.pods_records import Pod, PodPhase, PodRecords
from boxship.engine.pods_users import PodUsers
from boxship.engine.records import Records
from boxship.errors import BoxshipError, Conflict, Invalid, NotFound
from boxship.runtime import limits, sharing
from boxship.runtime.dialing import Connection, dial
from boxship.runtime.driver import Driver
from boxship.spec.container import ContainerSpec, Resources
from boxship.spec.pod import PodSpec
from boxship.spec.users import UserMap
from boxship.waiting import in_thread, to_the_end

logger = logging.getLogger(__name__)

IDLE = frozenset({Phase.CREATING, Phase.CREATED, Phase.EXITED, Phase.REMOVING, Phase.DEAD})
SHOWN = frozenset({PodPhase.READY, PodPhase.STOPPED})
UID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")


class Pods:
    """create, get, list, update, remove; and what containers they have."""

    def __init__(
        self,
        pods: PodRecords,
        records: Records,
        containers: Containers,
        life: Life,
        parts: PodParts,
        driver: Driver,
        clock: Clock,
        users: PodUsers,
    ) -> None:
        self._pods = pods
        self._users = users
        self._records = records
        self._containers = containers
        self._life = life
        self._parts = parts
        self._driver = driver
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def list(self) -> Sequence[Pod]:
        """All that are made or were stopped, oldest first."""
        made = (self._seen(pod) for pod in self._pods if pod.phase in SHOWN)
        return sorted(made, key=lambda pod: pod.created_at)

    def find(self, uid: str) -> Pod | None:
        """One that is made or was stopped, or None."""
        pod = self._pods.find(uid)
        return self._seen(pod) if pod is not None and pod.phase in SHOWN else None

    def get(self, uid: str) -> Pod:
        """Raises NotFound."""
        return self._seen(self._pods.get(uid))

    def _seen(self, pod: Pod) -> Pod:
        """As it is now: without the process that holds its process namespace, no container can join it."""
        if pod.ready and not self._parts.is_held(pod):
            return msgspec.structs.replace(pod, phase=PodPhase.STOPPED)
        return pod

    def containers(self, uid: str) -> Sequence[Container]:
        """Those that joined the pod, ended ones too; oldest first."""
        return sorted(self._records.sharing(POD + uid), key=lambda box: box.created_at)

    async def check_mounts(self, uid: str, spec: ContainerSpec) -> None:
        """Unsupported where the pod has users of its own, and one of these mounts cannot be shown to them."""
        pod = self._pods.find(uid)
        if pod is not None and pod.users:
            sources = [mount.source for mount in spec.mounts if mount.kind == "bind" and not mount.owned]
            await in_thread(self._parts.check_sources, pod, sources)

    async def create_container(self, uid: str, spec: ContainerSpec, name: str) -> Container:
        """A container of the pod; `spec` names the pod in its modes. Raises NotFound where the pod is gone by then, and
        as `Containers.create` does."""
        container, _ = await self._containers.create(spec, name)
        if self._pods.find(uid) is None:  # nobody would take it away any more
            await self._remove_container(container.id)
            raise NotFound(f"No such pod: {uid}")
        return container

    async def reserve_users(self, uid: str) -> UserMap:
        """The machine's ids behind the users of a pod that has its own; the same until it is removed. Raises
        Exhausted."""
        return await self._users.take(uid)

    def reserved_users(self, uid: str) -> UserMap:
        """Those that `reserve_users` gave the pod; none where it did not."""
        return self._users.find(uid)

    async def create(self, spec: PodSpec) -> Pod:
        """The pod; the one that is there where it is whole and of this attempt, else a new one in its place. Raises
        Invalid, NotFound (network), Conflict (a host port that is taken)."""
        if not UID.fullmatch(spec.uid):
            raise Invalid(f"invalid pod uid: {spec.uid!r}")
        limits.check(spec.resources, self._driver.host, least_memory=1)
        sharing.check_settings(spec.sysctls, network=not spec.host_network, ipc=not spec.host_ipc)
        async with self._lock(spec.uid):
            known = self._pods.find(spec.uid)
            if known is not None and self._seen(known).ready and known.spec.attempt >= spec.attempt:
                return known
            if known is not None:
                await to_the_end(self._stop(known))
            return await to_the_end(self._create(spec))

    async def _create(self, spec: PodSpec) -> Pod:
        users = await self._users.take(spec.uid) if spec.own_users else UserMap()
        pod = self._parts.described(Pod(id=new_id(), spec=spec, created_at=self._clock.now(), users=users))
        await self._pods.save(pod)
        try:
            made = await self._parts.make(pod)
            ready = msgspec.structs.replace(made, phase=PodPhase.READY)
            ready = await self._pods.save(ready, self._event(ready, "create"))
            await self._parts.weigh(self._pods, spec.cgroup)
            return ready
        except BaseException:
            await self._give_up(pod)
            raise

    async def _give_up(self, pod: Pod) -> None:
        try:
            await self._parts.take_back(pod)
        except (BoxshipError, OSError):
            logger.exception("cannot take back pod %s", pod.spec.uid)
        await self._pods.delete(pod)

    async def update(self, uid: str, resources: Resources) -> Pod:
        """Other limits of the pod's cgroup. Raises Invalid where the kernel refuses them."""
        async with self._lock(uid):
            pod = self._pods.get(uid)
            limits.check(resources, self._driver.host, least_memory=1)
            changed = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, resources=resources))
            await self._parts.update(pod, resources)
            await self._pods.save(changed)
            await self._parts.weigh(self._pods, pod.spec.cgroup)
            return changed

    async def stop(self, uid: str) -> None:
        """Kill what runs in it and give its parts back; its ended containers stay. None there is fine."""
        async with self._lock(uid):
            pod = self._pods.find(uid)
            if pod is not None:
                await to_the_end(self._stop(pod))

    async def _stop(self, pod: Pod) -> None:
        if pod.phase is not PodPhase.STOPPED:
            stopped = msgspec.structs.replace(pod, phase=PodPhase.STOPPED, endpoints=(), ports=())
            await self._pods.save(stopped, self._event(pod, "stop"))
        await self._end_containers(pod.spec.uid)
        await self._parts.take_back(pod, files=False)
        await self._parts.weigh(self._pods, pod.spec.cgroup)

    async def remove(self, uid: str) -> None:
        """With all its containers. None there is fine."""
        async with self._lock(uid):
            await to_the_end(self._remove(uid))

    async def _remove(self, uid: str) -> None:
        pod = self._pods.find(uid)
        if pod is not None:
            pod = await self._pods.save(msgspec.structs.replace(pod, phase=PodPhase.REMOVING))
        await self._remove_containers(uid)
        if pod is not None:
            await self._parts.take_back(pod)
            await self._pods.delete(pod, self._event(pod, "destroy"))
            await self._parts.weigh(self._pods, pod.spec.cgroup)
        await self._users.free(uid)

    async def _remove_containers(self, uid: str) -> None:
        await asyncio.gather(*(self._remove_container(box.id) for box in self.containers(uid)))

    async def _remove_container(self, identifier: str) -> None:
        with contextlib.suppress(NotFound):
            await self._containers.remove(identifier, force=True, volumes=True)

    async def _end_containers(self, uid: str) -> None:
        living = [box.id for box in self.containers(uid) if box.state.phase not in IDLE]
        await asyncio.gather(*(self._end_container(identifier) for identifier in living))

    async def _end_container(self, identifier: str) -> None:
        with contextlib.suppress(NotFound, Conflict):
            await self._life.kill(identifier)

    async def connect(self, uid: str, port: int) -> Connection:
        """A TCP connection to a port of the loopback that the pod's containers have. Raises NotFound, Conflict where
        the pod is stopped, Unavailable where nobody listens."""
        return await dial(self._pods.ready(uid).network_namespace, port)

    # after a restart

    def living(self) -> dict[str, int]:
        """The ids of the pods that are whole, each with the pid of a process in it, 0 for none: their places in the
        network stay."""
        processes = {box.spec.network_mode: box.state.process.pid for box in self._records if box.state.phase in ALIVE}
        whole = [pod for pod in self._pods if pod.ready and self._parts.is_whole(pod)]
        return {pod.id: processes.get(POD + pod.spec.uid, 0) for pod in whole}

    async def recover(self, living: Mapping[str, int]) -> None:
        """Take back what was half made, finish what was half removed, and note what was lost."""
        for box in self._records:
            mode = box.spec.network_mode
            if mode.startswith(POD) and self._pods.find(mode.removeprefix(POD)) is None:
                # It was being made while its pod was removed.
                await self._guarded(self._remove_container(box.id), mode)
        for pod in self._pods:
            if pod.phase is PodPhase.CREATING:
                await self._guarded(self._give_up(pod), pod.spec.uid)
            elif pod.phase is PodPhase.REMOVING:
                await self._guarded(self.remove(pod.spec.uid), pod.spec.uid)
            elif pod.phase is PodPhase.STOPPED or pod.id not in living:
                await self._guarded(self._stop(pod), pod.spec.uid)
        left = [box.spec.network_mode.removeprefix(POD) for box in self._records]  # a container that could not go lives
        await self._users.keep_only([*(pod.spec.uid for pod in self._pods), *left])

    async def _guarded(self, work: Awaitable[None], what: str) -> None:
        try:
            await work
        except (BoxshipError, OSError):
            logger.exception("cannot recover pod %s", what)

    def _lock(self, uid: str) -> asyncio.Lock:
        return self._locks.setdefault(uid, asyncio.Lock())

    def _event(self, pod: Pod, action: str) -> Event:
        attributes = {**pod.spec.labels, "name": f"{pod.spec.namespace}/{pod.spec.name}", "uid": pod.spec.uid}
        return Event(kind="pod", action=action, actor=pod.id, attributes=attributes, time=self._clock.now())
