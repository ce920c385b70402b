"""The engine's pods as stored: what containers share, by the uid that the caller gave.

A record is in the store before any part of a pod is made, and goes after the last one is gone: so whatever a crash
leaves, the record says what has to be taken back.
"""

import enum
from collections.abc import Iterator

import msgspec

from boxship.engine.events import Events
from boxship.engine.model import Event, ProcessHandle
from boxship.engine.placing import POD
from boxship.errors import Conflict, Internal, NotFound
from boxship.spec.attachment import Endpoint
from boxship.spec.container import PublishedPort
from boxship.spec.pod import PodSpec
from boxship.spec.users import UserMap
from boxship.store import Delete, Put, Store

PREFIX = "pods/"


class PodPhase(enum.StrEnum):
    """Where a pod is in its life."""

    CREATING = "creating"  # its parts are being made; taken back after a crash
    READY = "ready"
    STOPPED = "stopped"  # its parts are given back, or went away with the machine; its ended containers are there
    REMOVING = "removing"  # finished after a crash


class Pod(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pod's whole record. Namespaces are paths of files, "" for the machine's own."""

    id: str
    spec: PodSpec
    created_at: int  # nanoseconds since the epoch
    phase: PodPhase = PodPhase.CREATING
    network_namespace: str = ""
    ipc_namespace: str = ""
    holder: ProcessHandle = ProcessHandle()  # the first process of a shared process namespace
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    shared_memory: str = ""
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    users: UserMap = UserMap()

    @property
    def ready(self) -> bool:
        return self.phase is PodPhase.READY

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(endpoint.ipv4_address for endpoint in self.endpoints if endpoint.ipv4_address)

    def namespace(self, kind: str) -> str:
        """The path of a namespace ("ipc", "pid"), "" for the machine's."""
        if kind == "pid":
            return f"/proc/{self.holder.pid}/ns/pid" if self.holder.pid else ""
        return self.ipc_namespace


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Pod).decode


class PodRecords:
    """Pods by uid."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self._by_uid: dict[str, Pod] = {}

    async def load(self) -> None:
        """Fill from the store. Raises Internal naming the key where a record can't be read."""
        for entry in (await self._store.list(PREFIX)).entries:
            try:
                pod = _decode(entry.value)
            except msgspec.MsgspecError as error:
                raise Internal(f"cannot read {entry.key} from the state store: {error}") from error
            self._by_uid[pod.spec.uid] = pod

    def __iter__(self) -> Iterator[Pod]:
        return iter(tuple(self._by_uid.values()))

    def find(self, uid: str) -> Pod | None:
        return self._by_uid.get(uid)

    def users_of(self, mode: str) -> UserMap:
        """Those of the pod of "pod:UID"; none where a mode names none."""
        pod = self._by_uid.get(mode.removeprefix(POD)) if mode.startswith(POD) else None
        return pod.users if pod is not None else UserMap()

    def get(self, uid: str) -> Pod:
        pod = self._by_uid.get(uid)
        if pod is None:
            raise NotFound(f"No such pod: {uid}")
        return pod

    def ready(self, mode: str) -> Pod:
        """The pod of "pod:UID". Raises Conflict where a container cannot join it."""
        uid = mode.removeprefix(POD)
        pod = self._by_uid.get(uid)
        if pod is None or not pod.ready:
            raise Conflict(f"cannot join pod {uid}: it is {pod.phase.value if pod else 'gone'}")
        return pod

    async def save(self, pod: Pod, *events: Event) -> Pod:
        await self._events.commit(Put(PREFIX + pod.spec.uid, _encode(pod)), events=events)
        self._by_uid[pod.spec.uid] = pod
        return pod

    async def delete(self, pod: Pod, *events: Event) -> None:
        await self._events.commit(Delete(PREFIX + pod.spec.uid), events=events)
        self._by_uid.pop(pod.spec.uid, None)
